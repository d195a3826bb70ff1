#include "services/ctl/control_verbs.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/exit_code.h"
#include "common/shown_text.h"
#include "common/status_macros.h"
#include "common/yaml_field.h"
#include "services/ctl/local_stack.h"
#include "services/ctl/private_stack.h"
#include "services/ctl/run_catalog.h"
#include "services/ctl/run_verbs.h"
#include "services/ctl/verb_table.h"

namespace evilmoe {
namespace {

using Ask = absl::StatusOr<RunSummary> (CoordinatorLink::*)(const std::string&);

// One of the four: which states it takes, and how a coordinator is asked for it.
struct Steering {
  const char* from;  // states, a space between them
  Ask ask;
  RunAction action;  // of a private stack that has to be started for it
};

constexpr Steering kCancel = {
    "queued running pausing paused interrupted", &CoordinatorLink::CancelRun, RunAction::kCancel};
constexpr Steering kPause = {"queued running pausing", &CoordinatorLink::PauseRun, RunAction::kNone};
constexpr Steering kResume = {"pausing paused interrupted", &CoordinatorLink::ResumeRun, RunAction::kResume};
constexpr Steering kRetry = {"failed cancelled", &CoordinatorLink::RetryRun, RunAction::kRetry};

absl::Status CheckState(const RunSummary& run, const Steering& steering) {
  const std::vector<std::string> from = absl::StrSplit(steering.from, ' ');
  if (std::find(from.begin(), from.end(), run.state) != from.end()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("run ", run.run_id, " is ", run.state, ", expected one that is ", JoinChoices(from)));
}

// The run with a private stack that is there, or is started for `steering`.
absl::StatusOr<RunSummary> SteerPrivate(const FoundRun& found, const Steering& steering, const StackChoice& choice,
                                        const VerbContext& context) {
  EVILMOE_RETURN_IF_ERROR(CheckPrivate(found));
  EVILMOE_ASSIGN_OR_RETURN(const StackShape shape, ShapeOf(found.directory(), choice, DefaultShape(NumCores())));
  std::optional<RunSummary> asked;
  EVILMOE_RETURN_IF_ERROR(
      AskPrivateStack(found, shape, steering.action, context, [&](CoordinatorLink& link) -> absl::Status {
        EVILMOE_ASSIGN_OR_RETURN(asked, (link.*steering.ask)(found.run.run_id));
        return absl::OkStatus();
      }));
  if (asked) return *std::move(asked);
  return found.directory().ReadSummary();  // a stack that was started for it asks by itself
}

// The run after it has been asked; last_seq stays what it was.
absl::StatusOr<FoundRun> Steer(FoundRun found, const SteerCommand& command, const Steering& steering,
                               RunCatalog& catalog, const VerbContext& context) {
  EVILMOE_RETURN_IF_ERROR(CheckState(found.run, steering));
  absl::StatusOr<RunSummary> run;
  if (found.link != nullptr) {
    EVILMOE_RETURN_IF_ERROR(CheckUnchosen(command.stack, catalog.where()));
    run = (found.link->*steering.ask)(found.run.run_id);
  } else {
    run = SteerPrivate(found, steering, command.stack, context);
  }
  EVILMOE_RETURN_IF_ERROR(run.status());
  const int64_t seen_seq = found.run.last_seq;
  const std::string directory = found.run.directory;
  found.run = *std::move(run);
  found.run.last_seq = seen_seq;
  if (found.run.directory.empty()) found.run.directory = directory;
  return found;
}

// JSON, or one line.
int Tell(const RunSummary& run, const std::string& what, const VerbContext& context) {
  if (context.global.json) {
    context.out << ToJson(run).dump() << "\n";
  } else {
    context.out << "run " << ShownLine(run.run_id) << " " << what << "\n";
  }
  return kExitOk;
}

// A run that goes on again: said, and followed from where it was.
absl::StatusOr<int> GoOn(const SteerCommand& command, const Steering& steering, const VerbContext& context) {
  RunCatalog catalog(context);
  EVILMOE_ASSIGN_OR_RETURN(FoundRun found, catalog.Find(command.run));
  if (found.link != nullptr) {
    EVILMOE_ASSIGN_OR_RETURN(const FeedPage page, found.link->ListEvents(found.run.run_id, 0));
    found.run.last_seq = page.run.last_seq;
  }
  EVILMOE_ASSIGN_OR_RETURN(found, Steer(std::move(found), command, steering, catalog, context));
  PrintStarted(found, context);
  if (!command.detach) return FollowToTheEnd(found, found.run.last_seq, context);
  if (!context.global.json) context.out << HowToComeBack(found.run.run_id) << std::endl;
  return kExitOk;
}

}  // namespace

void AddCancelOptions(VerbOptions& options, SteerCommand& command) { options.Run(&command.run); }
void AddPauseOptions(VerbOptions& options, SteerCommand& command) { options.Run(&command.run); }
void AddResumeOptions(VerbOptions& options, SteerCommand& command) {
  options.Run(&command.run);
  options.Flag("--detach", &command.detach, "Let the run go on and return");
  AddStackOptions(options, command.stack);
}

absl::StatusOr<int> Cancel(const SteerCommand& command, const VerbContext& context) {
  RunCatalog catalog(context);
  EVILMOE_ASSIGN_OR_RETURN(FoundRun found, catalog.Find(command.run));
  EVILMOE_ASSIGN_OR_RETURN(found, Steer(std::move(found), command, kCancel, catalog, context));
  return Tell(found.run, "cancelled", context);
}

absl::StatusOr<int> Pause(const SteerCommand& command, const VerbContext& context) {
  RunCatalog catalog(context);
  EVILMOE_ASSIGN_OR_RETURN(FoundRun found, catalog.Find(command.run));
  EVILMOE_ASSIGN_OR_RETURN(found, Steer(std::move(found), command, kPause, catalog, context));
  const bool at_once = found.run.state == "paused";
  return Tell(found.run,
              absl::StrCat(at_once ? "is paused" : "is pausing: it ends its step and writes a checkpoint",
                           "; `evilmoe-ctl resume ", ShownLine(found.run.run_id), "` goes on"),
              context);
}

absl::StatusOr<int> Resume(const SteerCommand& command, const VerbContext& context) {
  return GoOn(command, kResume, context);
}

absl::StatusOr<int> Retry(const SteerCommand& command, const VerbContext& context) {
  return GoOn(command, kRetry, context);
}

std::vector<Verb> ControlVerbs() {
  return {
      {"cancel", verb_group::kRuns, "End a run",
       [](VerbOptions& options) { return Bound(options, AddCancelOptions, Cancel); },
       "What it has written stays: checkpoints, metrics, rollouts. `retry` takes it up again.",
       "evilmoe-ctl cancel nano"},
      {"pause", verb_group::kRuns, "Let a run end its step and wait",
       [](VerbOptions& options) { return Bound(options, AddPauseOptions, Pause); },
       "The trainer ends the step under way and writes a checkpoint; its device is free for other runs then. A run that "
       "waits in the queue is paused at once.",
       "evilmoe-ctl pause nano"},
      {"resume", verb_group::kRuns, "Let a paused or interrupted run go on",
       [](VerbOptions& options) { return Bound(options, AddResumeOptions, Resume); },
       "It goes on from its last checkpoint and is followed. A private stack that is gone is started again with as many "
       "workers and ranks as before.",
       "evilmoe-ctl resume nano --detach"},
      {"retry", verb_group::kRuns, "Start a failed or cancelled run again",
       [](VerbOptions& options) { return Bound(options, AddResumeOptions, Retry); },
       "Its last job is queued again and begins at the last checkpoint.", "evilmoe-ctl retry nano"}};
}

}  // namespace evilmoe
