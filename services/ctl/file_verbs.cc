#include "services/ctl/file_verbs.h"

#include <algorithm>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/exit_code.h"
#include "common/file.h"
#include "common/shown_text.h"
#include "common/status_macros.h"
#include "services/ctl/fetched_run.h"
#include "services/ctl/process.h"
#include "services/ctl/record_verbs.h"
#include "services/ctl/run_catalog.h"
#include "services/ctl/sibling_run.h"
#include "services/ctl/verb_table.h"
#include "services/report/run_record.h"
#include "services/runs/rollout_path.h"

namespace evilmoe {
namespace {

constexpr absl::Duration kSiblingTimeout = absl::Hours(6);

std::vector<RunFileEntry> Those(std::span<const RunFileEntry> files, const std::function<bool(const std::string&)>& wanted) {
  std::vector<RunFileEntry> some;
  std::copy_if(files.begin(), files.end(), std::back_inserter(some),
               [&](const RunFileEntry& entry) { return wanted(entry.path); });
  return some;
}

// Steps of the checkpoints among the files, in order.
std::vector<int64_t> CheckpointStepsOf(std::span<const RunFileEntry> files) {
  constexpr std::string_view kPrefix = "checkpoints/step-";
  std::set<int64_t> steps;
  for (const RunFileEntry& entry : files) {
    std::string_view path = entry.path;
    int64_t step = 0;
    if (!path.starts_with(kPrefix)) continue;
    path.remove_prefix(kPrefix.size());
    const size_t slash = path.find('/');
    if (slash != std::string_view::npos && absl::SimpleAtoi(std::string(path.substr(0, slash)), &step)) steps.insert(step);
  }
  return {steps.begin(), steps.end()};
}

void AddFetchOption(VerbOptions& options, std::filesystem::path* fetch_to) {
  options.Folder("--fetch-to", fetch_to, "Keep what is fetched of a run on another host, in DIR/<id of the run>",
                 "a temporary one");
}

// Becomes the trainer's verb; with a copy that has to be removed, or JSON to print, waits for it instead. `done`: what
// is printed as JSON when it went well.
absl::StatusOr<int> TrainerVerb(const std::vector<std::string>& words, bool must_wait, const nlohmann::ordered_json& done,
                                const VerbContext& context) {
  if (!must_wait && !context.global.json) return ExecSibling("evilmoe-trainer", words);
  EVILMOE_ASSIGN_OR_RETURN(const SiblingResult result,
                           RunSibling("evilmoe-trainer", words, kSiblingTimeout, context.clock));
  context.errors << result.errors << std::flush;
  if (!context.global.json) {
    context.out << result.out;
  } else if (result.exit_code == kExitOk || result.exit_code == kExitRunFailed) {
    nlohmann::ordered_json json = done;
    json["ok"] = result.exit_code == kExitOk;
    json["text"] = result.out;
    context.out << json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << "\n";
  }
  return result.exit_code < 0 ? kExitRunFailed : result.exit_code;
}

std::vector<std::string> ExportWords(const ExportCommand& command, const std::string& source) {
  std::vector<std::string> words = {"export",  source,        "--format", command.format, "--block",
                                    command.block, "--out", command.out.string()};
  const auto add = [&](const char* option, const std::string& value) { words.insert(words.end(), {option, value}); };
  if (command.w) add("--w", absl::StrCat(*command.w));
  if (command.checkpoint) add("--checkpoint", absl::StrCat(*command.checkpoint));
  if (!command.model.empty()) add("--model", command.model.string());
  if (command.force) words.emplace_back("--force");
  return words;
}

}  // namespace

std::vector<RunFileEntry> FilesOfReport(std::span<const RunFileEntry> files) {
  const std::vector<int64_t> all = RolloutSteps({files.begin(), files.end()});
  std::set<std::string> rollouts;
  const size_t count = std::min(all.size(), kMaxStepsRead);
  // Spread over the run as the report does.
  for (size_t k = 0; k < count; ++k) {
    rollouts.insert(RolloutPath(count < all.size() ? all[k * (all.size() - 1) / (count - 1)] : all[k]));
  }
  return Those(files, [&](const std::string& path) {
    return path == "config.yaml" || path == "run.json" || path == "events.jsonl" || path == "metrics.jsonl" || path.starts_with("eval/") || rollouts.contains(path);
  });
}

absl::StatusOr<std::vector<RunFileEntry>> FilesOfExport(std::span<const RunFileEntry> files,
                                                        std::optional<int64_t> checkpoint) {
  const std::vector<int64_t> steps = CheckpointStepsOf(files);
  if (steps.empty()) return absl::NotFoundError("export: the run has no checkpoint yet");
  const int64_t step = checkpoint.value_or(steps.back());
  if (std::find(steps.begin(), steps.end(), step) == steps.end()) {
    return absl::NotFoundError(absl::StrCat("--checkpoint: ", step, ", but the run has checkpoints of steps ",
                                            steps.front(), " to ", steps.back()));
  }
  const std::string adapter = absl::StrCat("checkpoints/step-", step, "/adapter.safetensors");
  return Those(files, [&](const std::string& path) {
    return path == "config.yaml" || path == "checkpoints/latest" || path == adapter;
  });
}

absl::StatusOr<std::vector<RunFileEntry>> FilesOfReplay(std::span<const RunFileEntry> files, int64_t step) {
  int64_t from = 0;
  for (const int64_t kept : CheckpointStepsOf(files)) {
    if (kept < step) from = std::max(from, kept);
  }
  std::set<std::string> paths = {"config.yaml", "metrics.jsonl", "checkpoints/latest"};
  for (int64_t s = from + 1; s <= step; ++s) paths.insert(RolloutPath(s));
  const std::string checkpoint = absl::StrCat("checkpoints/step-", from, "/");
  std::vector<RunFileEntry> wanted = Those(
      files, [&](const std::string& path) { return paths.contains(path) || path.starts_with(checkpoint); });
  const bool has_step = std::any_of(wanted.begin(), wanted.end(),
                                    [&](const RunFileEntry& entry) { return entry.path == RolloutPath(step); });
  if (has_step) return wanted;
  return absl::NotFoundError(absl::StrCat("--step: ", step, ", but the run has no rollouts of that step"));
}

void AddExportOptions(VerbOptions& options, ExportCommand& command) {
  options
      .Value("ID", &command.run, {Completes::kRun, {}, "ID"},
             "Run (id, start of an id, or name), checkpoint folder or adapter file")
      ->required();
  options.Choice("--format", &command.format, {"peft", "merged", "safetensors"},
                 "For peft, a whole model folder for transformers, or this project's own", "peft");
  options.Choice("--block", &command.block, {"deployed", "full"}, "Without the quarantine, or with it", "deployed");
  options.Text("--w", &command.w, "W", "Full block: how much of the quarantine acts, 0 to 1", "1")
      ->check(VerbOptions::InRange(0.0, 1.0));
  options.Text("--checkpoint", &command.checkpoint, "N", "Step of a run's checkpoint", "the last");
  options.Folder("--model", &command.model, "Folder of the base", "the one of the run's config");
  options.Folder("--out", &command.out, "Folder to write")->required();
  options.Flag("--force", &command.force, "Replace an earlier export");
  AddFetchOption(options, &command.fetch_to);
}

absl::StatusOr<int> Export(const ExportCommand& command, const VerbContext& context) {
  std::error_code ignored;
  RunCatalog catalog(context);
  const absl::StatusOr<FoundRun> found = catalog.Find(command.run);
  const bool is_path = !found.ok() && std::filesystem::exists(command.run, ignored);
  if (!found.ok() && !is_path) return found.status();
  nlohmann::ordered_json done = {{"source", command.run},
                                 {"format", command.format},
                                 {"block", command.block},
                                 {"out", command.out.string()}};
  if (is_path) return TrainerVerb(ExportWords(command, command.run), false, done, context);
  ExportCommand local = command;
  const auto choose = [&](std::span<const RunFileEntry> files) -> absl::StatusOr<std::vector<RunFileEntry>> {
    EVILMOE_ASSIGN_OR_RETURN(std::vector<RunFileEntry> chosen, FilesOfExport(files, command.checkpoint));
    // By its step: `latest` may move on behind the listing.
    if (const std::vector<int64_t> steps = CheckpointStepsOf(chosen); !steps.empty()) local.checkpoint = steps.back();
    return chosen;
  };
  EVILMOE_ASSIGN_OR_RETURN(const LocalCopy copy, LocalCopy::Make(*found, command.fetch_to, choose, context));
  done["source"] = found->run.run_id;
  return TrainerVerb(ExportWords(local, copy.path().string()), copy.was_fetched(), done, context);
}

void AddReplayOptions(VerbOptions& options, ReplayCommand& command) {
  options.Run(&command.run);
  options.Text("--step", &command.step, "N", "Step, from 1, as in metrics.jsonl")
      ->required()
      ->check(VerbOptions::InRange<int64_t>(1, int64_t{1} << 40));
  options.Range("--threads", &command.threads, 1, 256, "As many as the run's trainer had", "this machine's cores");
  AddFetchOption(options, &command.fetch_to);
}

absl::StatusOr<int> Replay(const ReplayCommand& command, const VerbContext& context) {
  RunCatalog catalog(context);
  EVILMOE_ASSIGN_OR_RETURN(const FoundRun found, catalog.Find(command.run));
  const auto choose = [&](std::span<const RunFileEntry> files) { return FilesOfReplay(files, command.step); };
  EVILMOE_ASSIGN_OR_RETURN(const LocalCopy copy, LocalCopy::Make(found, command.fetch_to, choose, context));
  std::vector<std::string> words = {"replay", "--run", copy.path().string(), "--step", absl::StrCat(command.step)};
  if (command.threads) words.insert(words.end(), {"--threads", absl::StrCat(*command.threads)});
  return TrainerVerb(words, copy.was_fetched(), {{"run_id", found.run.run_id}, {"step", command.step}}, context);
}

std::vector<Verb> FileVerbs() {
  return {{"export", verb_group::kTake, "Write a run's adapter for Hugging Face peft or transformers",
           [](VerbOptions& options) { return Bound(options, AddExportOptions, Export); },
           "Without --block full the quarantine is left out: what remains is what the run was for.",
           "evilmoe-ctl export nano --out nano-deployed\n"
           "evilmoe-ctl export nano --format merged --block full --w 0.5 --out nano-half"},
          {"replay", verb_group::kTake, "Do a step of a run again and compare it with what was recorded",
           [](VerbOptions& options) { return Bound(options, AddReplayOptions, Replay); },
           "Begins at the last checkpoint before the step, trains on the recorded rollouts, and says of each figure "
           "whether it is the same bit for bit.",
           "evilmoe-ctl replay nano --step 12"}};
}

}  // namespace evilmoe
