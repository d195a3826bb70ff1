#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "common/mutex.h"

namespace evilmoe {

// Places for streams: each holds a thread. A reader that opens another one (it went on to another run) names itself, and
// its earlier stream is to end. Thread-safe.
class StreamSlots {
 public:
  explicit StreamSlots(int most) : most_(most) {}

  // Gives its place back when it goes.
  class Slot {
   public:
    Slot(StreamSlots& slots, std::string reader, int64_t number)
        : slots_(&slots), reader_(std::move(reader)), number_(number) {}
    Slot(Slot&& other) noexcept : slots_(other.slots_), reader_(std::move(other.reader_)), number_(other.number_) {
      other.slots_ = nullptr;
    }
    Slot& operator=(Slot&&) = delete;
    ~Slot() {
      if (slots_ != nullptr) slots_->Leave(reader_, number_);
    }
    // Whether its reader has opened another one, or all are to end.
    bool IsOver() const { return slots_->IsOver(reader_, number_); }

   private:
    StreamSlots* slots_;
    std::string reader_;
    int64_t number_;
  };

  // ResourceExhausted: all places are taken. An empty `reader` has no earlier stream.
  absl::StatusOr<Slot> Take(const std::string& reader) ABSL_LOCKS_EXCLUDED(mu_);
  // All are over, and those that come.
  void Close() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void Leave(const std::string& reader, int64_t number) ABSL_LOCKS_EXCLUDED(mu_);
  bool IsOver(const std::string& reader, int64_t number) ABSL_LOCKS_EXCLUDED(mu_);

  const int most_;
  Mutex mu_;
  int taken_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t newest_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<std::string, int64_t> newest_of_ ABSL_GUARDED_BY(mu_);  // of readers that have a stream
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace evilmoe
