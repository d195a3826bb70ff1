#pragma once

#include <optional>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/mutex.h"

namespace evilmoe {

// A result that another thread sets once. Thread-safe.
template <typename Result>
class Awaited {
 public:
  void Set(absl::StatusOr<Result> value) ABSL_LOCKS_EXCLUDED(mu_) {
    const MutexLock lock(mu_);
    result_.emplace(std::move(value));
    mu_.NotifyAll();
  }
  // False: it is not there yet.
  bool AwaitFor(absl::Duration timeout) ABSL_LOCKS_EXCLUDED(mu_) {
    const MutexLock lock(mu_);
    return mu_.AwaitFor(timeout, [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return result_.has_value(); });
  }
  // Once, after AwaitFor() was true.
  absl::StatusOr<Result> Take() ABSL_LOCKS_EXCLUDED(mu_) {
    const MutexLock lock(mu_);
    return *std::move(result_);
  }

 private:
  Mutex mu_;
  std::optional<absl::StatusOr<Result>> result_ ABSL_GUARDED_BY(mu_);
};

}  // namespace evilmoe
