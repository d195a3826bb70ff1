#include "services/ctl/record_verbs.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/exit_code.h"
#include "common/status_macros.h"
#include "common/zstd_text.h"
#include "services/ctl/metrics_view.h"
#include "services/ctl/run_catalog.h"
#include "services/ctl/verb_table.h"
#include "services/runs/rollout_path.h"

namespace evilmoe {
namespace {

constexpr size_t kMaxMetricsBytes = size_t{256} << 20;
constexpr size_t kMaxStepBytes = size_t{256} << 20;  // of one step's rollouts, unpacked

// The step that was asked for, or the last one.
absl::StatusOr<int64_t> StepToShow(const FoundRun& found, RunFiles& files, std::optional<int64_t> asked) {
  const absl::StatusOr<std::vector<RunFileEntry>> entries = files.List("rollouts");
  if (!entries.ok() && !absl::IsNotFound(entries.status())) return entries.status();
  const std::vector<int64_t> steps = entries.ok() ? RolloutSteps(*entries) : std::vector<int64_t>();
  if (steps.empty()) {
    return absl::NotFoundError(absl::StrCat("run ", found.run.run_id, ": no rollouts yet, expected at least one step"));
  }
  if (!asked) return steps.back();
  if (std::find(steps.begin(), steps.end(), *asked) != steps.end()) return *asked;
  return absl::NotFoundError(
      absl::StrCat("--step: ", *asked, ", but the run has rollouts of steps ", steps.front(), " to ", steps.back()));
}

}  // namespace

std::vector<int64_t> RolloutSteps(const std::vector<RunFileEntry>& files) {
  std::vector<int64_t> steps;
  for (const RunFileEntry& entry : files) {
    if (const std::optional<int64_t> step = RolloutStepOf(entry.path)) steps.push_back(*step);
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

void AddMetricsOptions(VerbOptions& options, MetricsCommand& command) {
  options.Run(&command.run);
  options.Text("--step", &command.step, "N", "Every field of this step", "some fields of all steps");
  options.Flag("--csv", &command.csv, "Every field of every step as comma-separated values");
}

absl::StatusOr<int> Metrics(const MetricsCommand& command, const VerbContext& context) {
  RunCatalog catalog(context);
  EVILMOE_ASSIGN_OR_RETURN(const FoundRun found, catalog.Find(command.run));
  absl::StatusOr<std::string> text = ReadWhole(*FilesOf(found), "metrics.jsonl", kMaxMetricsBytes);
  if (absl::IsNotFound(text.status())) text = "";
  EVILMOE_RETURN_IF_ERROR(text.status());
  MetricRows rows = ParseMetrics(*text);
  if (command.step) {
    std::erase_if(rows, [&](const auto& row) { return row["step"] != *command.step; });
    if (rows.empty()) {
      return absl::NotFoundError(absl::StrCat("--step: ", *command.step, ", but metrics.jsonl has no such step"));
    }
  }
  if (context.global.json) {
    for (const auto& row : rows) {
      context.out << row.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << "\n";
    }
  } else {
    context.out << (command.csv ? MetricsCsv(rows) : command.step ? MetricsOfStep(rows[0]) : MetricsTable(rows));
  }
  return kExitOk;
}

void AddRolloutsOptions(VerbOptions& options, RolloutsCommand& command) {
  options.Run(&command.run);
  options.Text("--step", &command.step, "N", "Step", "the last that has rollouts");
  options.Choice("--label", &command.choice.label, RolloutLabels(), "Samples of this label alone");
  options.Range("--limit", &command.limit, 1, 1'000'000, "So many samples at most", "10");
  options.Choice("--sort", &command.choice.sort, {"order", "w", "reward"},
                 "As they were drawn, or by a value, the highest first", "order");
}

absl::StatusOr<int> Rollouts(const RolloutsCommand& command, const VerbContext& context) {
  RunCatalog catalog(context);
  EVILMOE_ASSIGN_OR_RETURN(const FoundRun found, catalog.Find(command.run));
  const std::unique_ptr<RunFiles> files = FilesOf(found);
  EVILMOE_ASSIGN_OR_RETURN(const int64_t step, StepToShow(found, *files, command.step));
  const std::string path = RolloutPath(step);
  EVILMOE_ASSIGN_OR_RETURN(const std::string packed, ReadWhole(*files, path, kMaxStepBytes));
  absl::StatusOr<std::string> lines = UnpackZstd(packed, kMaxStepBytes);
  if (!lines.ok()) return Annotate(lines.status(), path);
  RolloutChoice choice = command.choice;
  choice.limit = static_cast<size_t>(command.limit);
  for (const nlohmann::ordered_json& sample : ChooseRollouts(*lines, choice)) {
    if (context.global.json) {
      context.out << sample.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << "\n";
    } else {
      context.out << RolloutText(sample) << "\n";
    }
  }
  return kExitOk;
}

std::vector<Verb> RecordVerbs() {
  return {{"metrics", verb_group::kLook, "Show the numbers of a run's steps",
           [](VerbOptions& options) { return Bound(options, AddMetricsOptions, Metrics); },
           "Out of metrics.jsonl, whose fields docs/metrics.md explains; with --output json the lines as they are.",
           "evilmoe-ctl metrics nano --csv > nano.csv\nevilmoe-ctl metrics nano --step 40"},
          {"rollouts", verb_group::kLook, "Read what the policy wrote",
           [](VerbOptions& options) { return Bound(options, AddRolloutsOptions, Rollouts); },
           "Samples of one step with their label, w, reward and facts; with --output json the whole records, token ids "
           "included. Control characters in a policy's text are written out.",
           "evilmoe-ctl rollouts nano --label reward_hack --sort w --limit 3"}};
}

}  // namespace evilmoe
