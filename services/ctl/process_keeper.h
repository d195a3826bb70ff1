#pragma once

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/logger.h"
#include "services/ctl/process.h"
#include "services/ctl/restart_policy.h"

namespace evilmoe {

// A process that is to be there all the time.
struct KeptProcess {
  std::string name;  // of its files: <configs>/<name>.yaml, <logs>/<name>.{stderr,ready.json}
  std::filesystem::path binary;  // started with --config <name>.yaml
  bool is_trainer = false;
  std::function<std::string(int life)> config_yaml;  // of its life-th start, from 1
};

struct KeeperOptions {
  std::filesystem::path configs;
  std::filesystem::path logs;
  absl::Duration term_timeout = absl::Seconds(5);  // between SIGTERM and SIGKILL
  // Steps that what the process works on has done so far; unset: 0.
  std::function<int64_t(const KeptProcess&)> steps = nullptr;
};

// Starts processes, starts again what dies, and ends them. The first one is started before and ended after all others.
// Single-threaded; everything it is given must outlive it.
class ProcessKeeper {
 public:
  // What becomes of a process that has died, or could not be started again; may act on it. `how`: "exit code 3".
  using Policy =
      std::function<RestartDecision(const KeptProcess& process, const DeathReport& death, const std::string& how)>;

  ProcessKeeper(std::vector<KeptProcess> processes, KeeperOptions options, const Clock& clock, Logger& logger,
                SignalWaiter& signals);
  ~ProcessKeeper();  // ends them all

  // Starts the first process and waits for its ready file. Internal: it ended; DeadlineExceeded; Cancelled: a signal
  // asked to stop.
  absl::Status StartFirst(absl::Duration ready_timeout);
  absl::Status StartOthers();  // those that never were; Tend() looks after the rest
  // Looks after what has died and starts what is due; a start that fails is a death. Internal: the policy gave a process
  // up.
  absl::Status Tend(const Policy& policy);
  // SIGKILL to every trainer, so that none takes a job back.
  void KillTrainers();
  // SIGTERM, and SIGKILL after options.term_timeout.
  void EndAll();

 private:
  struct Child {
    KeptProcess process;
    pid_t pid = 0;  // 0 = not running
    absl::Time started;
    absl::Time start_at = absl::InfiniteFuture();  // when to start it next
    int64_t steps_at_start = 0;
    int deaths_in_a_row = 0;
    int life = 0;
  };

  absl::Status Start(Child& child);
  absl::Status StartOrBury(Child& child, const Policy& policy);
  absl::Status Bury(Child& child, const std::string& how, const Policy& policy);
  int64_t StepsOf(const Child& child) const { return options_.steps ? options_.steps(child.process) : 0; }
  void End(std::span<Child> children);

  const KeeperOptions options_;
  const Clock& clock_;
  Logger& logger_;
  SignalWaiter& signals_;
  std::vector<Child> children_;
};

// SIGTERM, SIGINT or SIGHUP.
bool AsksToStop(int signal);

}  // namespace evilmoe
