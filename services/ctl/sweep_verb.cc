#include "services/ctl/sweep_verb.h"

#include <signal.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/exit_code.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/status_macros.h"
#include "services/ctl/compare_verb.h"
#include "services/ctl/local_stack.h"
#include "services/ctl/patience.h"
#include "services/ctl/process.h"
#include "services/ctl/run_catalog.h"
#include "services/ctl/run_verbs.h"
#include "services/ctl/sweep_board.h"
#include "services/ctl/sweep_file.h"
#include "services/ctl/verb_table.h"

namespace evilmoe {
namespace {

constexpr absl::Duration kPoll = absl::Milliseconds(500);

// A sweep under way: its file's runs and those that exist of them. Not thread-safe.
class SweepRunner {
 public:
  SweepRunner(const SweepCommand& command, Sweep sweep, const VerbContext& context)
      : command_(command), sweep_(std::move(sweep)), context_(context), catalog_(context) {}

  // Finds the runs that exist. FailedPrecondition: one has another config than the file says.
  absl::Status Find();
  // Queues the others with the coordinator.
  absl::Status QueueAll();
  // One after another with a private stack each, until all have ended or the person detaches (false).
  absl::StatusOr<bool> RunOneByOne();
  // Until all have ended or the person detaches (false).
  absl::StatusOr<bool> Watch();
  // The table, the comparison; the exit code.
  absl::StatusOr<int> Conclude();

  const std::vector<RunSummary>& runs() const { return runs_; }
  bool has_coordinator() { return catalog_.link() != nullptr; }
  const std::string& where() const { return catalog_.where(); }

 private:
  RunSummary ToSubmit(const SweepRun& run) const;
  absl::Status StartPrivate(size_t index);
  absl::Status Refresh();
  absl::StatusOr<std::vector<ComparedRun>> ReadAll();
  void Show();

