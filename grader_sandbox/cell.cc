#include "grader_sandbox/cell.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "grader_sandbox/run_monitor.h"

namespace evilmoe {
namespace {

constexpr int kAttempts = 3;

}  // namespace

absl::StatusOr<RunOutcome> Cell::Run(const RunRequest& request, const RunLimits& limits, Judge& judge,
                                     const Interrupt& interrupt) {
  judge.Reset();
  if (request.source.size() > limits.source_bytes) {
    return RunOutcome{.verdict = {.kind = VerdictKind::kCompileError, .error = "source too large"}};
  }
  RunRequest bounded = request;
  bounded.cpu_limit_s = static_cast<int64_t>(std::ceil(absl::ToDoubleSeconds(limits.cpu))) + 1;
  bounded.address_space_bytes = limits.address_space_bytes;
  const std::string bytes = EncodeRunRequest(bounded);
  absl::StatusOr<RunOutcome> outcome;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    judge.Reset();
    outcome = RunOnce(bytes, limits, judge, interrupt);
    if (!absl::IsUnavailable(outcome.status())) return outcome;
    zygote_.reset();
  }
  return outcome;
}

absl::StatusOr<RunOutcome> Cell::RunOnce(const std::string& bytes, const RunLimits& limits, Judge& judge,
                                         const Interrupt& interrupt) {
  if (zygote_ == nullptr || zygote_->num_forks() >= options_.runs_per_zygote) {
    zygote_.reset();
    EVILMOE_ASSIGN_OR_RETURN(zygote_, Zygote::Start(options_.zygote_binary));
  }
  RunMonitor::Pipes pipes;
  EVILMOE_ASSIGN_OR_RETURN(pipes.request, StreamToChild());
  EVILMOE_ASSIGN_OR_RETURN(pipes.results, PipeFromChild());
  EVILMOE_ASSIGN_OR_RETURN(pipes.output, PipeFromChild());
  return RunMonitor(*zygote_, std::move(pipes), limits, judge).Watch(bytes, interrupt);
}

}  // namespace evilmoe
