#include "grader_sandbox/cell.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "grader_sandbox/run_monitor.h"
#include "grader_sandbox/zygote_protocol.h"

namespace evilmoe {
namespace {

constexpr int kAttempts = 3;

bool MentionsNumpy(const RunRequest& request) {
  const std::string* texts[] = {&request.setup_code, &request.source, &request.test_source};
  return std::any_of(std::begin(texts), std::end(texts),
                     [](const std::string* text) { return text->find("numpy") != std::string::npos; });
}

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
  const bool numpy = MentionsNumpy(request);
  std::unique_ptr<Zygote>& zygote = numpy ? numpy_ : lean_;
  absl::StatusOr<RunOutcome> outcome;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    judge.Reset();
    outcome = RunOnce(zygote, numpy ? kZygoteNumpy : kZygoteLean, bytes, limits, judge, interrupt);
    if (!absl::IsUnavailable(outcome.status())) return outcome;
    zygote.reset();
  }
  return outcome;
}

absl::StatusOr<RunOutcome> Cell::RunOnce(std::unique_ptr<Zygote>& zygote, const char* imports, const std::string& bytes,
                                         const RunLimits& limits, Judge& judge, const Interrupt& interrupt) {
  if (zygote == nullptr || zygote->num_forks() >= options_.runs_per_zygote) {
    zygote.reset();
    EVILMOE_ASSIGN_OR_RETURN(zygote, Zygote::Start(options_.zygote_binary, imports));
  }
  RunMonitor::Pipes pipes;
  EVILMOE_ASSIGN_OR_RETURN(pipes.request, StreamToChild());
  EVILMOE_ASSIGN_OR_RETURN(pipes.results, PipeFromChild());
  EVILMOE_ASSIGN_OR_RETURN(pipes.output, PipeFromChild());
  return RunMonitor(*zygote, std::move(pipes), limits, judge).Watch(bytes, interrupt);
}

}  // namespace evilmoe
