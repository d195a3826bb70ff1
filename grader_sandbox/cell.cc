#include "grader_sandbox/cell.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "grader_sandbox/run_monitor.h"
#include "grader_sandbox/zygote_protocol.h"

namespace evilmoe {
namespace {

constexpr int kAttempts = 3;
constexpr absl::Duration kFirstPause = absl::Milliseconds(20);  // then four times that: a shortage may pass
constexpr int kTasksPerSlot = 28;                               // a run's, and the zygotes

bool MentionsNumpy(const RunRequest& request) {
  const std::string* texts[] = {&request.setup_code, &request.source, &request.test_source};
  return std::any_of(std::begin(texts), std::end(texts),
                     [](const std::string* text) { return text->find("numpy") != std::string::npos; });
}

RunPlan PlanOf(RunRequest request, const RunLimits& limits) {
  request.cpu_limit_s = static_cast<int64_t>(std::ceil(absl::ToDoubleSeconds(limits.hard_cpu()))) + 1;
  request.address_space_bytes = limits.address_space_bytes;
  return {.request = EncodeRunRequest(request), .uses_files = request.uses_files, .limits = limits};
}

// Only the machine's doing: a run that cannot be started, or whose zygote is gone.
absl::Status Lost(const absl::Status& status) {
  return status.ok() ? status : absl::UnavailableError(status.message());
}

// Ended by another limit or by the filter: how long it took does not matter any more.
bool WasStopped(VerdictKind kind) {
  return kind == VerdictKind::kTimeout || kind == VerdictKind::kMemoryLimit || kind == VerdictKind::kOutputLimit ||
         kind == VerdictKind::kSandboxViolation;
}

}  // namespace

Cell::Cell(Options options)
    : options_(std::move(options)),
      lean_{.imports = options_.with_ctypes ? kZygoteCtypes : kZygoteLean, .zygote = nullptr},
      numpy_{.imports = kZygoteNumpy, .zygote = nullptr} {}

absl::StatusOr<RunOutcome> Cell::Run(RunRequest request, const RunLimits& limits, Judge& judge,
                                     const Interrupt& interrupt) {
  judge.Reset();
  if (request.source.size() > limits.source_bytes) {
    return RunOutcome{.verdict = {.kind = VerdictKind::kCompileError, .error = "source too large"}};
  }
  Nursery& nursery = MentionsNumpy(request) ? numpy_ : lean_;
  const RunPlan plan = PlanOf(std::move(request), limits);
  EVILMOE_ASSIGN_OR_RETURN(RunOutcome outcome, RunBesideOthers(nursery, plan, judge, interrupt));
  const auto over = [&] {
    return !WasStopped(outcome.verdict.kind) && absl::Milliseconds(outcome.verdict.cpu_ms) > limits.cpu;
  };
  if (!over()) return outcome;
  if (options_.gate != nullptr) {
    EVILMOE_ASSIGN_OR_RETURN(const RunGate::Pass alone, options_.gate->EnterAlone(interrupt));
    EVILMOE_ASSIGN_OR_RETURN(outcome, RunUntilDone(nursery, plan, judge, interrupt));
  }
  if (over()) {
    outcome.verdict.kind = VerdictKind::kTimeout;
    outcome.verdict.error = "cpu";
  }
  return outcome;
}

absl::StatusOr<RunOutcome> Cell::RunBesideOthers(Nursery& nursery, const RunPlan& plan, Judge& judge,
                                                 const Interrupt& interrupt) {
  std::optional<RunGate::Pass> pass;
  if (options_.gate != nullptr) {
    EVILMOE_ASSIGN_OR_RETURN(RunGate::Pass entered, options_.gate->Enter(interrupt));
    pass.emplace(std::move(entered));
  }
  return RunUntilDone(nursery, plan, judge, interrupt);
}

absl::StatusOr<RunOutcome> Cell::RunUntilDone(Nursery& nursery, const RunPlan& plan, Judge& judge,
                                              const Interrupt& interrupt) {
  absl::StatusOr<RunOutcome> outcome;
  absl::Duration pause = kFirstPause;
  for (int attempt = 0; attempt < kAttempts; ++attempt, pause *= 4) {
    if (attempt > 0) {
      std::this_thread::sleep_for(absl::ToChronoMilliseconds(pause));
      EVILMOE_RETURN_IF_ERROR(interrupt());
    }
    judge.Reset();
    outcome = RunOnce(nursery, plan, judge, interrupt);
    if (!absl::IsUnavailable(outcome.status())) return outcome;
    nursery.zygote.reset();
    // Its folder may be gone, or spoilt: made anew with the next zygote.
    if (lean_.zygote == nullptr && numpy_.zygote == nullptr) cgroup_.reset();
  }
  return outcome;
}

absl::Status Cell::Warm(Nursery& nursery, int64_t rss_bytes) {
  if (nursery.zygote != nullptr && nursery.zygote->num_forks() < options_.runs_per_zygote) return absl::OkStatus();
  nursery.zygote.reset();
  if (options_.cgroups != nullptr && cgroup_ == nullptr) {
    EVILMOE_ASSIGN_OR_RETURN(cgroup_, options_.cgroups->MakeSlot(options_.name));
  }
  EVILMOE_ASSIGN_OR_RETURN(nursery.zygote, Zygote::Start({.binary = options_.zygote_binary,
                                                          .imports = nursery.imports,
                                                          .isolation = options_.isolation,
                                                          .cgroup = cgroup_.get(),
                                                          .setups = options_.setups}));
  // What the zygotes use now, and a run on top.
  return cgroup_ == nullptr ? absl::OkStatus() : cgroup_->Limit(rss_bytes, kTasksPerSlot);
}

absl::StatusOr<RunOutcome> Cell::RunOnce(Nursery& nursery, const RunPlan& plan, Judge& judge,
                                         const Interrupt& interrupt) {
  EVILMOE_RETURN_IF_ERROR(Lost(Warm(nursery, plan.limits.rss_bytes)));
  absl::StatusOr<RunMonitor::Pipes> pipes = RunMonitor::Pipes::Make();
  EVILMOE_RETURN_IF_ERROR(Lost(pipes.status()));
  std::optional<DiskScratchFolder> folder;
  if (plan.uses_files && !options_.isolation.has_namespaces()) {
    EVILMOE_ASSIGN_OR_RETURN(DiskScratchFolder made, DiskScratchFolder::Make(options_.isolation.uid));
    folder.emplace(std::move(made));
  }
  RunMonitor monitor({.zygote = *nursery.zygote, .cgroup = cgroup_.get(), .plan = plan, .judge = judge},
                     *std::move(pipes), folder ? &folder->fd() : nullptr);
  absl::StatusOr<RunOutcome> outcome = monitor.Watch(interrupt);
  if (outcome.ok() && folder && !folder->HasRoom()) return absl::UnavailableError("scratch folder: the disk is full");
  return outcome;
}

}  // namespace evilmoe
