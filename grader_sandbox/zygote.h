#pragma once

#include <sys/types.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "grader_sandbox/isolation.h"
#include "grader_sandbox/os_fd.h"
#include "grader_sandbox/os_process.h"

namespace evilmoe {

class SlotCgroup;

// The grader's end of one evilmoe-zygote process. Ends it when destroyed. Not thread-safe.
class Zygote {
 public:
  struct Options {
    std::filesystem::path binary;
    std::string imports;  // zygote_protocol.h
    Isolation isolation;
    const SlotCgroup* cgroup = nullptr;  // may be null; else must outlive it
    std::vector<std::string> setups;     // to be held (held_setups.h)
  };
  // Starts the process and waits until its interpreter is warm (about 0.2 s). FailedPrecondition: this machine does not
  // offer the tier. Unavailable: it ended or took over 30 s.
  static absl::StatusOr<std::unique_ptr<Zygote>> Start(const Options& options);
  ~Zygote();
  Zygote(const Zygote&) = delete;
  Zygote& operator=(const Zygote&) = delete;

  struct Child {
    pid_t pid = -1;
    UniqueFd pidfd;
    UniqueFd scratch;  // the folder of a run that may write files, unless the grader made it
  };
  struct ForkMessage {
    int request;
    int results;
    int output;
    bool scratch = false;
    int disk_folder = -1;  // for scratch in tier C
  };
  // One child at a time. Unavailable: the zygote is gone, or cannot fork.
  absl::StatusOr<Child> Fork(const ForkMessage& message);

  // Readable when ReadExit() has something to say.
  int fd() const { return socket_.get(); }
  // How the child ended; nullopt = not yet. Unavailable: the zygote is gone.
  absl::StatusOr<std::optional<ProcessExit>> ReadExit();

  pid_t pid() const { return pid_; }
  int num_forks() const { return num_forks_; }

 private:
  Zygote(pid_t pid, UniqueFd socket) : pid_(pid), socket_(std::move(socket)) {}
  absl::StatusOr<FdMessage> Receive(int timeout_ms);

  const pid_t pid_;
  UniqueFd socket_;
  int num_forks_ = 0;
};

}  // namespace evilmoe
