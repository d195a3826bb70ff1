#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "common/logger.h"
#include "common/mutex.h"
#include "services/coordinator/coordinator_core.h"

namespace evilmoe {

// Keeps run.json and events.jsonl of every run's directory as the store has it, so that a run can be read without a
// coordinator. A copy: what cannot be written is logged, tried again at the run's next change, and holds nobody up.
// After a crash the copy goes on behind its last whole line. Owns a thread from Start() on. Thread-safe. `logger` must
// outlive it.
class RunMirror {
 public:
  explicit RunMirror(Logger& logger) : logger_(logger) {}
  ~RunMirror() { Stop(); }

  // A run has changed (CoordinatorCore::Watchers). Returns at once.
  void Touch(const std::string& run_id) ABSL_LOCKS_EXCLUDED(mu_);
  // Begins with all runs of `core`, which must live until Stop().
  void Start(CoordinatorCore& core);
  // Writes what was touched, then ends.
  void Stop() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void Run(CoordinatorCore& core);
  absl::Status Copy(CoordinatorCore& core, const std::string& run_id);

  Logger& logger_;
  std::map<std::string, int64_t> copied_;  // last event of a run in its file; the thread's alone
  Mutex mu_;
  std::set<std::string> touched_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::jthread thread_;
};

}  // namespace evilmoe
