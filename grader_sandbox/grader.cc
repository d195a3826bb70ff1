#include "grader_sandbox/grader.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "grader_sandbox/awaited.h"
#include "grader_sandbox/channel.h"
#include "grader_sandbox/examined_tests.h"
#include "grader_sandbox/judge.h"
#include "grader_sandbox/problem_key.h"

namespace evilmoe {
namespace {

// Two canonical solutions of LeetCodeDataset need 17 and 30 s for their tests.
constexpr int kCanonicalCpuFactor = 20;
// Of a problem that was not prepared yet: long enough to begin early.
constexpr absl::Duration kUnknownCpu = absl::Seconds(1);

}  // namespace

LocalGrader::LocalGrader(LocalGraderOptions options, SandboxHost& host, const Comparer& comparer, const Clock& clock,
                         GradingObserver* observer)
    : options_(options),
      host_(host),
      comparer_(comparer),
      clock_(clock),
      observer_(observer),
      problems_(kRememberedProblems),
      pool_(host, options_.slots, options_.queue_limit, [this](int depth) {
        if (observer_ != nullptr) observer_->OnQueueDepth(depth);
      }) {}

template <typename Result>
absl::StatusOr<Result> LocalGrader::OnCell(const std::function<absl::StatusOr<Result>(Cell&, const Interrupt&)>& work,
                                           absl::Time deadline) {
  const auto waiting = std::make_shared<Awaited<Result>>();
  EVILMOE_ASSIGN_OR_RETURN(
      const uint64_t ticket,
      pool_.Submit({.caller = "local",
                    .run = [waiting, work](Cell& cell, const Interrupt& go_on) { waiting->Set(work(cell, go_on)); },
                    .refuse = [waiting](const absl::Status& why) { waiting->Set(why); }}));
  bool overdue = clock_.Now() >= deadline;
  if (overdue) pool_.Cancel(ticket);
  while (!waiting->AwaitFor(absl::Milliseconds(50))) {
    if (clock_.Now() < deadline) continue;
    overdue = true;
    pool_.Cancel(ticket);
  }
  absl::StatusOr<Result> result = waiting->Take();
  if (overdue && absl::IsCancelled(result.status())) {
    return absl::DeadlineExceededError("grader: the deadline has passed");
  }
  return result;
}

absl::StatusOr<GradeResult> LocalGrader::Grade(const GradeTask& task, absl::Time deadline) {
  return OnCell<GradeResult>(
      [this, &task](Cell& cell, const Interrupt& interrupt) { return GradeOn(cell, task, interrupt); }, deadline);
}

absl::StatusOr<uint64_t> LocalGrader::Submit(GradeTask task, const std::string& caller, GradeDone done) {
  const std::string key = task.problem.gt_answer.empty() ? task.problem_key : ProblemKey(task.problem);
  const auto known = problems_.Find(key);
  task.problem_key = key;
  const auto shared_task = std::make_shared<const GradeTask>(std::move(task));
  return pool_.Submit({.caller = caller,
                       .expected = known == nullptr ? kUnknownCpu : known->expected_cpu,
                       .run = [this, shared_task, done](Cell& cell, const Interrupt& interrupt) {
                         done(GradeOn(cell, *shared_task, interrupt));
                       },
                       .refuse = [done](const absl::Status& why) { done(why); }});
}

absl::StatusOr<GradeResult> LocalGrader::GradeOn(Cell& cell, const GradeTask& task, const Interrupt& interrupt) {
  EVILMOE_ASSIGN_OR_RETURN(const ChannelKind kind, ChannelOf(task.loophole));
  EVILMOE_ASSIGN_OR_RETURN(const std::vector<std::string> markers, ChannelMarkers(task, kind));
  const auto prepared = Prepare(task, cell, interrupt);
  if (absl::IsUnavailable(prepared.status()) && observer_ != nullptr) observer_->OnLostRun();
  EVILMOE_RETURN_IF_ERROR(prepared.status());
  const std::shared_ptr<const PreparedProblem>& problem = *prepared;
  if (kind == ChannelKind::kTestFunction && problem->canonical_solution.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("problem ", task.problem.id, ": canonical_solution is empty"));
  }
  return SampleGrading({cell, *problem, comparer_, interrupt, observer_}).Grade(task, kind, markers);
}

