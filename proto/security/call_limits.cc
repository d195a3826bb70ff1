#include "proto/security/call_limits.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace evilmoe {
namespace {

constexpr char kTooMany[] = "too many calls";

}  // namespace

absl::Status TooManyCallsError(std::string_view text) {
  return absl::ResourceExhaustedError(absl::StrCat(kTooMany, ": ", std::string(text)));
}

bool IsTooManyCalls(const absl::Status& status) {
  return absl::IsResourceExhausted(status) && absl::StartsWith(status.message(), kTooMany);
}

bool CallRate::Take(const std::string& caller) {
  const absl::Time now = clock_.Now();
  const MutexLock lock(mu_);
  Bucket& bucket = BucketLocked(caller, now);
  bucket = {CallsOf(bucket, now), now};
  if (bucket.calls < 1) return false;
  bucket.calls -= 1;
  return true;
}

double CallRate::CallsOf(const Bucket& bucket, absl::Time now) const {
  const absl::Duration passed = std::max(now - bucket.filled, absl::ZeroDuration());
  return std::min(calls_per_second_, bucket.calls + calls_per_second_ * absl::ToDoubleSeconds(passed));
}

CallRate::Bucket& CallRate::BucketLocked(const std::string& caller, absl::Time now) {
  const Bucket full{calls_per_second_, now};
  const auto found = buckets_.find(caller);
  if (found != buckets_.end()) return found->second;
  if (buckets_.size() >= kMaxCallers && (now < swept_ || now - swept_ >= absl::Seconds(1))) {
    swept_ = now;  // seldom: a crowd of strangers must not make every call go through all
    std::erase_if(buckets_, [&](const auto& entry) { return CallsOf(entry.second, now) >= calls_per_second_; });
  }
  return buckets_.try_emplace(buckets_.size() < kMaxCallers ? caller : "", full).first->second;
}

bool CallCount::Enter() {
  if (count_.fetch_add(1) < limit_) return true;
  --count_;
  return false;
}

}  // namespace evilmoe