  const SweepCommand& command_;
  const Sweep sweep_;
  const VerbContext& context_;
  RunCatalog catalog_;
  Patience patience_{context_.clock};
  SignalWaiter signals_{std::vector<int>{SIGINT, SIGTERM}};
  std::vector<RunSummary> runs_;  // one for each of the file's, in its order
  std::vector<RunSummary> shown_;
  size_t board_lines_ = 0;  // that stand at the bottom of the terminal
};

bool IsAtRest(const RunSummary& run) {
  return IsFinished(run) || run.state == "paused" || run.state == "interrupted";
}

RunSummary SweepRunner::ToSubmit(const SweepRun& run) const {
  RunSummary summary = NewRun(run.config, context_.clock);
  summary.sweep = sweep_.name;
  summary.priority = command_.priority;
  summary.slots = command_.slots.value_or(1);
  return summary;
}

absl::Status SweepRunner::Find() {
  if (has_coordinator()) EVILMOE_RETURN_IF_ERROR(CheckUnchosen(command_.stack, where()));
  EVILMOE_ASSIGN_OR_RETURN(const std::vector<RunSummary> known, catalog_.List(sweep_.name));
  for (const SweepRun& run : sweep_.runs) {
    const auto it = std::find_if(known.rbegin(), known.rend(), [&](const RunSummary& r) { return r.name == run.name; });
    RunSummary waiting;
    waiting.name = run.name;
    waiting.arm = run.config.arm;
    waiting.state = "waiting";
    waiting.steps_total = run.config.steps;
    runs_.push_back(it == known.rend() ? waiting : *it);
    const bool other = it != known.rend() && !it->config_sha256.empty() && it->config_sha256 != Sha256Hex(run.config_yaml);
    if (!other) continue;
    return absl::FailedPreconditionError(
        absl::StrCat("sweep ", sweep_.name, ": run ", run.name, " (", it->run_id,
                     ") is there with another config than the file says, expected the same; give the sweep another name"));
  }
  return absl::OkStatus();
}

absl::Status SweepRunner::QueueAll() {
  for (size_t i = 0; i < runs_.size(); ++i) {
    if (runs_[i].state != "waiting") continue;
    EVILMOE_ASSIGN_OR_RETURN(runs_[i],
                             catalog_.link()->SubmitRun(ToSubmit(sweep_.runs[i]), sweep_.runs[i].config_yaml));
  }
  return absl::OkStatus();
}

absl::Status SweepRunner::StartPrivate(size_t index) {
  RunSummary& run = runs_[index];
  const StackShape fallback = Chosen(DefaultShape(NumCores()), command_.stack);
  if (run.state == "waiting") {
    EVILMOE_ASSIGN_OR_RETURN(const FoundRun found, StartRun(ToSubmit(sweep_.runs[index]), sweep_.runs[index].config_yaml,
                                                            fallback, catalog_, context_));
    run = found.run;
    return absl::OkStatus();
  }
  const RunDirectory directory{run.directory};
  if (directory.HasStack()) return absl::OkStatus();
  EVILMOE_RETURN_IF_ERROR(CheckPrivate({run, nullptr}));
  EVILMOE_ASSIGN_OR_RETURN(const StackShape shape, ShapeOf(directory, command_.stack, fallback));
  return EnsureStack(directory, shape, RunAction::kResume, context_.clock);
}

absl::StatusOr<bool> SweepRunner::RunOneByOne() {
  for (size_t i = 0; i < runs_.size(); ++i) {
    if (IsFinished(runs_[i])) continue;
    EVILMOE_RETURN_IF_ERROR(StartPrivate(i));
    do {
      EVILMOE_RETURN_IF_ERROR(Refresh());
      Show();
      if (signals_.Wait(kPoll) != 0) return false;
    } while (!IsAtRest(runs_[i]));
  }
  EVILMOE_RETURN_IF_ERROR(Refresh());
  Show();
  return true;
}

absl::StatusOr<bool> SweepRunner::Watch() {
  while (true) {
    EVILMOE_RETURN_IF_ERROR(Refresh());
    Show();
    if (std::all_of(runs_.begin(), runs_.end(), IsAtRest)) return true;
    if (signals_.Wait(kPoll) != 0) return false;
  }
}

// Leaves the runs as they were while the coordinator cannot be reached, for as long as that is borne.
absl::Status SweepRunner::Refresh() {
  const absl::StatusOr<std::vector<RunSummary>> known = catalog_.List(sweep_.name);
  EVILMOE_RETURN_IF_ERROR(patience_.Bear(known.status()));
  if (!known.ok()) return absl::OkStatus();
  for (RunSummary& run : runs_) {
    const auto it =
        std::find_if(known->begin(), known->end(), [&](const RunSummary& r) { return r.run_id == run.run_id; });
    if (it != known->end()) run = *it;
  }
  return absl::OkStatus();
}

// A board that is drawn again and again on a terminal; else a line for each change.
void SweepRunner::Show() {
  if (context_.global.json) return;
  if (!context_.terminal) {
    if (!shown_.empty()) context_.out << SweepChanges(shown_, runs_) << std::flush;
  } else {
    const std::string board = SweepBoard(runs_);
    if (board_lines_ > 0) context_.out << "\033[" << board_lines_ << "A\033[J";
    context_.out << board << std::flush;
    board_lines_ = static_cast<size_t>(std::count(board.begin(), board.end(), '\n'));
  }
  shown_ = runs_;
}

absl::StatusOr<std::vector<ComparedRun>> SweepRunner::ReadAll() {
  std::vector<ComparedRun> compared;
  for (const RunSummary& run : runs_) {
    if (run.run_id.empty()) continue;
    EVILMOE_ASSIGN_OR_RETURN(const FoundRun found, catalog_.Find(run.run_id));
    EVILMOE_ASSIGN_OR_RETURN(ComparedRun read, ReadCompared(found));
    compared.push_back(std::move(read));
  }
  return compared;
}

absl::StatusOr<int> SweepRunner::Conclude() {
  absl::StatusOr<std::vector<ComparedRun>> all_read = ReadAll();
  for (; !all_read.ok(); all_read = ReadAll()) {
    EVILMOE_RETURN_IF_ERROR(patience_.Bear(all_read.status()));
    if (signals_.Wait(kPoll) != 0) return all_read.status();
  }
  const std::vector<ComparedRun>& compared = *all_read;
  const bool any = std::any_of(compared.begin(), compared.end(), [](const ComparedRun& run) { return !run.modes.empty(); });
  if (context_.global.json) {
    nlohmann::ordered_json json = {{"sweep", sweep_.name}, {"runs", nlohmann::ordered_json::array()}};
    for (const RunSummary& run : runs_) json["runs"].push_back(ToJson(run));
    json["comparison"] = any ? ComparisonJson(CompareRuns(compared), compared) : nlohmann::ordered_json();
    context_.out << json.dump(2) << "\n";
  } else {
    context_.out << SweepTable(runs_, context_.global.color) << (any ? "\n" + ComparisonText(compared) : "");
  }
  const bool all = std::all_of(runs_.begin(), runs_.end(), [](const RunSummary& run) { return run.state == "succeeded"; });
  return all ? kExitOk : kExitRunFailed;
}

void PrintPlan(const SweepRunner& runner, const Sweep& sweep, const VerbContext& context) {
  if (context.global.json) {
    nlohmann::ordered_json json = {{"sweep", sweep.name}, {"runs", nlohmann::ordered_json::array()}};
    for (const RunSummary& run : runner.runs()) json["runs"].push_back(ToJson(run));
    context.out << json.dump(2) << "\n";
    return;
  }
  context.out << "sweep " << sweep.name << ": " << SweepCounts(runner.runs()) << "\n"
              << SweepTable(runner.runs(), context.global.color);
}

}  // namespace

void AddSweepOptions(VerbOptions& options, SweepCommand& command) {
  options.File("FILE", &command.file, "Sweep file: name, run, arms, seeds, fields")->required();
  options.Flag("--dry-run", &command.dry_run, "Check the file and every run of it, and list them; start nothing");
  options.Flag("--detach", &command.detach, "Queue the runs and return (with a coordinator)");
  options.Range("--priority", &command.priority, -1000, 1000, "Runs of a higher one start first", "0");
  options.Range("--slots", &command.slots, 1, 64, "Devices that a run's trainer must have", "1");
  AddStackOptions(options, command.stack);
}

absl::StatusOr<int> RunSweep(const SweepCommand& command, const VerbContext& context) {
  EVILMOE_ASSIGN_OR_RETURN(const std::string yaml, ReadFile(command.file, size_t{1} << 20));
  const absl::StatusOr<Sweep> sweep =
      ReadSweep(yaml, command.file.string(), std::filesystem::absolute(command.file).parent_path());
  if (absl::IsInvalidArgument(sweep.status())) {
    context.errors << sweep.status().message() << std::endl;
    return kExitUsage;
  }
  EVILMOE_RETURN_IF_ERROR(sweep.status());
  SweepRunner runner(command, *sweep, context);
  EVILMOE_RETURN_IF_ERROR(runner.Find());
  if (command.dry_run) {
    PrintPlan(runner, *sweep, context);
    return kExitOk;
  }
  if (command.detach && !runner.has_coordinator()) {
    return absl::InvalidArgumentError(
        "--detach: without a coordinator nobody would start the next run, expected one; `evilmoe-ctl up` first");
  }
  if (runner.has_coordinator()) EVILMOE_RETURN_IF_ERROR(runner.QueueAll());
  if (command.detach || !context.global.json) PrintPlan(runner, *sweep, context);
  if (command.detach) return kExitOk;
  EVILMOE_ASSIGN_OR_RETURN(const bool ended, runner.has_coordinator() ? runner.Watch() : runner.RunOneByOne());
  if (ended) return runner.Conclude();
  context.errors << "detached from sweep " << sweep->name << ": "
                 << (runner.has_coordinator() ? "its runs go on; " : "the run under way goes on; ")
                 << "the same command takes it up again" << std::endl;
  return kExitOk;
}

std::vector<Verb> SweepVerbs() {
  return {{"sweep", verb_group::kCompare, "Run a file under arms, seeds and values of fields",
           [](VerbOptions& options) { return Bound(options, AddSweepOptions, RunSweep); },
           "Every combination is a run of its own, all of them checked before one starts. With a coordinator they are "
           "queued; else each gets a private stack, one after another. Runs that are there under the sweep's name are "
           "not started again, so the same command takes a sweep up where it broke off. At the end `compare` of all.",
           "evilmoe-ctl sweep arms.yaml --dry-run\nevilmoe-ctl sweep arms.yaml"}};
}

}  // namespace evilmoe