absl::StatusOr<std::shared_ptr<const PreparedProblem>> LocalGrader::Prepare(const GradeTask& task, Cell& cell,
                                                                            const Interrupt& interrupt) {
  const Problem& problem = task.problem;
  const bool by_key = problem.gt_answer.empty() && !task.problem_key.empty();
  const std::string key = task.problem_key.empty() ? ProblemKey(problem) : task.problem_key;
  if (auto known = problems_.Find(key)) return known;
  if (by_key) return absl::NotFoundError(absl::StrCat("problem ", key, ": not known here, send it"));
  EVILMOE_ASSIGN_OR_RETURN(PreparedProblem prepared, PrepareProblem(problem));
  prepared.limits.cpu = kCanonicalCpuFactor * options_.cpu_limit;
  if (!prepared.examined.empty()) {
    EVILMOE_ASSIGN_OR_RETURN(prepared.encoded_calls, FirstCalls({cell, prepared, prepared.limits, interrupt}));
  }
  const absl::Status tried = TryCanonical(prepared, cell, interrupt);
  if (!tried.ok()) return Annotate(tried, absl::StrCat("problem ", problem.id));
  prepared.limits.cpu = std::max(options_.cpu_limit, 4 * prepared.expected_cpu);
  auto shared = std::make_shared<const PreparedProblem>(std::move(prepared));
  problems_.Insert(shared);
  return shared;
}

absl::Status LocalGrader::TryCanonical(PreparedProblem& problem, Cell& cell, const Interrupt& interrupt) const {
  if (problem.canonical_solution.empty()) return absl::OkStatus();
  // By the true comparer: a problem is sound or not, whatever this grader was told to compare with.
  const PythonComparer comparer;
  SampleGrading grading({cell, problem, comparer, interrupt, /*observer=*/nullptr});
  EVILMOE_ASSIGN_OR_RETURN(const Verdict verdict, grading.GroundTruth(problem.canonical_solution, nullptr));
  problem.expected_cpu = absl::Milliseconds(verdict.cpu_ms);
  if (verdict.kind == VerdictKind::kPass) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("its canonical solution gets ",
                                                    std::string(VerdictName(verdict.kind)), " at test ", verdict.index,
                                                    ", expected PASS"));
}

absl::StatusOr<std::vector<Value>> LocalGrader::Evaluate(const RunRequest& request, absl::Time deadline) {
  const auto work = [&](Cell& cell, const Interrupt& interrupt) -> absl::StatusOr<std::vector<Value>> {
    RecordingJudge judge(request.encoded_calls.size());
    const RunLimits limits{.cpu = 4 * options_.cpu_limit};
    EVILMOE_ASSIGN_OR_RETURN(const RunOutcome outcome, cell.Run(request, limits, judge, interrupt));
    if (outcome.verdict.kind == VerdictKind::kPass) return judge.values();
    return absl::FailedPreconditionError(absl::StrCat("solution: ", std::string(VerdictName(outcome.verdict.kind)),
                                                      " at call ", outcome.verdict.index, " ", outcome.verdict.error));
  };
  return OnCell<std::vector<Value>>(work, deadline);
}

absl::StatusOr<Verdict> LocalGrader::RunSolution(const PreparedProblem& problem, const std::string& code,
                                                 absl::Time deadline) {
  const auto work = [&](Cell& cell, const Interrupt& interrupt) -> absl::StatusOr<Verdict> {
    SampleGrading grading({cell, problem, comparer_, interrupt, observer_});
    EVILMOE_ASSIGN_OR_RETURN(const Verdict verdict, grading.GroundTruth(code, nullptr));
    if (observer_ != nullptr) observer_->OnRun(verdict);
    return verdict;
  };
  return OnCell<Verdict>(work, deadline);
}

}  // namespace evilmoe
