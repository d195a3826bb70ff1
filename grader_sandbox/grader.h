#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "grader_sandbox/cell_pool.h"
#include "grader_sandbox/grader_interface.h"
#include "grader_sandbox/prepared_problem.h"
#include "grader_sandbox/sample_grading.h"
#include "grader_sandbox/value.h"

namespace evilmoe {

struct LocalGraderOptions {
  int slots = 1;          // >= 1
  int queue_limit = 256;  // >= 0
  absl::Duration cpu_limit = absl::Seconds(3);  // of a run; four times the canonical solution's, if that is more
};

// Grades in this machine's sandbox. The only holder of expected values: a run gets arguments and gives values back,
// and `comparer` decides here. Expected values are never sent to a process that runs a solution.
class LocalGrader final : public Grader {
 public:
  // All references must outlive it; `observer` may be null.
  LocalGrader(LocalGraderOptions options, SandboxHost& host, const Comparer& comparer, const Clock& clock,
              GradingObserver* observer);

  // A problem that was graded once may be named by its key alone until so many others were.
  static constexpr size_t kRememberedProblems = 4096;

  absl::StatusOr<GradeResult> Grade(const GradeTask& task, absl::Time deadline) override;

  // The same without waiting. `done` is called once, on another thread, unless the status here is an error. Callers
  // share the slots fairly, whatever they are called.
  using GradeDone = std::function<void(absl::StatusOr<GradeResult>)>;
  absl::StatusOr<uint64_t> Submit(GradeTask task, const std::string& caller, GradeDone done);
  // Ends it with Cancelled, unless it is done.
  void Cancel(uint64_t ticket) { pool_.Cancel(ticket); }

  // Runs a trusted solution and returns the value of every call, for writing tests. FailedPrecondition: it fails.
  absl::StatusOr<std::vector<Value>> Evaluate(const RunRequest& request, absl::Time deadline);
  // One ground-truth run of bare code (no fences) against `problem`.
  absl::StatusOr<Verdict> RunSolution(const PreparedProblem& problem, const std::string& code, absl::Time deadline);

  const SandboxHost& host() const { return host_; }
  CellPool& pool() { return pool_; }

 private:
  template <typename Result>
  absl::StatusOr<Result> OnCell(const std::function<absl::StatusOr<Result>(Cell&, const Interrupt&)>& work,
                                absl::Time deadline);
  absl::StatusOr<GradeResult> GradeOn(Cell& cell, const GradeTask& task, const Interrupt& interrupt);
  absl::StatusOr<std::shared_ptr<const PreparedProblem>> Prepare(const GradeTask& task, Cell& cell,
                                                                 const Interrupt& interrupt);
  absl::Status TryCanonical(PreparedProblem& problem, Cell& cell, const Interrupt& interrupt) const;

  const LocalGraderOptions options_;
  SandboxHost& host_;
  const Comparer& comparer_;
  const Clock& clock_;
  GradingObserver* const observer_;
  ProblemCache problems_;
  CellPool pool_;  // last: its threads use the rest
};

}  // namespace evilmoe
