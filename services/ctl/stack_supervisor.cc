#include "services/ctl/stack_supervisor.h"

#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status_macros.h"

namespace evilmoe {
namespace {

constexpr absl::Duration kTick = absl::Milliseconds(200);
constexpr absl::Duration kReadyTimeout = absl::Seconds(20);
constexpr absl::Duration kLostTimeout = absl::Minutes(2);
constexpr char kTrainer[] = "trainer";

}  // namespace

const char* RunActionName(RunAction action) {
  switch (action) {
    case RunAction::kNone: return "none";
    case RunAction::kResume: return "resume";
    case RunAction::kRetry: return "retry";
    case RunAction::kCancel: return "cancel";
  }
  return "?";
}

std::vector<KeptProcess> KeptProcesses(const StackLayout& layout) {
  std::vector<KeptProcess> kept;
  for (const StackProcess& process : StackProcesses(layout.shape)) {
    kept.push_back({process.name, layout.binaries / process.binary, process.is_trainer,
                    [layout, process](int life) { return ProcessConfigYaml(layout, process, life); }});
  }
  return kept;
}

StackSupervisor::StackSupervisor(StackOptions options, const Clock& clock, Logger& logger, SignalWaiter& signals,
                                 Connect connect)
    : options_(std::move(options)),
      connect_(std::move(connect)),
      clock_(clock),
      logger_(logger),
      signals_(signals),
      targets_(options_.layout, logger),
      idle_since_(clock.Now()),
      keeper_(KeptProcesses(options_.layout),
              {options_.layout.configs, options_.layout.logs, options_.term_timeout,
               [this](const KeptProcess&) { return most_steps_; }},
              clock, logger, signals) {}

absl::Status StackSupervisor::Run() {
  EVILMOE_ASSIGN_OR_RETURN(run_, options_.directory.ReadSummary());
  absl::Status status = Start();
  if (status.ok()) status = Loop();
  while (status.ok() && IsWantedAgain()) status = Loop();
  if (!status.ok()) FailRun(status);
  // Who wants the run's stack now has to wait for its end.
  status.Update(WriteStackFile(""));
  keeper_.EndAll();
  return status;
}

absl::Status StackSupervisor::Start() {
  EVILMOE_ASSIGN_OR_RETURN(const std::string config_yaml, ReadFile(options_.directory.Config(), size_t{1} << 20));
  EVILMOE_RETURN_IF_ERROR(keeper_.StartFirst(kReadyTimeout));
  const std::string address = CoordinatorAddress(options_.layout.sockets);
  link_ = connect_(address);
  EVILMOE_RETURN_IF_ERROR(Annotate(link_->SubmitRun(run_, config_yaml).status(), "submit to the private coordinator"));
  EVILMOE_RETURN_IF_ERROR(Act());
  EVILMOE_RETURN_IF_ERROR(WatchRun());
  if (!IsFinished(run_) || options_.action == RunAction::kNone) EVILMOE_RETURN_IF_ERROR(keeper_.StartOthers());
  return WriteStackFile(address);
}

absl::Status StackSupervisor::WriteStackFile(const std::string& endpoint) {
  const std::string page = endpoint.empty() ? "" : PageUrl(options_.layout);
  const nlohmann::ordered_json stack = {{"pid", getpid()}, {"endpoint", endpoint}, {"page", page}};
  EVILMOE_RETURN_IF_ERROR(WriteFileAtomic(options_.directory.StackFile(), stack.dump() + "\n"));
  page_ = page;  // not before: WatchPage() tries again
  return absl::OkStatus();
}

void StackSupervisor::WatchPage() {
  const std::string page = PageUrl(options_.layout);
  if (page.empty() || page == page_) return;
  const absl::Status status = WriteStackFile(CoordinatorAddress(options_.layout.sockets));
  if (!status.ok()) logger_.Warn("page_not_written", {{"error", std::string(status.message())}});
}

absl::Status StackSupervisor::Act() {
  absl::Status done;
  switch (options_.action) {
    case RunAction::kNone: return absl::OkStatus();
    case RunAction::kResume: done = link_->ResumeRun(run_.run_id).status(); break;
    case RunAction::kRetry: done = link_->RetryRun(run_.run_id).status(); break;
    case RunAction::kCancel: done = link_->CancelRun(run_.run_id).status(); break;
  }
  if (done.ok()) return done;
  // The run is as it was, not failed: whoever waits for the action sees that it did not come.
  logger_.Error("action_refused",
                {{"action", RunActionName(options_.action)}, {"error", std::string(done.message())}});
  return absl::OkStatus();
}

absl::Status StackSupervisor::Loop() {
  idle_since_ = clock_.Now();
  while (!IsIdle()) {
    if (const int signal = signals_.Wait(kTick); AsksToStop(signal)) {
      logger_.Info("stopping", {{"signal", signal}});
      stop_asked_ = true;
      return absl::OkStatus();
    }
    // A stack that was started to cancel the run has no workers, until the run is wanted again.
    if (!IsAtRest()) EVILMOE_RETURN_IF_ERROR(keeper_.StartOthers());
    EVILMOE_RETURN_IF_ERROR(keeper_.Tend([this](const KeptProcess&, const DeathReport& death, const std::string&) {
      RestartDecision decision = DecideRestart(death);
      decision.stay_down = IsFinished(run_);  // Its work is done.
      return decision;
    }));
    EVILMOE_RETURN_IF_ERROR(WatchRun());
    targets_.Update();
    WatchPage();
  }
  logger_.Info("run_ended", {{"state", run_.state}});
  return absl::OkStatus();
}

bool StackSupervisor::IsIdle() {
  const absl::Time now = clock_.Now();
  if (!IsAtRest()) idle_since_ = now;
  return now - idle_since_ > options_.layout.shape.linger;
}

bool StackSupervisor::IsWantedAgain() {
  if (stop_asked_) return false;
  // Who asks something of the run from here on finds that this stack serves no more. Who asked before it could know has put
  // the run in motion again, which is looked at behind that: so nobody's wish is lost.
  if (!WriteStackFile("").ok()) return false;
  const absl::StatusOr<RunSummary> run = link_->GetRun(run_.run_id);
  if (!run.ok() || IsFinished(*run) || run->state == "paused") return false;
  run_.state = run->state;  // or without linger the loop would end before it looks
  return WriteStackFile(CoordinatorAddress(options_.layout.sockets)).ok();
}

absl::Status StackSupervisor::WatchRun() {
  const absl::Time now = clock_.Now();
  absl::StatusOr<RunSummary> run = link_->GetRun(run_.run_id);
  if (!run.ok()) {
    lost_since_ = lost_since_.value_or(now);
    if (now - *lost_since_ > kLostTimeout) return Annotate(run.status(), "the private coordinator is lost");
    return absl::OkStatus();
  }
  lost_since_.reset();
  run_ = *std::move(run);
  most_steps_ = std::max(most_steps_, run_.steps_done);
  return absl::OkStatus();
}

void StackSupervisor::FailRun(const absl::Status& why) {
  logger_.Error("stack_failed", {{"error", std::string(why.message())}});
  const std::string error(why.message());
  if (link_ != nullptr && !IsFinished(run_)) {
    // The trainer is ended first, so that it cannot take the job back.
    keeper_.KillTrainers();
    const absl::Status status = link_->FailRun(run_.run_id, kTrainer, error);
    if (!status.ok()) logger_.Error("run_not_failed_in_store", {{"error", std::string(status.message())}});
    const absl::Status seen = WatchRun();
    if (!seen.ok()) logger_.Error("run_not_seen", {{"error", std::string(seen.message())}});
  }
  if (IsFinished(run_)) return;
  // There is no coordinator that could write it.
  if (const absl::StatusOr<RunSummary> written = options_.directory.ReadSummary(); written.ok()) run_ = *written;
  run_.state = "failed";
  run_.error = error;
  run_.finished_unix_ms = absl::ToUnixMillis(clock_.Now());
  const absl::Status status = options_.directory.WriteSummary(run_);
  if (!status.ok()) logger_.Error("summary_not_written", {{"error", std::string(status.message())}});
}

}  // namespace evilmoe
