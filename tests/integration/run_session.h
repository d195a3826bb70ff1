#pragma once

#include <sys/types.h>

#include <csignal>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "services/ctl/run_view.h"
#include "services/runs/run_directory.h"

namespace evilmoe {

// What the tests here share: evilmoe-ctl started as a person would start it, and what a person can look at afterwards,
// the run's directory and the processes. Real processes and real seconds; every wait has a deadline.

// So long may a small run take on a machine that has other work, sanitizers included.
inline constexpr absl::Duration kRunTimeout = absl::Minutes(3);
// Past the run's end: the stack's linger time and its processes' ends.
inline constexpr absl::Duration kEndTimeout = absl::Seconds(40);

// Asks every 20 ms. False: `is_true` never was within `timeout`.
bool WaitUntil(absl::Duration timeout, const std::function<bool()>& is_true);

// One run as it looks from outside.
class RunOnDisk {
 public:
  explicit RunOnDisk(std::filesystem::path path) : directory_{std::move(path)} {}

  const RunDirectory& directory() const { return directory_; }
  std::string id() const { return directory_.path.filename().string(); }
  // Events so far, oldest first; those of one kind with `kind`.
  std::vector<RunEventView> Events(const std::string& kind = "") const;
  std::string State() const;  // of run.json; "" when it cannot be read
  bool AwaitStep(int64_t step) const;
  // Until run.json tells that the run has ended; returns that state, or the one at the deadline.
  std::string AwaitEnd() const;
  // Until no stack and no process of the stack's session is left.
  bool AwaitNoProcess() const;

  // logs/<component>.ready.json; nullopt: not there (yet).
  std::optional<pid_t> PidOf(const std::string& component) const;
  // Waits for the ready file, and for the end of the process. False: it was not there to be killed.
  bool Kill(const std::string& component, int signal = SIGKILL) const;
  // Lines of logs/stack.log that tell of this event and process.
  int NumStackLogs(const std::string& event, const std::string& process) const;
  // Processes of the stack's session, zombies left out; empty too when the stack never said its pid.
  std::vector<pid_t> Processes() const;
  // The folder of the stack's sockets; empty when the stack never said it.
  std::filesystem::path Sockets() const;

  std::vector<nlohmann::json> Metrics() const;               // metrics.jsonl
  std::vector<nlohmann::json> Rollouts(int64_t step) const;  // rollouts/step-N.jsonl.zst

 private:
  RunDirectory directory_;
};

// What a command printed and how it ended.
struct CommandResult {
  int exit_code = -1;  // -1 = it did not end in time, or ended by a signal
  std::string out;
  std::string errors;
};

// A home for runs of its own, removed at the end together with every stack in it, the long-lived one included. Not thread-safe.
class RunSession {
 public:
  RunSession();
  ~RunSession();
  RunSession(const RunSession&) = delete;
  RunSession& operator=(const RunSession&) = delete;

  const std::filesystem::path& home() const { return home_; }
  // The nano experiment, cut down to 4 steps of 16 short samples; the fields of `fields` ("a.b") replace those.
  std::filesystem::path WriteRunFile(const std::map<std::string, std::string>& fields = {});
  // evilmoe-ctl with these words, waited for.
  CommandResult Ctl(const std::vector<std::string>& words);
  // Any program; `words` begins with its path.
  CommandResult Execute(const std::vector<std::string>& words);
  // A program that stays, ended with the session. Its output goes to `output`.
  pid_t StartInBackground(const std::vector<std::string>& words, const std::filesystem::path& output);
  // `submit --detach`. A run without an id: it was refused, which is told as a test failure.
  RunOnDisk Submit(const std::filesystem::path& file, const std::vector<std::string>& more_words = {});
  // The only run there is.
  RunOnDisk OnlyRun() const;

 private:
  std::filesystem::path home_;
  std::vector<pid_t> background_;
  int num_commands_ = 0;
};

// "" or the last line of `text`, without its newline.
std::string LastLine(const std::string& text);

}  // namespace evilmoe
