#include "services/ctl/stack_supervisor.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status_macros.h"

namespace evilmoe {
namespace {

// Threads of OpenMP spin for about a millisecond before they sleep. Where other processes want the cores too, each
// barrier then waits for a thread that a spinning one keeps from running (a second of sampling beside a second sampler
// on 2 cores took 240); 500 turns cost 0.2 ms at most and keep three quarters of the speed of an idle machine.
constexpr std::string_view kShortOpenMpWait = "GOMP_SPINCOUNT=500";

constexpr absl::Duration kTick = absl::Milliseconds(200);
constexpr absl::Duration kReadyTimeout = absl::Seconds(20);
constexpr absl::Duration kLostTimeout = absl::Minutes(2);

bool AsksToStop(int signal) { return signal == SIGTERM || signal == SIGINT || signal == SIGHUP; }

}  // namespace

StackSupervisor::StackSupervisor(StackOptions options, const Clock& clock, Logger& logger, SignalWaiter& signals,
                                 Connect connect)
    : options_(std::move(options)),
      connect_(std::move(connect)),
      clock_(clock),
      logger_(logger),
      signals_(signals),
      idle_since_(clock.Now()) {
  for (const StackProcess& process : StackProcesses(options_.shape.num_workers)) {
    Child child;
    child.process = process;
    child.start_at = absl::InfiniteFuture();
    children_.push_back(std::move(child));
  }
}

StackSupervisor::~StackSupervisor() { StopChildren(); }

absl::Status StackSupervisor::Run() {
  EVILMOE_ASSIGN_OR_RETURN(run_, options_.directory.ReadSummary());
  // A stack that was killed may have copied an event and not yet said so.
  EVILMOE_ASSIGN_OR_RETURN(const FeedPage copied, FileFeed(options_.directory).Next(run_.last_seq));
  if (!copied.events.empty()) run_.last_seq = copied.events.back().seq;
  absl::Status status = Start();
  if (status.ok()) status = Loop();
  if (!status.ok()) FailRun(status);
  StopChildren();
  return status;
}

absl::Status StackSupervisor::Start() {
  EVILMOE_ASSIGN_OR_RETURN(const std::string config_yaml, ReadFile(options_.directory.Config(), size_t{1} << 20));
  EVILMOE_RETURN_IF_ERROR(StartChild(children_[0]));
  EVILMOE_RETURN_IF_ERROR(AwaitCoordinator());
  const std::string address = CoordinatorAddress(options_.sockets);
  link_ = connect_(address);
  EVILMOE_RETURN_IF_ERROR(Annotate(link_->SubmitRun(run_, config_yaml), "submit to the private coordinator"));
  EVILMOE_RETURN_IF_ERROR(MirrorRun());
  for (size_t i = 1; i < children_.size(); ++i) EVILMOE_RETURN_IF_ERROR(StartChild(children_[i]));
  const nlohmann::ordered_json stack = {{"pid", getpid()}, {"endpoint", address}};
  return WriteFileAtomic(options_.directory.StackFile(), stack.dump() + "\n");
}

absl::Status StackSupervisor::StartChild(Child& child) {
  const std::string& name = child.process.name;
  const std::filesystem::path config = options_.directory.StackConfigs() / (name + ".yaml");
  std::error_code ignored;
  std::filesystem::remove(options_.directory.Logs() / (name + ".ready.json"), ignored);
  child.life += 1;
  EVILMOE_RETURN_IF_ERROR(WriteFileAtomic(config, ProcessConfigYaml(options_, child.process, child.life)));
  ProcessSpec spec;
  spec.binary = options_.binaries / child.process.binary;
  spec.arguments = {"--config", config.string()};
  spec.output = options_.directory.Logs() / (name + ".stderr");
  spec.default_environment = {std::string(kShortOpenMpWait)};
  EVILMOE_ASSIGN_OR_RETURN(child.pid, Spawn(spec));
  child.started = clock_.Now();
  child.start_at = absl::InfiniteFuture();
  child.steps_at_start = most_steps_;
  logger_.Info("process_started", {{"process", name}, {"pid", child.pid}, {"life", child.life}});
  return absl::OkStatus();
}

absl::Status StackSupervisor::AwaitCoordinator() {
  const std::filesystem::path ready = options_.directory.Logs() / "coordinator.ready.json";
  const absl::Time deadline = clock_.Now() + kReadyTimeout;
  while (!std::filesystem::exists(ready)) {
    if (const std::optional<int> status = Reap(children_[0].pid)) {
      children_[0].pid = 0;
      return absl::InternalError(absl::StrCat("evilmoe-coordinator ended at its start with ", DescribeExit(*status),
                                              "; see ", (options_.directory.Logs() / "coordinator.stderr").string()));
    }
    if (clock_.Now() > deadline) {
      return absl::DeadlineExceededError(
          absl::StrCat("evilmoe-coordinator was not ready within ", absl::FormatDuration(kReadyTimeout)));
    }
    if (AsksToStop(signals_.Wait(absl::Milliseconds(20)))) return absl::CancelledError("stopped at its start");
  }
  return absl::OkStatus();
}

absl::Status StackSupervisor::Loop() {
  idle_since_ = clock_.Now();
  while (!IsIdle()) {
    if (const int signal = signals_.Wait(kTick); AsksToStop(signal)) {
      logger_.Info("stopping", {{"signal", signal}});
      return absl::OkStatus();
    }
    EVILMOE_RETURN_IF_ERROR(ReapChildren());
    EVILMOE_RETURN_IF_ERROR(StartDueChildren());
    EVILMOE_RETURN_IF_ERROR(MirrorRun());
    GatherTargets();
  }
  logger_.Info("run_ended", {{"state", run_.state}});
  return absl::OkStatus();
}

bool StackSupervisor::IsIdle() {
  const absl::Time now = clock_.Now();
  if (!IsFinished(run_)) idle_since_ = now;
  return now - idle_since_ > options_.shape.linger;
}

absl::Status StackSupervisor::ReapChildren() {
  const absl::Time now = clock_.Now();
  for (Child& child : children_) {
    if (child.pid == 0) continue;
    const std::optional<int> status = Reap(child.pid);
    if (!status) continue;
    child.pid = 0;
    if (IsFinished(run_)) continue;  // Its work is done.
    const RestartDecision decision = DecideRestart(
        {child.process.is_trainer, now - child.started, child.steps_at_start, most_steps_, child.deaths_in_a_row});
    child.deaths_in_a_row = decision.deaths_in_a_row;
    const std::string how = DescribeExit(*status);
    logger_.Warn("process_died", {{"process", child.process.name},
                                  {"how", how},
                                  {"deaths_in_a_row", child.deaths_in_a_row},
                                  {"give_up", decision.give_up}});
    if (decision.give_up) {
      return absl::InternalError(absl::StrCat(child.process.name, " died ", child.deaths_in_a_row,
                                              " times in a row, at last with ", how, "; see ",
                                              (options_.directory.Logs() / (child.process.name + ".stderr")).string()));
    }
    child.start_at = now + decision.delay;
  }
  return absl::OkStatus();
}

absl::Status StackSupervisor::StartDueChildren() {
  const absl::Time now = clock_.Now();
  for (Child& child : children_) {
    if (child.pid == 0 && child.start_at <= now) EVILMOE_RETURN_IF_ERROR(StartChild(child));
  }
  return absl::OkStatus();
}

void StackSupervisor::GatherTargets() {
  std::string targets = TargetsJson(options_, run_.run_id);
  if (targets == targets_) return;
  const absl::Status status = WriteFileAtomic(options_.directory.Targets(), targets);
  if (!status.ok()) logger_.Warn("targets_not_written", {{"error", std::string(status.message())}});
  targets_ = std::move(targets);
}

absl::Status StackSupervisor::MirrorRun() {
  const absl::Time now = clock_.Now();
  const int64_t seen_seq = run_.last_seq;
  absl::StatusOr<FeedPage> page = link_->ListEvents(run_.run_id, seen_seq);
  if (!page.ok()) {
    lost_since_ = lost_since_.value_or(now);
    if (now - *lost_since_ > kLostTimeout) return Annotate(page.status(), "the private coordinator is lost");
    return absl::OkStatus();
  }
  lost_since_.reset();
  for (const RunEventView& event : page->events) {
    EVILMOE_RETURN_IF_ERROR(AppendLine(options_.directory.Events(), EventLine(event)));
  }
  page->run.last_seq = page->events.empty() ? seen_seq : page->events.back().seq;
  page->run.directory = options_.directory.path.string();
  most_steps_ = std::max(most_steps_, page->run.steps_done);
  if (ToJson(page->run) == ToJson(run_)) return absl::OkStatus();
  run_ = std::move(page->run);
  return options_.directory.WriteSummary(run_);
}

void StackSupervisor::FailRun(const absl::Status& why) {
  logger_.Error("stack_failed", {{"error", std::string(why.message())}});
  const std::string error(why.message());
  if (link_ != nullptr && !IsFinished(run_)) {
    // The trainer is ended first, so that it cannot take the job back.
    for (Child& child : children_) {
      if (child.process.is_trainer && child.pid != 0) kill(child.pid, SIGKILL);
    }
    const absl::Status status = link_->FailRun(run_.run_id, error);
    if (!status.ok()) logger_.Error("run_not_failed_in_store", {{"error", std::string(status.message())}});
    const absl::Status mirrored = MirrorRun();
    if (!mirrored.ok()) logger_.Error("run_not_mirrored", {{"error", std::string(mirrored.message())}});
  }
  if (IsFinished(run_)) return;
  run_.state = "failed";
  run_.error = error;
  run_.finished_unix_ms = absl::ToUnixMillis(clock_.Now());
  const absl::Status status = options_.directory.WriteSummary(run_);
  if (!status.ok()) logger_.Error("summary_not_written", {{"error", std::string(status.message())}});
}

void StackSupervisor::StopChildren() {
  // Workers before the coordinator, so that what they hold can still be handed back.
  const std::span<Child> all(children_);
  EndAll(all.subspan(1));
  EndAll(all.first(1));
}

void StackSupervisor::EndAll(std::span<Child> children) {
  const absl::Time deadline = clock_.Now() + options_.term_timeout;
  for (const Child& child : children) {
    if (child.pid != 0) kill(child.pid, SIGTERM);
  }
  for (Child& child : children) {
    while (child.pid != 0) {
      if (Reap(child.pid)) {
        child.pid = 0;
        continue;
      }
      if (clock_.Now() > deadline) kill(child.pid, SIGKILL);
      signals_.Wait(absl::Milliseconds(20));
    }
  }
}

}  // namespace evilmoe
