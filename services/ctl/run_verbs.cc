#include "services/ctl/run_verbs.h"

#include <signal.h>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "services/ctl/dry_run.h"
#include "services/ctl/exit_code.h"
#include "services/ctl/follow.h"
#include "services/ctl/local_stack.h"
#include "services/ctl/ulid.h"
#include "services/report/report.h"
#include "trainer/run_file.h"

namespace evilmoe {
namespace {

constexpr absl::Duration kEndpointTimeout = absl::Seconds(30);

// A problem of each line of the file is one line of the answer; nothing has been started then.
int PrintProblems(const absl::Status& status, const VerbContext& context) {
  context.errors << status.message() << std::endl;
  return kExitUsage;
}

absl::StatusOr<RunSummary> CreateRun(const RunConfig& config, const Clock& clock) {
  RunSummary run;
  run.run_id = NewUlid(clock.Now());
  run.name = config.name;
  run.arm = config.arm;
  run.state = "queued";
  run.steps_total = config.steps;
  run.created_unix_ms = absl::ToUnixMillis(clock.Now());
  const RunDirectory directory{RunsHome() / run.run_id};
  run.directory = directory.path.string();
  EVILMOE_RETURN_IF_ERROR(directory.Create());
  EVILMOE_RETURN_IF_ERROR(WriteFileAtomic(directory.Config(), ToYaml(config)));
  EVILMOE_RETURN_IF_ERROR(directory.WriteSummary(run));
  return run;
}

void PrintStarted(const RunSummary& run, const CommandLine& command, const VerbContext& context) {
  if (command.json) {
    context.out << ToJson(run).dump() << std::endl;
    return;
  }
  context.out << "run " << run.run_id << " (" << run.name << ", " << run.arm << ", " << run.steps_total << " steps)\n"
              << "directory " << run.directory << std::endl;
}

std::string HowToComeBack(const std::string& run_id) {
  return absl::StrCat("`evilmoe-ctl logs ", run_id, " -f` follows it, `evilmoe-ctl cancel ", run_id, "` ends it");
}

// Prints how a run ended, the final line last.
int PrintEnd(const FollowResult& result, const CommandLine& command, const VerbContext& context) {
  const RunSummary& run = result.run;
  const std::string logs = (std::filesystem::path(run.directory) / "logs").string();
  if (run.state == "interrupted") {
    context.errors << "evilmoe-ctl: run " << run.run_id << " is interrupted: its stack is gone; `evilmoe-ctl resume "
                   << run.run_id << "` goes on; logs: " << logs << std::endl;
    return kExitRunFailed;
  }
  const std::filesystem::path report = RunDirectory{run.directory}.Report();
  const absl::Status written = WriteReport(run.directory, report);
  if (!written.ok()) context.errors << "evilmoe-ctl: report: " << written.message() << std::endl;
  if (!command.json && written.ok()) context.out << "report " << report.string() << std::endl;
  if (run.state != "succeeded") {
    context.errors << "evilmoe-ctl: run " << run.run_id << " " << run.state << (run.error.empty() ? "" : ": ")
                   << run.error << "; logs: " << logs << std::endl;
    return kExitRunFailed;
  }
  if (!command.json && !result.final_line.empty()) context.out << result.final_line << std::endl;
  return kExitOk;
}

nlohmann::ordered_json AblationParameters(const CommandLine& command) {
  nlohmann::ordered_json params = nlohmann::ordered_json::object();
  if (command.checkpoint) params["checkpoint"] = *command.checkpoint;
  if (command.samples) params["samples"] = *command.samples;
  if (command.relearn) params["relearn"] = *command.relearn;
  if (!command.problems.empty()) params["problems"] = std::filesystem::absolute(command.problems).string();
  return params;
}

}  // namespace

std::unique_ptr<CoordinatorLink> LinkOf(const CommandLine& command, const VerbContext& context) {
  return command.endpoint.empty() ? nullptr : context.connect(command.endpoint);
}

absl::StatusOr<RunSummary> FindRun(const CommandLine& command, CoordinatorLink* link) {
  if (link == nullptr) return PickRun(ListRuns(RunsHome()), command.run);
  EVILMOE_ASSIGN_OR_RETURN(const std::vector<RunSummary> runs, link->ListRuns());
  return PickRun(runs, command.run);
}

absl::StatusOr<int> FollowToTheEnd(const RunSummary& run, int64_t after_seq, CoordinatorLink* link,
                                   const CommandLine& command, const VerbContext& context) {
  SignalWaiter signals({SIGINT, SIGTERM});
  FollowOptions options;
  options.after_seq = after_seq;
  options.terminal = context.terminal;
  options.json = command.json;
  options.pause = [&](absl::Duration wait) { return signals.Wait(wait) != 0; };
  if (link == nullptr) options.is_alive = [&] { return RunDirectory{run.directory}.HasStack(); };
  FileFeed file_feed({run.directory});
  std::unique_ptr<LinkFeed> link_feed;
  if (link != nullptr) link_feed = std::make_unique<LinkFeed>(*link, run.run_id);
  RunFeed& feed = link_feed != nullptr ? static_cast<RunFeed&>(*link_feed) : file_feed;
  EVILMOE_ASSIGN_OR_RETURN(const FollowResult result, Follow(feed, options, context.out));
  if (!result.detached) return PrintEnd(result, command, context);
  context.errors << "detached, run " << run.run_id << " goes on: " << HowToComeBack(run.run_id) << std::endl;
  return kExitOk;
}

absl::StatusOr<int> Submit(const CommandLine& command, const VerbContext& context) {
  const absl::StatusOr<std::string> text = ReadFile(command.file, size_t{1} << 20);
  EVILMOE_RETURN_IF_ERROR(text.status());
  const absl::StatusOr<RunFile> file =
      ParseRunFile(*text, command.file.string(), std::filesystem::absolute(command.file).parent_path(),
                   {.overrides = command.overrides, .files_may_be_missing = command.dry_run});
  if (!file.ok()) return PrintProblems(file.status(), context);
  for (const std::string& notice : file->notices) context.errors << notice << std::endl;
  if (command.dry_run) {
    EVILMOE_RETURN_IF_ERROR(DryRun(*file, command.stack, command.json, context.out, context.errors));
    return kExitOk;
  }
  const RunConfig* const config = &file->config;
  if (command.endpoint.empty()) {
    for (const StackProcess& process : StackProcesses(1)) {
      EVILMOE_RETURN_IF_ERROR(SiblingBinary(process.binary).status());
    }
  }
  const std::unique_ptr<CoordinatorLink> link = LinkOf(command, context);
  EVILMOE_ASSIGN_OR_RETURN(const RunSummary run, CreateRun(*config, context.clock));
  if (link != nullptr) {
    EVILMOE_RETURN_IF_ERROR(link->SubmitRun(run, ToYaml(*config)));
  } else {
    EVILMOE_RETURN_IF_ERROR(EnsureStack({run.directory}, command.stack, context.clock));
  }
  PrintStarted(run, command, context);
  if (!command.detach) return FollowToTheEnd(run, 0, link.get(), command, context);
  if (!command.json) context.out << HowToComeBack(run.run_id) << std::endl;
  return kExitOk;
}

absl::StatusOr<int> Ablate(const CommandLine& command, const VerbContext& context) {
  if (std::error_code ignored; !command.problems.empty() && !std::filesystem::exists(command.problems, ignored)) {
    return absl::NotFoundError(absl::StrCat("--problems ", command.problems.string(), ": not found"));
  }
  std::unique_ptr<CoordinatorLink> link = LinkOf(command, context);
  EVILMOE_ASSIGN_OR_RETURN(const RunSummary run, FindRun(command, link.get()));
  const std::string job_id = NewUlid(context.clock.Now());
  const std::string params = AblationParameters(command).dump();
  if (link != nullptr) {
    EVILMOE_ASSIGN_OR_RETURN(const FeedPage before, link->ListEvents(run.run_id, 0));
    EVILMOE_RETURN_IF_ERROR(link->SubmitAblation(run.run_id, job_id, params));
    return FollowToTheEnd(run, before.run.last_seq, link.get(), command, context);
  }
  if (run.state == "interrupted") {
    return absl::FailedPreconditionError(absl::StrCat("run ", run.run_id,
                                                      " is interrupted, expected one that has ended; ",
                                                      "`evilmoe-ctl resume ", run.run_id, "` first"));
  }
  const RunDirectory directory{run.directory};
  EVILMOE_RETURN_IF_ERROR(EnsureStack(directory, command.stack, context.clock));
  EVILMOE_ASSIGN_OR_RETURN(const std::string endpoint, AwaitEndpoint(directory, kEndpointTimeout, context.clock));
  const std::unique_ptr<CoordinatorLink> private_link = context.connect(endpoint);
  EVILMOE_ASSIGN_OR_RETURN(const FeedPage before, private_link->ListEvents(run.run_id, run.last_seq));
  EVILMOE_RETURN_IF_ERROR(private_link->SubmitAblation(run.run_id, job_id, params));
  return FollowToTheEnd(run, before.run.last_seq, nullptr, command, context);
}

absl::StatusOr<int> Resume(const CommandLine& command, const VerbContext& context) {
  if (!command.endpoint.empty()) {
    return absl::InvalidArgumentError("resume: works on private stacks, expected no --endpoint");
  }
  EVILMOE_ASSIGN_OR_RETURN(const RunSummary run, FindRun(command, nullptr));
  if (run.state != "interrupted") {
    return absl::FailedPreconditionError(
        absl::StrCat("run ", run.run_id, " is ", run.state, ", expected an interrupted one"));
  }
  EVILMOE_RETURN_IF_ERROR(EnsureStack({run.directory}, command.stack, context.clock));
  PrintStarted(run, command, context);
  if (!command.detach) return FollowToTheEnd(run, run.last_seq, nullptr, command, context);
  if (!command.json) context.out << HowToComeBack(run.run_id) << std::endl;
  return kExitOk;
}

}  // namespace evilmoe
