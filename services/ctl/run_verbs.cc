#include "services/ctl/run_verbs.h"

#include <signal.h>

#include "absl/strings/str_cat.h"
#include "common/exit_code.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/shown_text.h"
#include "common/status_macros.h"
#include "services/ctl/dry_run.h"
#include "services/ctl/local_stack.h"
#include "services/ctl/private_stack.h"
#include "services/ctl/verb_table.h"
#include "services/report/report.h"
#include "services/runs/ulid.h"
#include "trainer/arm_presets.h"
#include "trainer/run_file.h"

namespace evilmoe {
namespace {

// A stack on a run that has ended stays so long at least, so that the ablation finds it.
constexpr absl::Duration kTimeToSubmit = absl::Seconds(5);

// A problem of each line of the file is one line of the answer; nothing has been started then.
int PrintProblems(const absl::Status& status, const VerbContext& context) {
  context.errors << status.message() << std::endl;
  return kExitUsage;
}

// The page of a run whose files are here. False: they are elsewhere, or it could not be written, which is said.
bool WritePage(const FoundRun& found, const VerbContext& context) {
  if (!HasLocalFiles(found)) return false;
  const absl::Status written = WriteReport(found.run.directory, found.directory().Report());
  if (!written.ok()) context.errors << "evilmoe-ctl: report: " << ShownLine(std::string(written.message())) << std::endl;
  return written.ok();
}

// Prints how a run ended, the final line last.
int PrintEnd(const FoundRun& found, const FollowResult& result, const VerbContext& context) {
  const RunSummary& run = result.run;
  const std::string id = ShownLine(run.run_id);
  const std::string logs = found.link == nullptr || HasLocalFiles(found)
                               ? ShownLine(found.directory().Logs().string())
                               : absl::StrCat("`evilmoe-ctl logs ", id, " --component trainer`");
  if (run.state == "interrupted" || run.state == "paused") {
    const bool paused = run.state == "paused";
    context.errors << "evilmoe-ctl: run " << id << (paused ? " is paused" : " is interrupted: its stack is gone")
                   << "; `evilmoe-ctl resume " << id << "` goes on; logs: " << logs << std::endl;
    return paused ? kExitOk : kExitRunFailed;
  }
  const bool written = WritePage(found, context);
  if (!context.global.json && written) context.out << "report " << ShownLine(found.directory().Report().string()) << std::endl;
  if (run.state != "succeeded") {
    context.errors << "evilmoe-ctl: run " << id << " " << ShownLine(run.state) << (run.error.empty() ? "" : ": ")
                   << ShownLine(run.error) << "; logs: " << logs << std::endl;
    return kExitRunFailed;
  }
  if (!context.global.json && !result.final_line.empty()) context.out << result.final_line << std::endl;
  return kExitOk;
}

nlohmann::ordered_json AblationParameters(const AblateCommand& command) {
  nlohmann::ordered_json params = nlohmann::ordered_json::object();
  if (command.checkpoint) params["checkpoint"] = *command.checkpoint;
  if (command.samples) params["samples"] = *command.samples;
  if (command.relearn) params["relearn"] = *command.relearn;
  if (!command.problems.empty()) params["problems"] = std::filesystem::absolute(command.problems).string();
  return params;
}

// Says that the run goes on without us, and how to find it again.
int Detach(const RunSummary& run, const VerbContext& context) {
  if (!context.global.json) context.out << HowToComeBack(run.run_id) << std::endl;
  return kExitOk;
}

// Returns the last event before it.
absl::StatusOr<int64_t> QueueAblation(CoordinatorLink& link, const RunSummary& run, const std::string& job_id,
                                      const AblateCommand& command) {
  EVILMOE_ASSIGN_OR_RETURN(const FeedPage before, link.ListEvents(run.run_id, run.last_seq));
  EVILMOE_RETURN_IF_ERROR(link.SubmitAblation(run.run_id, job_id, AblationParameters(command).dump()));
  return before.run.last_seq;
}

// The same with the private stack of the run, which is started where there is none.
absl::StatusOr<int64_t> QueuePrivateAblation(const FoundRun& found, const std::string& job_id,
                                             const AblateCommand& command, const VerbContext& context) {
  EVILMOE_ASSIGN_OR_RETURN(StackShape shape, ShapeOf(found.directory(), command.stack, DefaultShape(NumCores())));
  shape.linger = std::max(shape.linger, kTimeToSubmit);
  int64_t seq = 0;
  EVILMOE_RETURN_IF_ERROR(
      AskPrivateStack(found, shape, RunAction::kNone, context, [&](CoordinatorLink& link) -> absl::Status {
        EVILMOE_ASSIGN_OR_RETURN(seq, QueueAblation(link, found.run, job_id, command));
        return absl::OkStatus();
      }));
  return seq;
}

// Why the file cannot be read; where examples/nano.yaml was meant to be examples/nano/run.yaml, that too.
absl::Status NoRunFile(const std::filesystem::path& file, const absl::Status& why) {
  const std::filesystem::path folder = std::filesystem::path(file).replace_extension();
  std::error_code ignored;
  if (!absl::IsNotFound(why) || !std::filesystem::exists(folder / "run.yaml", ignored)) return why;
  return absl::NotFoundError(absl::StrCat(std::string(why.message()), "; there is ", (folder / "run.yaml").string()));
}

// Where a browser shows the run: at its private stack, or at the home's long-lived one; "" = nowhere that is known here.
std::string PageOf(const FoundRun& found, const VerbContext& context) {
  std::string page;
  if (found.link == nullptr) {
    page = AwaitPage(found.directory(), context.clock);
  } else if (context.global.endpoint.address.empty()) {
    page = HomeDirectory{context.home}.ReadServed().value_or(HomeDirectory::Served{}).page;
  }
  return page.empty() ? "" : absl::StrCat(page, "#/runs/", found.run.run_id);
}

// What completion suggests behind --set.
std::vector<std::string> ArmOverrides() {
  std::vector<std::string> words;
  for (const ArmPreset& arm : ArmPresets()) words.push_back(absl::StrCat("arm=", std::string(arm.name)));
  return words;
}

}  // namespace

std::string HowToComeBack(const std::string& run_id) {
  const std::string id = ShownLine(run_id);
  return absl::StrCat("`evilmoe-ctl logs ", id, " -f` follows it, `evilmoe-ctl cancel ", id, "` ends it");
}

void PrintStarted(const FoundRun& found, const VerbContext& context) {
  const RunSummary& run = found.run;
  const std::string page = PageOf(found, context);
  if (context.global.json) {
    nlohmann::ordered_json json = ToJson(run);
    if (!page.empty()) json["page"] = page;
    context.out << json.dump() << std::endl;
    return;
  }
  context.out << "run " << ShownLine(run.run_id) << " (" << ShownLine(run.name) << ", " << ShownLine(run.arm) << ", "
              << run.steps_total << " steps)\n"
              << "directory " << ShownLine(run.directory) << std::endl;
  if (!page.empty()) context.out << "page " << page << std::endl;
}

absl::StatusOr<int> FollowToTheEnd(const FoundRun& found, int64_t after_seq, const VerbContext& context) {
  const RunSummary& run = found.run;
  SignalWaiter signals({SIGINT, SIGTERM});
  FollowOptions options;
  options.after_seq = after_seq;
  options.terminal = context.terminal;
  options.json = context.global.json;
  options.pause = [&](absl::Duration wait) { return signals.Wait(wait) != 0; };
  FileFeed file_feed({run.directory});
  std::unique_ptr<LinkFeed> link_feed;
  if (found.link != nullptr) {
    link_feed = std::make_unique<LinkFeed>(*found.link, run.run_id);
    options.queue_note = [&] {
      const absl::StatusOr<std::vector<RunSummary>> runs = found.link->ListRuns("");
      return runs.ok() ? QueueNote(*runs, run.run_id) : "";
    };
  } else {
    options.is_alive = [&] { return RunDirectory{run.directory}.HasStack(); };
  }
  RunFeed& feed = link_feed != nullptr ? static_cast<RunFeed&>(*link_feed) : file_feed;
  EVILMOE_ASSIGN_OR_RETURN(const FollowResult result, Follow(feed, options, context.clock, context.out));
  if (!result.detached) return PrintEnd(found, result, context);
  context.errors << "detached, run " << ShownLine(run.run_id) << " goes on: " << HowToComeBack(run.run_id) << std::endl;
  return kExitOk;
}

std::vector<Override> OverridesOf(const SubmitCommand& command) {
  std::vector<Override> overrides;
  for (const std::string& set : command.sets) {
    const size_t equals = set.find('=');
    overrides.emplace_back(set.substr(0, equals), set.substr(equals + 1));
  }
  if (command.seed) overrides.emplace_back("seed", absl::StrCat(*command.seed));
  if (command.name) overrides.emplace_back("name", absl::StrCat("'", *command.name, "'"));
  return overrides;
}

RunSummary NewRun(const RunConfig& config, const Clock& clock) {
  RunSummary run;
  run.run_id = NewUlid(clock.Now());
  run.name = config.name;
  run.arm = config.arm;
  run.state = "queued";
  run.steps_total = config.steps;
  run.created_unix_ms = absl::ToUnixMillis(clock.Now());
  return run;
}

absl::Status MakeRunDirectory(RunSummary& run, const std::string& config_yaml, const std::filesystem::path& home) {
  const RunDirectory directory{home / run.run_id};
  run.directory = directory.path.string();
  run.config_sha256 = Sha256Hex(config_yaml);
  EVILMOE_RETURN_IF_ERROR(directory.Create());
  EVILMOE_RETURN_IF_ERROR(WriteFileAtomic(directory.Config(), config_yaml));
  return directory.WriteSummary(run);
}

absl::StatusOr<FoundRun> StartRun(RunSummary run, const std::string& config_yaml, const StackShape& shape,
                                  RunCatalog& catalog, const VerbContext& context) {
  if (catalog.link() != nullptr) {
    EVILMOE_ASSIGN_OR_RETURN(run, catalog.link()->SubmitRun(run, config_yaml));
    return FoundRun{std::move(run), catalog.link()};
  }
  EVILMOE_RETURN_IF_ERROR(CheckBinaries());
  run.slots = 1;  // the stack's trainer is the run's own, with as many ranks as it has this time
  EVILMOE_RETURN_IF_ERROR(MakeRunDirectory(run, config_yaml, context.home));
  EVILMOE_RETURN_IF_ERROR(EnsureStack({run.directory}, shape, RunAction::kNone, context.clock));
  return FoundRun{std::move(run), nullptr};
}

void AddSubmitOptions(VerbOptions& options, SubmitCommand& command) {
  options.File("FILE", &command.file, "run.yaml")->required();
  options
      .Value("--set", &command.sets, {Completes::kSuggestion, ArmOverrides(), "FIELD=VALUE", "", true},
             "Override one field of the file, as in --set adapter.rank=8")
      ->expected(1)
      ->take_all()
      ->check(CLI::Validator(
          [](const std::string& set) {
            const size_t equals = set.find('=');
            const bool ok = equals != std::string::npos && equals != 0;
            return ok ? std::string() : absl::StrCat("bad override, got \"", set, "\", expected a.b=value");
          },
          ""));
  options.Text("--seed", &command.seed, "N", "The run's seed", "of the file");
  options.Text("--name", &command.name, "NAME", "The run's name", "of the file");
  options.Flag("--dry-run", &command.dry_run, "Print the resolved file and an estimate; start nothing");
  options.Flag("--detach", &command.detach, "Start the run and return");
  options.Range("--priority", &command.priority, -1000, 1000, "Runs of a higher one start first", "0");
  options.Range("--slots", &command.slots, 1, 64, "Devices that the run's trainer must have, one a rank",
                "1; a private stack takes as many ranks as it has");
  options.Value("--sweep", &command.sweep, {Completes::kSweep, {}, "NAME"}, "Sweep that the run shall belong to");
  AddStackOptions(options, command.stack);
}

absl::StatusOr<int> Submit(const SubmitCommand& command, const VerbContext& context) {
  const absl::StatusOr<std::string> text = ReadFile(command.file, size_t{1} << 20);
  if (!text.ok()) return NoRunFile(command.file, text.status());
  const absl::StatusOr<RunFile> file =
      ParseRunFile(*text, command.file.string(), std::filesystem::absolute(command.file).parent_path(),
                   {.overrides = OverridesOf(command), .files_may_be_missing = command.dry_run});
  if (!file.ok()) return PrintProblems(file.status(), context);
  for (const std::string& notice : file->notices) context.errors << notice << std::endl;
  const StackShape shape = Chosen(DefaultShape(NumCores()), command.stack);
  if (command.dry_run) {
    EVILMOE_RETURN_IF_ERROR(DryRun(*file, shape, context.global.json, context.out, context.errors));
    return kExitOk;
  }
  const RunConfig& config = file->config;
  RunCatalog catalog(context);
  if (catalog.link() != nullptr) EVILMOE_RETURN_IF_ERROR(CheckUnchosen(command.stack, catalog.where()));
  RunSummary run = NewRun(config, context.clock);
  run.priority = command.priority;
  run.slots = command.slots.value_or(1);
  run.sweep = command.sweep;
  EVILMOE_ASSIGN_OR_RETURN(const FoundRun found, StartRun(std::move(run), ToYaml(config), shape, catalog, context));
  PrintStarted(found, context);
  return command.detach ? Detach(found.run, context) : FollowToTheEnd(found, 0, context);
}

void AddAblateOptions(VerbOptions& options, AblateCommand& command) {
  options.Value("--run", &command.run, {Completes::kRun, {}, "ID"}, "Id of a run, the start of one, or a name")
      ->required();
  options.Text("--checkpoint", &command.checkpoint, "N", "Step of the checkpoint", "the last")
      ->check(VerbOptions::InRange<int64_t>(0, int64_t{1} << 40));
  options.Text("--samples", &command.samples, "N", "Samples for each problem and mode", "those of the run")
      ->check(VerbOptions::InRange<int64_t>(1, int64_t{1} << 20));
  options.File("--problems", &command.problems, "Problem file, as the trainer's host sees it", "the run's");
  options.Text("--relearn", &command.relearn, "N",
               "Then train OFF, a random half and the base for N steps: how soon is hacking back?")
      ->check(VerbOptions::InRange<int64_t>(1, int64_t{1} << 20));
  options.Flag("--detach", &command.detach, "Queue it and return");
  AddStackOptions(options, command.stack);
}

absl::StatusOr<int> Ablate(const AblateCommand& command, const VerbContext& context) {
  RunCatalog catalog(context);
  EVILMOE_ASSIGN_OR_RETURN(const FoundRun found, catalog.Find(command.run));
  std::error_code ignored;
  const bool trainer_is_here = found.link == nullptr || HasLocalFiles(found);
  if (trainer_is_here && !command.problems.empty() && !std::filesystem::exists(command.problems, ignored)) {
    return absl::NotFoundError(absl::StrCat("--problems ", command.problems.string(), ": not found"));
  }
  const std::string job_id = NewUlid(context.clock.Now());
  absl::StatusOr<int64_t> seq;
  if (found.link != nullptr) {
    seq = QueueAblation(*found.link, found.run, job_id, command);
  } else {
    EVILMOE_RETURN_IF_ERROR(CheckPrivate(found));
    const RunSummary& run = found.run;
    if (run.state == "interrupted" || run.state == "paused") {
      return absl::FailedPreconditionError(absl::StrCat("run ", run.run_id, " is ", run.state,
                                                        ", expected one that has ended; `evilmoe-ctl resume ",
                                                        run.run_id, "` first"));
    }
    seq = QueuePrivateAblation(found, job_id, command, context);
  }
  EVILMOE_RETURN_IF_ERROR(seq.status());
  return command.detach ? Detach(found.run, context) : FollowToTheEnd(found, *seq, context);
}

std::vector<Verb> RunVerbs() {
  return {
      {"submit", verb_group::kRuns, "Check a run file, start the run and follow it",
       [](VerbOptions& options) { return Bound(options, AddSubmitOptions, Submit); },
       "The whole file is checked first and every problem told with its line; nothing starts before it is right. Then "
       "the run is queued with the coordinator, or with none given gets a private stack of processes on this machine, and "
       "is followed: a step table, a progress bar on a terminal, at the end the causal ablation and its final line. "
       "Ctrl-C detaches, and the run goes on.",
       "evilmoe-ctl submit examples/nano/run.yaml --set arm=absorb --seed 1\n"
       "evilmoe-ctl submit examples/nano/run.yaml --dry-run"},
      {"ablate", verb_group::kRuns, "Run the causal ablation of a run",
       [](VerbOptions& options) { return Bound(options, AddAblateOptions, Ablate); },
       "Samples held-out problems with the hack expert on, off and with random halves in its place, and prints the table "
       "with intervals and the final line. The run must have ended.",
       "evilmoe-ctl ablate --run nano --samples 10"}};
}

}  // namespace evilmoe
