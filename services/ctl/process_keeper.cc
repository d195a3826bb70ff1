#include "services/ctl/process_keeper.h"

#include <signal.h>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status_macros.h"

namespace evilmoe {
namespace {

// Threads of OpenMP spin for about a millisecond before they sleep. Where other processes want the cores too, each
// barrier then waits for a thread that a spinning one keeps from running (a second of sampling beside a second sampler
// on 2 cores took 240); 500 turns cost 0.2 ms at most and keep three quarters of the speed of an idle machine.
constexpr std::string_view kShortOpenMpWait = "GOMP_SPINCOUNT=500";

}  // namespace

bool AsksToStop(int signal) { return signal == SIGTERM || signal == SIGINT || signal == SIGHUP; }

ProcessKeeper::ProcessKeeper(std::vector<KeptProcess> processes, KeeperOptions options, const Clock& clock,
                             Logger& logger, SignalWaiter& signals)
    : options_(std::move(options)), clock_(clock), logger_(logger), signals_(signals) {
  for (KeptProcess& process : processes) children_.push_back({.process = std::move(process)});
}

ProcessKeeper::~ProcessKeeper() { EndAll(); }

absl::Status ProcessKeeper::Start(Child& child) {
  const std::string& name = child.process.name;
  const std::filesystem::path config = options_.configs / (name + ".yaml");
  std::error_code ignored;
  std::filesystem::remove(options_.logs / (name + ".ready.json"), ignored);
  child.life += 1;
  EVILMOE_RETURN_IF_ERROR(WriteFileAtomic(config, child.process.config_yaml(child.life)));
  ProcessSpec spec;
  spec.binary = child.process.binary;
  spec.arguments = {"--config", config.string()};
  spec.output = options_.logs / (name + ".stderr");
  spec.default_environment = {std::string(kShortOpenMpWait)};
  EVILMOE_ASSIGN_OR_RETURN(child.pid, Spawn(spec));
  child.started = clock_.Now();
  child.start_at = absl::InfiniteFuture();
  child.steps_at_start = StepsOf(child);
  logger_.Info("process_started", {{"process", name}, {"pid", child.pid}, {"life", child.life}});
  return absl::OkStatus();
}

absl::Status ProcessKeeper::StartFirst(absl::Duration ready_timeout) {
  Child& first = children_.front();
  EVILMOE_RETURN_IF_ERROR(Start(first));
  const std::string binary = first.process.binary.filename().string();
  const std::filesystem::path ready = options_.logs / (first.process.name + ".ready.json");
  const absl::Time deadline = clock_.Now() + ready_timeout;
  while (!std::filesystem::exists(ready)) {
    if (const std::optional<int> status = Reap(first.pid)) {
      first.pid = 0;
      return absl::InternalError(
          absl::StrCat(binary, " ended at its start with ", DescribeExit(*status), "; see ",
                       (options_.logs / (first.process.name + ".stderr")).string()));
    }
    if (clock_.Now() > deadline) {
      return absl::DeadlineExceededError(
          absl::StrCat(binary, " was not ready within ", absl::FormatDuration(ready_timeout)));
    }
    if (AsksToStop(signals_.Wait(absl::Milliseconds(20)))) return absl::CancelledError("stopped at its start");
  }
  return absl::OkStatus();
}

absl::Status ProcessKeeper::StartOthers() {
  for (Child& child : std::span(children_).subspan(1)) {
    if (child.life == 0) EVILMOE_RETURN_IF_ERROR(Start(child));
  }
  return absl::OkStatus();
}

absl::Status ProcessKeeper::Tend(const Policy& policy) {
  for (Child& child : children_) {
    if (child.pid == 0) continue;
    if (const std::optional<int> status = Reap(child.pid)) {
      EVILMOE_RETURN_IF_ERROR(Bury(child, DescribeExit(*status), policy));
    }
  }
  for (Child& child : children_) {
    if (child.pid == 0 && child.start_at <= clock_.Now()) EVILMOE_RETURN_IF_ERROR(StartOrBury(child, policy));
  }
  return absl::OkStatus();
}

absl::Status ProcessKeeper::StartOrBury(Child& child, const Policy& policy) {
  const absl::Status started = Start(child);
  if (started.ok()) return started;
  // No room, no memory, no more processes: that may pass like what a process dies of.
  child.started = clock_.Now();
  child.steps_at_start = StepsOf(child);
  return Bury(child, absl::StrCat("a start that failed: ", std::string(started.message())), policy);
}

absl::Status ProcessKeeper::Bury(Child& child, const std::string& how, const Policy& policy) {
  child.pid = 0;
  const absl::Time now = clock_.Now();
  const DeathReport death = {child.process.is_trainer, now - child.started, child.steps_at_start, StepsOf(child),
                             child.deaths_in_a_row};
  const RestartDecision decision = policy(child.process, death, how);
  child.deaths_in_a_row = decision.deaths_in_a_row;
  child.start_at = decision.stay_down ? absl::InfiniteFuture() : now + decision.delay;
  if (decision.stay_down) return absl::OkStatus();
  logger_.Warn("process_died", {{"process", child.process.name},
                                {"how", how},
                                {"deaths_in_a_row", child.deaths_in_a_row},
                                {"give_up", decision.give_up}});
  if (!decision.give_up) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(child.process.name, " died ", child.deaths_in_a_row,
                                          " times in a row, at last with ", how, "; see ",
                                          (options_.logs / (child.process.name + ".stderr")).string()));
}

void ProcessKeeper::KillTrainers() {
  for (const Child& child : children_) {
    if (child.process.is_trainer && child.pid != 0) kill(child.pid, SIGKILL);
  }
}

void ProcessKeeper::EndAll() {
  // Workers before the coordinator, so that what they hold can still be handed back.
  const std::span<Child> all(children_);
  if (all.empty()) return;
  End(all.subspan(1));
  End(all.first(1));
}

void ProcessKeeper::End(std::span<Child> children) {
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
