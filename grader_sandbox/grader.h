#pragma once

#include <filesystem>
#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "grader_sandbox/grader_interface.h"
#include "grader_sandbox/prepared_problem.h"
#include "grader_sandbox/slot_pool.h"
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

struct LocalGraderOptions {
  std::filesystem::path zygote_binary;
  int slots = 1;          // >= 1
  int queue_limit = 256;  // >= 0
  absl::Duration cpu_limit = absl::Seconds(3);  // of a run; four times the canonical solution's, if that is more
};

// Grades in this machine's sandbox. The only holder of expected values: a run gets arguments and gives values back,
// and `comparer` decides here. Expected values are never sent to a process that runs a solution.
class LocalGrader final : public Grader {
 public:
  // All references must outlive it; `observer` may be null.
  LocalGrader(LocalGraderOptions options, const Comparer& comparer, const Clock& clock, GradingObserver* observer);

  absl::StatusOr<GradeResult> Grade(const GradeTask& task, absl::Time deadline) override;
  // The same, also ended by what `interrupt` says.
  absl::StatusOr<GradeResult> GradeUntil(const GradeTask& task, const Interrupt& interrupt);

  // Runs a trusted solution and returns the value of every call, for writing tests. FailedPrecondition: it fails.
  absl::StatusOr<std::vector<Value>> Evaluate(const RunRequest& request, absl::Time deadline);
  // One ground-truth run of bare code (no fences) against `problem`.
  absl::StatusOr<Verdict> RunSolution(const PreparedProblem& problem, const std::string& code, absl::Time deadline);

 private:
  absl::StatusOr<std::shared_ptr<const PreparedProblem>> Prepare(const Problem& problem, Cell& cell,
                                                                 const Interrupt& interrupt);
  absl::StatusOr<SlotPool::Lease> Acquire(const Interrupt& interrupt);
  Interrupt Until(absl::Time deadline) const;

  const LocalGraderOptions options_;
  const Comparer& comparer_;
  const Clock& clock_;
  GradingObserver* const observer_;
  ProblemCache problems_;
  SlotPool slots_;
};

}  // namespace evilmoe
