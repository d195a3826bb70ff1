#include "services/page/stream_slots.h"

#include "absl/strings/str_cat.h"

namespace evilmoe {

absl::StatusOr<StreamSlots::Slot> StreamSlots::Take(const std::string& reader) {
  MutexLock lock(mu_);
  if (closed_) return absl::UnavailableError("the coordinator is stopping");
  // The earlier stream of this reader leaves within its turn: its place is as good as free.
  const bool replaces = !reader.empty() && newest_of_.contains(reader);
  if (taken_ >= most_ + (replaces ? 1 : 0)) {
    return absl::ResourceExhaustedError(
        absl::StrCat("stream: ", taken_, " are open, expected fewer; close another window of the page, or wait"));
  }
  ++taken_;
  const int64_t number = ++newest_;
  if (!reader.empty()) newest_of_[reader] = number;
  return Slot(*this, reader, number);
}

void StreamSlots::Close() {
  MutexLock lock(mu_);
  closed_ = true;
}

void StreamSlots::Leave(const std::string& reader, int64_t number) {
  MutexLock lock(mu_);
  --taken_;
  const auto it = newest_of_.find(reader);
  if (it != newest_of_.end() && it->second == number) newest_of_.erase(it);
}

bool StreamSlots::IsOver(const std::string& reader, int64_t number) {
  MutexLock lock(mu_);
  const auto it = newest_of_.find(reader);
  return closed_ || (it != newest_of_.end() && it->second != number);
}

}  // namespace evilmoe
