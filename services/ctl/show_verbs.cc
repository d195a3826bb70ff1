#include "services/ctl/show_verbs.h"

#include <signal.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/exit_code.h"
#include "common/shown_text.h"
#include "common/status_macros.h"
#include "services/ctl/log_tail.h"
#include "services/ctl/paint.h"
#include "services/ctl/patience.h"
#include "services/ctl/process.h"
#include "services/ctl/run_catalog.h"
#include "services/ctl/run_verbs.h"
#include "services/ctl/run_view.h"
#include "services/ctl/table.h"
#include "services/ctl/verb_table.h"

namespace evilmoe {
namespace {

constexpr absl::Duration kPoll = absl::Milliseconds(250);

bool GoesOn(const RunSummary& run) {
  return !IsFinished(run) && run.state != "interrupted" && run.state != "paused";
}

std::string OrDash(const std::string& text) { return text.empty() ? "-" : ShownLine(text); }

std::string ShownState(const RunSummary& run, const VerbContext& context) {
  return Painted(ShownLine(run.state), ToneOf(run.state), context.global.color);
}

std::unique_ptr<RunFeed> FeedOf(const FoundRun& found) {
  if (found.link != nullptr) return std::make_unique<LinkFeed>(*found.link, found.run.run_id);
  return std::make_unique<FileFeed>(found.directory());
}

// The processes of the home's long-lived stack work for all of its runs: their logs stand beside these.
std::unique_ptr<RunFiles> LogsOf(const FoundRun& found, const VerbContext& context) {
  const bool long_lived = found.link != nullptr && context.global.endpoint.address.empty();
  if (long_lived) return std::make_unique<LocalRunFiles>(HomeDirectory{context.home}.Folder());
  return FilesOf(found);
}

absl::StatusOr<int> ComponentLog(const FoundRun& found, const LogsCommand& command, const VerbContext& context) {
  const std::unique_ptr<RunFiles> files = LogsOf(found, context);
  const std::unique_ptr<RunFeed> feed = FeedOf(found);
  EVILMOE_ASSIGN_OR_RETURN(LogTail tail, LogTail::Open(*files, command.component));
  SignalWaiter signals({SIGINT, SIGTERM});
  Patience patience(context.clock);
  int64_t seq = found.run.last_seq;
  while (true) {
    // The state before the rest of the log: what is written at the end is read then.
    const absl::StatusOr<FeedPage> page = feed->Next(seq);
    const absl::Status looked = page.ok() ? tail.CopyTo(context.out) : page.status();
    EVILMOE_RETURN_IF_ERROR(command.follow ? patience.Bear(looked) : looked);
    if (looked.ok()) {
      seq = page->run.last_seq;
      if (!command.follow || !GoesOn(page->run)) return kExitOk;
    }
    if (signals.Wait(kPoll) != 0) return kExitOk;
  }
}

std::vector<RunSummary> Filtered(std::vector<RunSummary> runs, const ListCommand& command) {
  if (!command.state.empty()) std::erase_if(runs, [&](const RunSummary& run) { return run.state != command.state; });
  const size_t most = command.limit ? static_cast<size_t>(*command.limit) : runs.size();
  if (runs.size() > most) runs.erase(runs.begin(), runs.end() - static_cast<ptrdiff_t>(most));
  return runs;
}

}  // namespace

void AddListOptions(VerbOptions& options, ListCommand& command) {
  options.Value("--sweep", &command.sweep, {Completes::kSweep, {}, "NAME"}, "Runs of this sweep alone");
  options.Choice("--state", &command.state, {kRunStates.begin(), kRunStates.end()}, "Runs in this state alone");
  options.Range("--limit", &command.limit, 1, 1'000'000, "The newest so many", "all");
}

absl::StatusOr<int> List(const ListCommand& command, const VerbContext& context) {
  RunCatalog catalog(context);
  EVILMOE_ASSIGN_OR_RETURN(std::vector<RunSummary> runs, catalog.List(command.sweep));
  runs = Filtered(std::move(runs), command);
  if (context.global.json) {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const RunSummary& run : runs) list.push_back(ToJson(run));
    context.out << list.dump(2) << "\n";
    return kExitOk;
  }
  std::vector<std::vector<std::string>> rows;
  for (const RunSummary& run : runs) {
    rows.push_back({ShownLine(run.run_id), ShownLine(run.name), ShownLine(run.arm), ShownState(run, context),
                    absl::StrCat(run.steps_done, "/", run.steps_total), OrDash(run.sweep),
                    ShowTime(run.created_unix_ms)});
  }
  context.out << RenderTable({"run", "name", "arm", "state", "steps", "sweep", "created"}, rows,
                             {false, false, false, false, true, false, false});
  return kExitOk;
}

void AddGetOptions(VerbOptions& options, GetCommand& command) { options.Run(&command.run); }

