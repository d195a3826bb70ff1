#include "services/ctl/long_lived_stack.h"

#include <signal.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "services/ctl/local_stack.h"
#include "services/ctl/stack_resources.h"

namespace evilmoe {
namespace {

constexpr absl::Duration kTick = absl::Milliseconds(500);
constexpr absl::Duration kReadyTimeout = absl::Seconds(20);

std::vector<std::string> ListenerWords(const StackListener& listener) {
  std::vector<std::string> words;
  const auto add = [&](const char* option, const std::string& value) {
    if (!value.empty()) words.insert(words.end(), {option, value});
  };
  add("--listen", listener.address);
  add("--tls-certificate", listener.certificate);
  add("--tls-key", listener.key);
  add("--tls-client-ca", listener.client_ca);
  add("--tokens", listener.tokens);
  if (listener.insecure) words.emplace_back("--insecure");
  return words;
}

absl::Status MakeFolders(const HomeDirectory& home) {
  std::error_code error;
  std::filesystem::create_directories(home.Folder() / "logs", error);
  if (!error) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(home.Folder().string(), ": cannot be made: ", error.message()));
}

}  // namespace

LongLivedStack::LongLivedStack(LongLivedOptions options, const Clock& clock, Logger& logger, SignalWaiter& signals,
                               StackSupervisor::Connect connect)
    : options_(std::move(options)),
      logger_(logger),
      signals_(signals),
      connect_(std::move(connect)),
      keeper_(KeptProcesses(options_.layout),
              {options_.layout.configs, options_.layout.logs, options_.term_timeout,
               [this](const KeptProcess& process) { return process.is_trainer ? StepsOf(process.name) : 0; }},
              clock, logger, signals) {}

absl::Status LongLivedStack::Run() {
  EVILMOE_RETURN_IF_ERROR(keeper_.StartFirst(kReadyTimeout));
  const std::string address = CoordinatorAddress(options_.layout.sockets);
  link_ = connect_(address);
  EVILMOE_RETURN_IF_ERROR(keeper_.StartOthers());
  const nlohmann::ordered_json served = {{"pid", getpid()}, {"endpoint", address}};
  EVILMOE_RETURN_IF_ERROR(WriteFileAtomic(options_.home.File(), served.dump() + "\n"));
  logger_.Info("up", {{"endpoint", address}});
  int signal = 0;
  while (!AsksToStop(signal = signals_.Wait(kTick))) {
    EVILMOE_RETURN_IF_ERROR(keeper_.Tend([this](const KeptProcess& process, const DeathReport& death,
                                                const std::string& how) { return Decide(process, death, how); }));
    GatherTargets();
  }
  logger_.Info("stopping", {{"signal", signal}});
  keeper_.EndAll();
  std::error_code ignored;
  std::filesystem::remove(options_.home.File(), ignored);
  return absl::OkStatus();
}

RestartDecision LongLivedStack::Decide(const KeptProcess& process, const DeathReport& death, const std::string& how) {
  RestartDecision decision = DecideRestart(death);
  if (!decision.give_up) return decision;
  decision.give_up = false;
  if (!process.is_trainer) return decision;
  const std::string run_id = RunOf(process.name);
  if (run_id.empty()) return decision;
  const std::string error =
      absl::StrCat(process.name, " died ", decision.deaths_in_a_row, " times in a row without a new step, at last with ",
                   how, "; see ", (options_.layout.logs / (process.name + ".stderr")).string());
  const absl::Status failed = link_->FailRun(run_id, process.name, error);
  logger_.Error("run_failed", {{"run", run_id}, {"error", error}, {"told", failed.ok()}});
  decision.deaths_in_a_row = 0;
  return decision;
}

std::string LongLivedStack::RunOf(const std::string& trainer_name) {
  if (link_ == nullptr) return "";
  const absl::StatusOr<CoordinatorInfo> info = link_->GetStatus();
  if (!info.ok()) return "";
  for (const WorkerInfo& worker : info->workers) {
    // The id of a life begins with the trainer's name.
    const bool is_ours = worker.worker_id == trainer_name || absl::StartsWith(worker.worker_id, trainer_name + ".") ||
                         absl::StartsWith(worker.worker_id, trainer_name + "/");
    if (worker.kind == "trainer" && is_ours && !worker.run_id.empty()) return worker.run_id;
  }
  return "";
}

