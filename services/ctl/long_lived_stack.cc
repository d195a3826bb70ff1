#include "services/ctl/long_lived_stack.h"

#include <signal.h>
#include <unistd.h>

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

// Whatever it is, for as long as it takes.
RestartDecision StartAgain(const KeptProcess&, const DeathReport& death, const std::string&) {
  DeathReport any = death;
  any.is_trainer = false;  // there is no one run whose steps would tell
  RestartDecision decision = DecideRestart(any);
  decision.give_up = false;
  return decision;
}

absl::Status MakeFolders(const HomeDirectory& home) {
  std::error_code error;
  std::filesystem::create_directories(home.Folder() / "logs", error);
  if (!error) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(home.Folder().string(), ": cannot be made: ", error.message()));
}

}  // namespace

LongLivedStack::LongLivedStack(LongLivedOptions options, const Clock& clock, Logger& logger, SignalWaiter& signals)
    : options_(std::move(options)),
      logger_(logger),
      signals_(signals),
      targets_(options_.layout, logger),
      keeper_(KeptProcesses(options_.layout), {options_.layout.configs, options_.layout.logs, options_.term_timeout},
              clock, logger, signals) {}

absl::Status LongLivedStack::Run() {
  EVILMOE_RETURN_IF_ERROR(keeper_.StartFirst(kReadyTimeout));
  EVILMOE_RETURN_IF_ERROR(keeper_.StartOthers());
  EVILMOE_RETURN_IF_ERROR(WriteServed());
  logger_.Info("up", {{"endpoint", CoordinatorAddress(options_.layout.sockets)}});
  int signal = 0;
  while (!AsksToStop(signal = signals_.Wait(kTick))) {
    EVILMOE_RETURN_IF_ERROR(keeper_.Tend(StartAgain));
    targets_.Update();
    WatchPage();
  }
  logger_.Info("stopping", {{"signal", signal}});
  keeper_.EndAll();
  std::error_code ignored;
  std::filesystem::remove(options_.home.File(), ignored);
  return absl::OkStatus();
}

absl::Status LongLivedStack::WriteServed() {
  const std::string page = PageUrl(options_.layout);
  const nlohmann::ordered_json served = {
      {"pid", getpid()}, {"endpoint", CoordinatorAddress(options_.layout.sockets)}, {"page", page}};
  EVILMOE_RETURN_IF_ERROR(WriteFileAtomic(options_.home.File(), served.dump() + "\n"));
  page_ = page;
  return absl::OkStatus();
}

// A coordinator that was started again has its page elsewhere. No stack ends for an address: it is tried again.
void LongLivedStack::WatchPage() {
  const std::string page = PageUrl(options_.layout);
  if (page.empty() || page == page_) return;
  const absl::Status status = WriteServed();
  if (!status.ok()) logger_.Warn("page_not_written", {{"error", std::string(status.message())}});
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
                               const Clock& clock) {
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
  LongLivedStack stack(options, clock, logger, signals);
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
