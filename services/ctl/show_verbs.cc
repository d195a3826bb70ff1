#include "services/ctl/show_verbs.h"

#include <signal.h>

#include <fstream>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "services/ctl/exit_code.h"
#include "services/ctl/local_stack.h"
#include "services/ctl/process.h"
#include "services/ctl/run_verbs.h"
#include "services/ctl/table.h"
#include "services/report/report.h"

namespace evilmoe {
namespace {

constexpr absl::Duration kPoll = absl::Milliseconds(250);
constexpr absl::Duration kCancelTimeout = absl::Seconds(10);

std::string ShowTime(int64_t unix_ms) {
  if (unix_ms == 0) return "-";
  return absl::FormatTime("%Y-%m-%d %H:%M:%S", absl::FromUnixMillis(unix_ms), absl::LocalTimeZone());
}

// Copies what a log file has beyond `offset` to `out`; returns the new offset.
std::streamoff CopyFrom(const std::filesystem::path& path, std::streamoff offset, std::ostream& out) {
  std::ifstream file(path, std::ios::binary);
  file.seekg(offset);
  char buffer[1 << 14];
  while (file.read(buffer, sizeof buffer) || file.gcount() > 0) {
    out.write(buffer, file.gcount());
    offset += file.gcount();
  }
  out.flush();
  return offset;
}

absl::StatusOr<int> ComponentLog(const RunSummary& run, const CommandLine& command, const VerbContext& context) {
  const RunDirectory directory{run.directory};
  std::string known;
  std::error_code ignored;
  bool found = false;
  for (const auto& entry : std::filesystem::directory_iterator(directory.Logs(), ignored)) {
    if (entry.path().extension() != ".log") continue;
    const std::string name = entry.path().stem().string();
    found = found || name == command.component;
    absl::StrAppend(&known, known.empty() ? "" : ", ", name);
  }
  if (!found) {
    return absl::NotFoundError(absl::StrCat("--component ", command.component,
                                            ": no log of that name, expected one of ",
                                            known.empty() ? "none, there is no log yet" : known));
  }
  SignalWaiter signals({SIGINT, SIGTERM});
  const std::filesystem::path log = directory.Logs() / (command.component + ".log");
  std::streamoff offset = 0;
  while (true) {
    const absl::StatusOr<RunSummary> now = directory.ReadSummary();
    offset = CopyFrom(log, offset, context.out);
    const bool goes_on = now.ok() && !IsFinished(*now) && now->state != "interrupted";
    if (!command.follow || !goes_on || signals.Wait(kPoll) != 0) return kExitOk;
  }
}

}  // namespace

absl::StatusOr<int> List(const CommandLine& command, const VerbContext& context) {
  const std::unique_ptr<CoordinatorLink> link = LinkOf(command, context);
  std::vector<RunSummary> runs;
  if (link != nullptr) {
    EVILMOE_ASSIGN_OR_RETURN(runs, link->ListRuns());
  } else {
    runs = ListRuns(RunsHome());
  }
  if (command.json) {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const RunSummary& run : runs) list.push_back(ToJson(run));
    context.out << list.dump(2) << "\n";
    return kExitOk;
  }
  std::vector<std::vector<std::string>> rows;
  for (const RunSummary& run : runs) {
    rows.push_back({run.run_id, run.name, run.arm, run.state, absl::StrCat(run.steps_done, "/", run.steps_total),
                    ShowTime(run.created_unix_ms)});
  }
  context.out << RenderTable({"run", "name", "arm", "state", "steps", "created"}, rows,
                             {false, false, false, false, true, false});
  return kExitOk;
}

