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
    static absl::StatusOr<Pipes> Make();
  };
  // All must outlive it.
  struct Context {
    Zygote& zygote;
    const SlotCgroup* cgroup;  // may be null
    const RunPlan& plan;
    Judge& judge;
  };
  // `disk_folder`: where the run may write files, when the zygote cannot make it a folder; else null.
  RunMonitor(const Context& context, Pipes pipes, const UniqueFd* disk_folder)
      : zygote_(context.zygote),
        cgroup_(context.cgroup),
        plan_(context.plan),
        limits_(context.plan.limits),
        judge_(context.judge),
        disk_folder_(disk_folder),
        pipes_(std::move(pipes)),
        frames_(limits_.value_bytes),
        request_left_(plan_.request) {}

  // Unavailable: the zygote was lost, its state is unknown, the run has no verdict.
  absl::StatusOr<RunOutcome> Watch(const Interrupt& interrupt);

 private:
  using Steady = std::chrono::steady_clock;

  absl::Status Begin();
  absl::Status Loop(const Interrupt& interrupt);
  absl::StatusOr<RunOutcome> Finish();
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
  const SlotCgroup* const cgroup_;
  const RunPlan& plan_;
  const RunLimits& limits_;
  Judge& judge_;
  const UniqueFd* const disk_folder_;
  Pipes pipes_;
  FrameReader frames_;
  Zygote::Child child_;
  Steady::time_point started_;
  Steady::time_point next_read_;
  std::string_view request_left_;
  size_t result_bytes_ = 0;
  size_t output_bytes_ = 0;
  int64_t oom_kills_before_ = 0;
  bool killed_ = false;
  Steady::time_point killed_at_;
  absl::Status stop_;  // not OK: the run has no verdict, this is why
  std::optional<Verdict> verdict_;
  std::optional<ProcessExit> exit_;
  std::string output_;
};

}  // namespace evilmoe
