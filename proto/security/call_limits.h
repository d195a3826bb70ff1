#pragma once

#include <atomic>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/mutex.h"

namespace evilmoe {

// What a server takes at most.
struct CallLimits {
  int message_mib = 64;            // of one message, in and out, [1, 1024]
  int calls_per_second = 20'000;   // of one token, or of one host without, [1, 10^6]; bursts of a second's worth
  int concurrent_calls = 4096;     // that are answered at the same time, long polls and streams too, [1, 10^6]
};

// The status of a call that was one too many: ResourceExhausted, which IsTooManyCalls() tells from a message that is
// too large: the same call may succeed a moment later.
absl::Status TooManyCallsError(std::string_view text);
bool IsTooManyCalls(const absl::Status& status);

// A token bucket for each caller. Thread-safe; `clock` must outlive it.
class CallRate {
 public:
  // So many callers are told apart; whoever comes when all have called lately shares one bucket with the others.
  static constexpr size_t kMaxCallers = 4096;

  CallRate(int calls_per_second, const Clock& clock) : calls_per_second_(calls_per_second), clock_(clock) {}

  // Whether `caller` may make one more call now; counts it if so.
  bool Take(const std::string& caller) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Bucket {
    double calls = 0;
    absl::Time filled;
  };
  double CallsOf(const Bucket& bucket, absl::Time now) const;
  Bucket& BucketLocked(const std::string& caller, absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const double calls_per_second_;
  const Clock& clock_;
  Mutex mu_;
  std::unordered_map<std::string, Bucket> buckets_ ABSL_GUARDED_BY(mu_);
  absl::Time swept_ ABSL_GUARDED_BY(mu_) = absl::InfinitePast();
};

// How many calls are being answered. Thread-safe.
class CallCount {
 public:
  explicit CallCount(int limit) : limit_(limit) {}

  // False: there are as many as may be. Else Leave() must follow.
  bool Enter();
  void Leave() { --count_; }

  int count() const { return count_; }

 private:
  const int limit_;
  std::atomic<int> count_ = 0;
};

// An admitted call's place among those that are answered, given back when it goes. Movable; thread-compatible.
class CallPermit {
 public:
  // Holds no place.
  CallPermit() = default;
  // Takes over a place that Enter() gave; `count` must outlive it.
  explicit CallPermit(CallCount& count) : count_(&count) {}
  CallPermit(CallPermit&& other) noexcept : count_(std::exchange(other.count_, nullptr)) {}
  CallPermit& operator=(CallPermit&& other) noexcept {
    std::swap(count_, other.count_);
    return *this;
  }
  ~CallPermit() {
    if (count_ != nullptr) count_->Leave();
  }

 private:
  CallCount* count_ = nullptr;
};

}  // namespace evilmoe
