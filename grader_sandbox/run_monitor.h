#pragma once

#include <poll.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "grader_sandbox/cell.h"

namespace evilmoe {

// Watches one run from its fork to its end: feeds the request, reads results and output, keeps the limits, kills.
// Belongs to cell.cc.
class RunMonitor {
 public:
  struct Pipes {
    FdPair request;
    FdPair results;
    FdPair output;
  };
  // All references must outlive it.
  RunMonitor(Zygote& zygote, Pipes pipes, const RunLimits& limits, Judge& judge)
      : zygote_(zygote), pipes_(std::move(pipes)), limits_(limits), judge_(judge), frames_(limits.value_bytes) {}

  // Unavailable: the zygote was lost, its state is unknown, the run has no verdict.
  absl::StatusOr<RunOutcome> Watch(const std::string& request, const Interrupt& interrupt);

 private:
  using Steady = std::chrono::steady_clock;

  absl::Status Loop(const Interrupt& interrupt);
  absl::Status Wait();
  void FeedRequest();
  void ReadResults();
  void ReadOutput();
  void ReadFrames(std::string_view bytes);
  void CheckLimits();
  void Settle(Verdict verdict);
  absl::Status NoteExit();
  absl::Status JudgeExit();
  bool settled() const { return verdict_.has_value() || !stop_.ok(); }
  absl::Duration elapsed() const { return absl::FromChrono(Steady::now() - started_); }

  Zygote& zygote_;
  Pipes pipes_;
  const RunLimits& limits_;
  Judge& judge_;
  FrameReader frames_;
  Zygote::Child child_;
  Steady::time_point started_;
  std::string_view request_left_;
  size_t result_bytes_ = 0;
  size_t output_bytes_ = 0;
  bool killed_ = false;
  Steady::time_point killed_at_;
  absl::Status stop_;  // not OK: the run has no verdict, this is why
  std::optional<Verdict> verdict_;
  std::optional<ProcessExit> exit_;
  std::string output_;
};

}  // namespace evilmoe
