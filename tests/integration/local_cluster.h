#pragma once

#include <sys/types.h>

#include <filesystem>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "common/mutex.h"
#include "nlohmann/json.hpp"

namespace evilmoe {

// Processes of one cluster on this machine, each from a config file of its own and started again whenever it ends, as
// an init system or an orchestrator would; nothing of evilmoe-ctl's own stacks. Thread-safe. Whatever way the test
// itself ends, its processes end too.
class LocalCluster {
 public:
  // Holds NAME.yaml, NAME.log, NAME.stderr and NAME.ready.json of each process. Must exist.
  explicit LocalCluster(std::filesystem::path folder);
  ~LocalCluster();
  LocalCluster(const LocalCluster&) = delete;
  LocalCluster& operator=(const LocalCluster&) = delete;

  // `yaml`: the config file but for log, ready_file and metrics_listen, which are added.
  void Start(const std::string& name, const std::string& binary, const std::string& yaml);
  // SIGTERM to all, "coordinator" and "grader" last, so that the others have them to say goodbye to; SIGKILL for who does
  // not end in time, which is a failure. Nothing is started again from here on.
  void Stop();

  // The ready file of the present life; an empty object where it has none within 30 s.
  nlohmann::json AwaitReady(const std::string& name) const;
  // 0: between two lives.
  pid_t PidOf(const std::string& name) const;
  // Its child processes' pids, in ascending order.
  std::vector<pid_t> ChildrenOf(const std::string& name) const;
  // False: there was nobody to get it.
  bool Signal(const std::string& name, int signal) const;
  // How each life that has ended did so: "rollout-0: signal 9 (Killed)".
  std::vector<std::string> Ends() const;
  std::filesystem::path LogOf(const std::string& name) const { return folder_ / (name + ".log"); }

 private:
  struct Process {
    std::string binary;
    pid_t pid = 0;
  };
  pid_t StartLife(const std::string& name, const std::string& binary) const;
  void Keep(const std::stop_token& stop);
  void StopAll(const std::vector<std::string>& names);

  const std::filesystem::path folder_;
  mutable Mutex mu_;
  std::map<std::string, Process> processes_ ABSL_GUARDED_BY(mu_);
  std::vector<std::string> ends_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::jthread keeper_;
};

}  // namespace evilmoe
