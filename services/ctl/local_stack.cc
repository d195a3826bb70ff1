#include "services/ctl/local_stack.h"

#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "services/ctl/stack_resources.h"
#include "services/report/report.h"

namespace evilmoe {
namespace {

constexpr absl::Duration kStartTimeout = absl::Seconds(30);
constexpr absl::Duration kOpenTimeout = absl::Minutes(1);
constexpr absl::Duration kPageTimeout = absl::Seconds(10);

absl::StatusOr<StackOptions> OptionsOf(const RunDirectory& directory, const StackShape& shape, RunAction action,
                                       const std::filesystem::path& sockets) {
  EVILMOE_ASSIGN_OR_RETURN(const std::filesystem::path coordinator, SiblingBinary("evilmoe-coordinator"));
  StackOptions options;
  options.directory = directory;
  options.action = action;
  options.layout = PrivateLayout(directory);
  options.layout.binaries = coordinator.parent_path();
  options.layout.sockets = sockets;
  options.layout.shape = shape;
  options.layout.num_cores = NumCores();
  return options;
}

// A field of the run's stack file; "" = none, or it serves no more.
std::string StackField(const RunDirectory& directory, const char* name) {
  const std::string text = ReadFile(directory.StackFile(), 4096).value_or("");
  const nlohmann::json file = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  const bool known = file.is_object() && file.contains(name) && file[name].is_string();
  return known ? file[name].get<std::string>() : "";
}
std::string EndpointIn(const RunDirectory& directory) { return StackField(directory, "endpoint"); }

}  // namespace

int NumCores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

std::vector<std::string> ShapeWords(const StackShape& shape) {
  return {"--workers", absl::StrCat(shape.num_workers), "--ranks", absl::StrCat(shape.num_ranks)};
}

absl::Status CheckBinaries() {
  for (const StackProcess& process : StackProcesses({})) {
    EVILMOE_RETURN_IF_ERROR(SiblingBinary(process.binary).status());
  }
  return absl::OkStatus();
}

absl::Status StartInBackground(const std::vector<std::string>& words, const std::filesystem::path& log,
                               const std::function<bool()>& is_there, const Clock& clock) {
  ProcessSpec spec;
  spec.binary = "/proc/self/exe";
  spec.name = "evilmoe-ctl";
  spec.arguments = words;
  spec.output = log;
  spec.new_session = true;
  EVILMOE_ASSIGN_OR_RETURN(const pid_t pid, Spawn(spec));
  const absl::Time deadline = clock.Now() + kStartTimeout;
  while (!is_there()) {
    if (const std::optional<int> status = Reap(pid)) {
      // It may have done its whole work already; only a bad end is an error.
      if (WIFEXITED(*status) && WEXITSTATUS(*status) == 0) return absl::OkStatus();
      return absl::InternalError(
          absl::StrCat("the stack ended at its start with ", DescribeExit(*status), "; see ", log.string()));
    }
    if (clock.Now() > deadline) {
      return absl::UnavailableError(absl::StrCat("the stack did not start within ",
                                                 absl::FormatDuration(kStartTimeout), "; see ", log.string()));
    }
    absl::SleepFor(absl::Milliseconds(5));
  }
  return absl::OkStatus();
}

absl::Status EnsureStack(const RunDirectory& directory, const StackShape& shape, RunAction action, const Clock& clock) {
  if (directory.HasStack()) return absl::OkStatus();
  EVILMOE_RETURN_IF_ERROR(CheckBinaries());
  EVILMOE_RETURN_IF_ERROR(WriteFileAtomic(directory.Shape(), ToYaml(shape)));
  std::vector<std::string> words = {"stack",    "--run-dir", directory.path.string(),
                                    "--linger", absl::StrCat(absl::ToInt64Seconds(shape.linger)),
                                    "--action", RunActionName(action)};
  for (std::string& word : ShapeWords(shape)) words.push_back(std::move(word));
  std::error_code ignored;
  std::filesystem::remove(directory.StackFile(), ignored);
  return StartInBackground(words, directory.Logs() / "stack.stderr", [&] { return directory.HasStack(); }, clock);
}

std::string AwaitPage(const RunDirectory& directory, const Clock& clock) {
  const absl::Time deadline = clock.Now() + kPageTimeout;
  while (directory.HasStack() && clock.Now() < deadline) {
    if (std::string page = StackField(directory, "page"); !page.empty()) return page;
    absl::SleepFor(absl::Milliseconds(10));
  }
  return "";
}

bool IsServing(const RunDirectory& directory) { return !EndpointIn(directory).empty() && directory.HasStack(); }

absl::StatusOr<ServingStack> OpenStack(const RunDirectory& directory, const StackShape& shape, RunAction action,
                                       const Clock& clock) {
  const absl::Time deadline = clock.Now() + kOpenTimeout;
  ServingStack stack;
  while (true) {
    if (!directory.HasStack()) {
      // One that was started here and is gone has done all that it was asked for.
      if (stack.started) return stack;
      EVILMOE_RETURN_IF_ERROR(EnsureStack(directory, shape, action, clock));
      stack.started = true;
    }
    stack.endpoint = EndpointIn(directory);
    if (!stack.endpoint.empty() && directory.HasStack()) return stack;
    if (clock.Now() >= deadline) {
      return absl::UnavailableError(absl::StrCat("the private stack of ", directory.path.string(),
                                                 " does not serve; see ", (directory.Logs() / "stack.log").string()));
    }
    absl::SleepFor(absl::Milliseconds(20));
  }
}

absl::Status RunStack(const RunDirectory& directory, const StackShape& shape, RunAction action, const Clock& clock,
                      StackSupervisor::Connect connect) {
  // The guard ends the whole process group, so it must be the stack's own.
  if (getpgrp() != getpid()) setpgid(0, 0);
  // Before any thread: all of them inherit the blocked signals.
  SignalWaiter signals({SIGTERM, SIGINT, SIGHUP, SIGCHLD});
  EVILMOE_ASSIGN_OR_RETURN(const OwnedFd lock, HoldLock(directory.StackLock(), clock));
  EVILMOE_ASSIGN_OR_RETURN(Logger logger, Logger::Open(directory.Logs() / "stack.log", "stack", clock));
  // The folder goes before the pipe closes, so it is made behind it: that is how the guard knows that all is well.
  OwnedFd guard;
  EVILMOE_ASSIGN_OR_RETURN(const TemporaryFolder sockets, TemporaryFolder::Make());
  EVILMOE_ASSIGN_OR_RETURN(guard, StartStackGuard(sockets.path(), directory.Logs() / "stack.stderr"));
  EVILMOE_ASSIGN_OR_RETURN(const StackOptions options, OptionsOf(directory, shape, action, sockets.path()));
  StackSupervisor supervisor(options, clock, logger, signals, std::move(connect));
  absl::Status status = supervisor.Run();
  // Here too, since nobody may follow the run.
  if (const absl::StatusOr<RunSummary> run = directory.ReadSummary(); run.ok() && IsFinished(*run)) {
    status.Update(WriteReport(directory.path, directory.Report()));
  }
  return status;
}

}  // namespace evilmoe
