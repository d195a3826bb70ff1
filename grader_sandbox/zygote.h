#pragma once

#include <sys/types.h>

#include <filesystem>
#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "grader_sandbox/os_fd.h"
#include "grader_sandbox/os_process.h"

namespace evilmoe {

// The grader's end of one evilmoe-zygote process. Ends it when destroyed. Not thread-safe.
class Zygote {
 public:
  // Starts `binary` (imports: zygote_protocol.h) and waits until its interpreter is warm (about 0.2 s). Unavailable: it
  // ended or took over 30 s.
  static absl::StatusOr<std::unique_ptr<Zygote>> Start(const std::filesystem::path& binary, const char* imports);
  ~Zygote();
  Zygote(const Zygote&) = delete;
  Zygote& operator=(const Zygote&) = delete;

  struct Child {
    pid_t pid = -1;
    UniqueFd pidfd;
  };
  // One child at a time. Unavailable: the zygote is gone, or cannot fork.
  absl::StatusOr<Child> Fork(const UniqueFd& request, const UniqueFd& results, const UniqueFd& output);

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
