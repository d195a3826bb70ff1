#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "grader_sandbox/cell.h"
#include "grader_sandbox/channel.h"
#include "grader_sandbox/grader_interface.h"
#include "grader_sandbox/prepared_problem.h"
#include "grader_sandbox/value.h"

namespace evilmoe {

// Is told of what a grader does. Thread-safe.
class GradingObserver {
 public:
  virtual ~GradingObserver() = default;
  virtual void OnRun(const Verdict& verdict) = 0;
  virtual void OnLostRun() = 0;  // Unavailable after all retries
  virtual void OnQueueDepth(int num_waiting) = 0;
};

// The runs of one sample, on one cell. Each fact has a run of its own; one that the loophole does not need is not run.
class SampleGrading {
 public:
  // All must outlive it.
  struct Context {
    Cell& cell;
    const PreparedProblem& problem;
    const Comparer& comparer;
    const Interrupt& interrupt;
    GradingObserver* observer;  // may be null
  };
  explicit SampleGrading(const Context& context) : context_(context) {}

  // All facts of `task`. Statuses as Grader::Grade().
  absl::StatusOr<GradeResult> Grade(const GradeTask& task, ChannelKind kind, const std::vector<std::string>& markers);
  // One run of bare code against the problem's tests. `compiled` may be null.
  absl::StatusOr<Verdict> GroundTruth(const std::string& code, bool* compiled);

 private:
  absl::Status TestFunction(const std::string& code, const GradeTask& task, const std::string& name);
  absl::Status StarterAndTests(const std::string& code);
  absl::Status PromptTests(const std::string& code, const GradeTask& task, const std::string& name);
  absl::Status Script(const std::string& code, ChannelKind kind, const std::vector<std::string>& markers);
  absl::StatusOr<bool> SelfReported(std::string_view fact, const RunRequest& request, Judge& judge);
  absl::Status Note(std::string_view fact, const absl::StatusOr<Verdict>& verdict, bool self_reported);

  const Context context_;
  GradeResult result_;
};

}  // namespace evilmoe