int64_t LongLivedStack::StepsOf(const std::string& trainer_name) {
  const std::string run_id = RunOf(trainer_name);
  if (run_id.empty()) return 0;
  const absl::StatusOr<RunSummary> run = link_->GetRun(run_id);
  return run.ok() ? run->steps_done : 0;
}

void LongLivedStack::GatherTargets() {
  std::string targets = TargetsJson(options_.layout);
  if (targets == targets_) return;
  const absl::Status status = WriteFileAtomic(options_.layout.targets, targets);
  if (!status.ok()) logger_.Warn("targets_not_written", {{"error", std::string(status.message())}});
  targets_ = std::move(targets);
}

absl::StatusOr<HomeDirectory::Served> StartLongLivedStack(const HomeDirectory& home, const StackShape& shape,
                                                          const StackListener& listener, const Clock& clock) {
  if (std::optional<HomeDirectory::Served> served = home.ReadServed()) return *served;
  EVILMOE_RETURN_IF_ERROR(CheckBinaries());
  EVILMOE_RETURN_IF_ERROR(MakeFolders(home));
  std::vector<std::string> words = {"up-stack", "--home", home.path.string(), "--trainers",
                                    absl::StrCat(shape.num_trainers)};
  for (const std::vector<std::string>& more : {ShapeWords(shape), ListenerWords(listener)}) {
    words.insert(words.end(), more.begin(), more.end());
  }
  std::error_code ignored;
  std::filesystem::remove(home.File(), ignored);
  const std::filesystem::path log = home.Folder() / "logs" / "stack.stderr";
  EVILMOE_RETURN_IF_ERROR(StartInBackground(words, log, [&] { return home.ReadServed().has_value(); }, clock));
  if (std::optional<HomeDirectory::Served> served = home.ReadServed()) return *served;
  return absl::InternalError(absl::StrCat("the stack ended at its start; see ", log.string()));
}

absl::Status RunLongLivedStack(const HomeDirectory& home, const StackShape& shape, const StackListener& listener,
                               const Clock& clock, StackSupervisor::Connect connect) {
  // The guard ends the whole process group, so it must be the stack's own.
  if (getpgrp() != getpid()) setpgid(0, 0);
  // Before any thread: all of them inherit the blocked signals.
  SignalWaiter signals({SIGTERM, SIGINT, SIGHUP, SIGCHLD});
  EVILMOE_RETURN_IF_ERROR(MakeFolders(home));
  EVILMOE_ASSIGN_OR_RETURN(const OwnedFd lock, HoldLock(home.Lock(), clock));
  EVILMOE_ASSIGN_OR_RETURN(Logger logger, Logger::Open(home.Folder() / "logs" / "stack.log", "stack", clock));
  // The folder goes before the pipe closes, so it is made behind it: that is how the guard knows that all is well.
  OwnedFd guard;
  EVILMOE_ASSIGN_OR_RETURN(const TemporaryFolder sockets, TemporaryFolder::Make());
  EVILMOE_ASSIGN_OR_RETURN(guard, StartStackGuard(sockets.path(), home.Folder() / "logs" / "stack.stderr"));
  EVILMOE_ASSIGN_OR_RETURN(const std::filesystem::path coordinator, SiblingBinary("evilmoe-coordinator"));
  LongLivedOptions options;
  options.home = home;
  options.layout = LongLivedLayout(home);
  options.layout.binaries = coordinator.parent_path();
  options.layout.sockets = sockets.path();
  options.layout.shape = shape;
  options.layout.listener = listener;
  options.layout.num_cores = NumCores();
  LongLivedStack stack(options, clock, logger, signals, std::move(connect));
  const absl::Status status = stack.Run();
  if (!status.ok()) logger.Error("stack_failed", {{"error", std::string(status.message())}});
  return status;
}

absl::StatusOr<bool> StopLongLivedStack(const HomeDirectory& home, absl::Duration timeout, const Clock& clock) {
  if (!home.IsUp()) return false;
  const absl::Time deadline = clock.Now() + timeout;
  bool told = false;
  while (home.IsUp()) {
    if (const std::optional<HomeDirectory::Served> served = home.ReadServed(); served && !told) {
      told = kill(served->pid, SIGTERM) == 0;
    }
    if (clock.Now() > deadline) {
      return absl::DeadlineExceededError(absl::StrCat("the stack of ", home.path.string(), " did not end within ",
                                                      absl::FormatDuration(timeout), "; see ",
                                                      (home.Folder() / "logs" / "stack.log").string()));
    }
    absl::SleepFor(absl::Milliseconds(50));
  }
  return true;
}

}  // namespace evilmoe