absl::StatusOr<int> Get(const GetCommand& command, const VerbContext& context) {
  RunCatalog catalog(context);
  EVILMOE_ASSIGN_OR_RETURN(const FoundRun found, catalog.Find(command.run));
  const RunSummary& run = found.run;
  if (context.global.json) {
    context.out << ToJson(run).dump(2) << "\n";
    return kExitOk;
  }
  std::vector<std::vector<std::string>> rows = {
      {"name", ShownLine(run.name)},
      {"arm", OrDash(run.arm)},
      {"state", ShownState(run, context)},
      {"steps", absl::StrCat(run.steps_done, "/", run.steps_total)},
      {"created", ShowTime(run.created_unix_ms)},
      {"finished", ShowTime(run.finished_unix_ms)},
      {"error", OrDash(run.error)},
      {"priority", absl::StrCat(run.priority)},
      {"slots", run.slots == 0 ? "-" : absl::StrCat(run.slots)},
      {"sweep", OrDash(run.sweep)},
      {"adapter", run.adapter_step < 0 ? "-" : absl::StrCat("step ", run.adapter_step, ", ", ShownLine(run.adapter_sha256))},
      {"config", OrDash(run.config_sha256)},
      {"base model", OrDash(run.model_fingerprint)},
      {"directory", OrDash(run.directory)}};
  if (run.state == "queued" && found.link != nullptr) {
    EVILMOE_ASSIGN_OR_RETURN(const std::vector<RunSummary> runs, found.link->ListRuns(""));
    rows[2][1] = QueueNote(runs, run.run_id);
  }
  context.out << RenderTable({"run", ShownLine(run.run_id)}, rows);
  return kExitOk;
}

void AddEventsOptions(VerbOptions& options, LogsCommand& command) {
  options.Run(&command.run);
  options.Flag("-f,--follow", &command.follow, "Go on until the run ends");
}

absl::StatusOr<int> Events(const LogsCommand& command, const VerbContext& context) {
  RunCatalog catalog(context);
  EVILMOE_ASSIGN_OR_RETURN(const FoundRun found, catalog.Find(command.run));
  const std::unique_ptr<RunFeed> feed = FeedOf(found);
  SignalWaiter signals({SIGINT, SIGTERM});
  Patience patience(context.clock);
  int64_t seq = 0;
  while (true) {
    const absl::StatusOr<FeedPage> page = feed->Next(seq);
    EVILMOE_RETURN_IF_ERROR(command.follow ? patience.Bear(page.status()) : page.status());
    if (page.ok()) {
      for (const RunEventView& event : page->events) {
        context.out << (context.global.json ? EventLine(event) + "\n" : EventText(event));
        seq = event.seq;
      }
      context.out.flush();
      const bool seen_all = seq >= page->run.last_seq;
      if (!command.follow || (!GoesOn(page->run) && seen_all)) return kExitOk;
    }
    if (signals.Wait(kPoll) != 0) return kExitOk;
  }
}

void AddLogsOptions(VerbOptions& options, LogsCommand& command) {
  AddEventsOptions(options, command);
  options.Value("--component", &command.component,
                {Completes::kSuggestion, {"coordinator", "grader", "rollout-0", "trainer", "stack"}, "NAME"},
                "The log of one process of the run's stack, one JSON object a line");
}

absl::StatusOr<int> Logs(const LogsCommand& command, const VerbContext& context) {
  RunCatalog catalog(context);
  EVILMOE_ASSIGN_OR_RETURN(const FoundRun found, catalog.Find(command.run));
  if (!command.component.empty()) return ComponentLog(found, command, context);
  if (command.follow) return FollowToTheEnd(found, 0, context);
  EVILMOE_ASSIGN_OR_RETURN(const FeedPage page, FeedOf(found)->Next(0));
  RunView view;
  for (const RunEventView& event : page.events) {
    context.out << (context.global.json ? EventLine(event) + "\n" : view.Render(event));
  }
  if (!context.global.json && view.final_line()) context.out << *view.final_line() << "\n";
  return kExitOk;
}

std::vector<Verb> ShowVerbs() {
  return {{"list", verb_group::kLook, "Show all runs",
           [](VerbOptions& options) { return Bound(options, AddListOptions, List); },
           "Oldest first. A run that should go on and that no process works for is `interrupted`.",
           "evilmoe-ctl list --state running --limit 10"},
          {"get", verb_group::kLook, "Show one run",
           [](VerbOptions& options) { return Bound(options, AddGetOptions, Get); },
           "Its state, steps, place in the queue, newest adapter and directory.", "evilmoe-ctl get nano --output json"},
          {"logs", verb_group::kLook, "Show a run as `submit` does, or the log of one of its processes",
           [](VerbOptions& options) { return Bound(options, AddLogsOptions, Logs); },
           "Steps, evaluations, warnings and the ablation so far; with -f what comes too, until the run ends or Ctrl-C.",
           "evilmoe-ctl logs nano -f\nevilmoe-ctl logs nano --component trainer"},
          {"events", verb_group::kLook, "Show every event of a run, one a line",
           [](VerbOptions& options) { return Bound(options, AddEventsOptions, Events); },
           "With --output json each line is an object {seq, unix_ms, kind, payload}, as in events.jsonl.",
           "evilmoe-ctl events nano -f --output json"}};
}

}  // namespace evilmoe
