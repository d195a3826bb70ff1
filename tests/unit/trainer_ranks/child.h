#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace evilmoe {

// So long may anything here take on a machine with other work; only a test that fails waits for it.
inline constexpr absl::Duration kPatience = absl::Seconds(60);

// tests/unit/trainer_ranks/rank_process.cc, spoken to over its standard input. Killed at the end.
class Child {
 public:
  // What it writes to standard error goes to `errors`.
  Child(const std::vector<std::string>& arguments, const std::filesystem::path& errors);
  ~Child();
  Child(Child&& other) noexcept;
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  pid_t pid() const { return pid_; }
  void Say(const std::string& line) const;
  // The next line; "" at its end, or after kPatience (then a test failure too).
  std::string Hear();
  void Signal(int number) const;
  void Freeze() const;  // returns once it is
  // Waits for its end: the exit code, or minus the signal. 1000: it did not end.
  int Wait();

 private:
  pid_t pid_ = 0;
  int fd_ = -1;
  std::string unread_;
};

// Waits for the end of any process of this user; false: it still lives after kPatience.
bool AwaitEnd(pid_t pid);

// A FIFO that tells "RANK PID" lines; the pids in order of rank once `count` have come.
class ReadyFifo {
 public:
  explicit ReadyFifo(const std::filesystem::path& path);
  ~ReadyFifo();
  ReadyFifo(const ReadyFifo&) = delete;
  ReadyFifo& operator=(const ReadyFifo&) = delete;
  std::vector<pid_t> Await(size_t count) const;

 private:
  int fd_;
};

}  // namespace evilmoe
