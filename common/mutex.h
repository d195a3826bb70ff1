#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"

namespace evilmoe {

// A std::mutex that clang's thread-safety analysis understands.
//
// Why not absl::Mutex: a prebuilt libabsl carries no TSan hooks, so every
// correctly locked field would be reported as a race.
class ABSL_LOCKABLE Mutex {
 public:
  void lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() { mu_.lock(); }
  void unlock() ABSL_UNLOCK_FUNCTION() { mu_.unlock(); }

  // Waits until `done()` is true or `timeout` has passed; says which. `done` runs with the mutex held.
  // There is no wait without a deadline.
  template <typename Predicate>
  bool AwaitFor(absl::Duration timeout, Predicate done) ABSL_EXCLUSIVE_LOCKS_REQUIRED(this) {
    std::unique_lock<std::mutex> held(mu_, std::adopt_lock);
    const bool reached = changed_.wait_for(held, absl::ToChronoNanoseconds(timeout), std::move(done));
    held.release();
    return reached;
  }

  // Wakes every AwaitFor() so that it looks at its predicate again.
  void NotifyAll() { changed_.notify_all(); }

 private:
  std::mutex mu_;
  std::condition_variable changed_;
};

class ABSL_SCOPED_LOCKABLE MutexLock {
 public:
  explicit MutexLock(Mutex& mu) ABSL_EXCLUSIVE_LOCK_FUNCTION(mu) : mu_(mu) { mu_.lock(); }
  ~MutexLock() ABSL_UNLOCK_FUNCTION() { mu_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mu_;
};

}  // namespace evilmoe