absl::StatusOr<int> Get(const CommandLine& command, const VerbContext& context) {
  const std::unique_ptr<CoordinatorLink> link = LinkOf(command, context);
  EVILMOE_ASSIGN_OR_RETURN(const RunSummary run, FindRun(command, link.get()));
  if (command.json) {
    context.out << ToJson(run).dump(2) << "\n";
    return kExitOk;
  }
  context.out << RenderTable({"run", run.run_id}, {{"name", run.name},
                                                   {"arm", run.arm},
                                                   {"state", run.state},
                                                   {"steps", absl::StrCat(run.steps_done, "/", run.steps_total)},
                                                   {"created", ShowTime(run.created_unix_ms)},
                                                   {"finished", ShowTime(run.finished_unix_ms)},
                                                   {"error", run.error.empty() ? "-" : run.error},
                                                   {"directory", run.directory}});
  return kExitOk;
}

absl::StatusOr<int> Logs(const CommandLine& command, const VerbContext& context) {
  const std::unique_ptr<CoordinatorLink> link = LinkOf(command, context);
  EVILMOE_ASSIGN_OR_RETURN(const RunSummary run, FindRun(command, link.get()));
  if (!command.component.empty()) return ComponentLog(run, command, context);
  if (command.follow) return FollowToTheEnd(run, 0, link.get(), command, context);
  FeedPage page;
  if (link != nullptr) {
    EVILMOE_ASSIGN_OR_RETURN(page, link->ListEvents(run.run_id, 0));
  } else {
    EVILMOE_ASSIGN_OR_RETURN(page, FileFeed({run.directory}).Next(0));
  }
  RunView view;
  for (const RunEventView& event : page.events) {
    context.out << (command.json ? EventLine(event) + "\n" : view.Render(event));
  }
  if (!command.json && view.final_line()) context.out << *view.final_line() << "\n";
  return kExitOk;
}

absl::StatusOr<int> Cancel(const CommandLine& command, const VerbContext& context) {
  std::unique_ptr<CoordinatorLink> link = LinkOf(command, context);
  EVILMOE_ASSIGN_OR_RETURN(const RunSummary run, FindRun(command, link.get()));
  if (IsFinished(run) || run.state == "interrupted") {
    return absl::FailedPreconditionError(
        absl::StrCat("run ", run.run_id, " is ", run.state, ", expected one that runs"));
  }
  if (link == nullptr) {
    EVILMOE_ASSIGN_OR_RETURN(const std::string endpoint, AwaitEndpoint({run.directory}, kCancelTimeout, context.clock));
    link = context.connect(endpoint);
  }
  EVILMOE_RETURN_IF_ERROR(link->CancelRun(run.run_id).status());
  context.out << "run " << run.run_id << " cancelled\n";
  return kExitOk;
}

absl::StatusOr<int> Report(const CommandLine& command, const VerbContext& context) {
  const std::unique_ptr<CoordinatorLink> link = LinkOf(command, context);
  EVILMOE_ASSIGN_OR_RETURN(const RunSummary run, FindRun(command, link.get()));
  const std::filesystem::path out = command.out.empty() ? RunDirectory{run.directory}.Report() : command.out;
  EVILMOE_RETURN_IF_ERROR(WriteReport(run.directory, out));
  context.out << "report " << out.string() << "\n";
  return kExitOk;
}

absl::StatusOr<int> Replay(const CommandLine& command, const VerbContext& context) {
  const std::unique_ptr<CoordinatorLink> link = LinkOf(command, context);
  EVILMOE_ASSIGN_OR_RETURN(const RunSummary run, FindRun(command, link.get()));
  std::vector<std::string> words = {"replay", "--run", run.directory};
  words.insert(words.end(), command.words.begin(), command.words.end());
  return ExecSibling("evilmoe-trainer", words);
}

absl::StatusOr<int> Export(const CommandLine& command, const VerbContext& context) {
  const std::unique_ptr<CoordinatorLink> link = LinkOf(command, context);
  const absl::StatusOr<RunSummary> run = FindRun(command, link.get());
  std::error_code ignored;
  if (!run.ok() && !std::filesystem::exists(command.run, ignored)) return run.status();
  std::vector<std::string> words = {"export", run.ok() ? run->directory : command.run};
  words.insert(words.end(), command.words.begin(), command.words.end());
  return ExecSibling("evilmoe-trainer", words);
}

}  // namespace evilmoe
