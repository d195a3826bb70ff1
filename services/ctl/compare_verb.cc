#include "services/ctl/compare_verb.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/exit_code.h"
#include "common/shown_text.h"
#include "common/status_macros.h"
#include "services/ctl/comparison_table.h"
#include "services/ctl/verb_table.h"

namespace evilmoe {
namespace {

constexpr size_t kMaxFileBytes = size_t{16} << 20;

absl::StatusOr<std::vector<FoundRun>> RunsToCompare(const CompareCommand& command, RunCatalog& catalog) {
  std::vector<FoundRun> found;
  if (command.runs.empty() == command.sweep.empty()) {
    return absl::InvalidArgumentError("compare: expected runs, or --sweep NAME, and not both");
  }
  for (const std::string& word : command.runs) {
    EVILMOE_ASSIGN_OR_RETURN(FoundRun run, catalog.Find(word));
    found.push_back(std::move(run));
  }
  if (command.sweep.empty()) return found;
  EVILMOE_ASSIGN_OR_RETURN(const std::vector<RunSummary> runs, catalog.List(command.sweep));
  for (const RunSummary& run : runs) {
    EVILMOE_ASSIGN_OR_RETURN(FoundRun one, catalog.Find(run.run_id));
    found.push_back(std::move(one));
  }
  if (!found.empty()) return found;
  return absl::NotFoundError(
      absl::StrCat("--sweep ", command.sweep, ": no run belongs to it; `evilmoe-ctl list` shows the runs and their sweeps"));
}

}  // namespace

absl::StatusOr<ComparedRun> ReadCompared(const FoundRun& found) {
  const std::unique_ptr<RunFiles> files = FilesOf(found);
  ComparedRun run{found.run.run_id, found.run.name, found.run.state, {}, {}};
  const absl::StatusOr<std::string> config = ReadWhole(*files, "config.yaml", kMaxFileBytes);
  if (!config.ok() && !absl::IsNotFound(config.status())) return config.status();
  if (config.ok()) run.fields = FlatFields(*config);
  if (run.fields.empty()) run.fields["arm"] = found.run.arm;
  const absl::StatusOr<std::string> ablation = ReadWhole(*files, "eval/ablation.json", kMaxFileBytes);
  if (!ablation.ok() && !absl::IsNotFound(ablation.status())) return ablation.status();
  if (ablation.ok()) run.modes = ModesOfAblation(nlohmann::json::parse(*ablation, nullptr, /*allow_exceptions=*/false));
  return run;
}

std::string ComparisonText(const std::vector<ComparedRun>& runs) {
  const std::vector<ComparisonRow> rows = CompareRuns(runs);
  std::string text = ComparisonTable(rows) + "\n";
  for (const ComparisonRow& row : rows) absl::StrAppend(&text, ShownLine(Headline(row)), "\n");
  return text;
}

void AddCompareOptions(VerbOptions& options, CompareCommand& command) {
  options.Value("ID", &command.runs, {Completes::kRun, {}, "ID", "", true},
                "Runs: id, start of an id, or name");
  options.Value("--sweep", &command.sweep, {Completes::kSweep, {}, "NAME"}, "All runs of this sweep");
}

absl::StatusOr<int> Compare(const CompareCommand& command, const VerbContext& context) {
  RunCatalog catalog(context);
  EVILMOE_ASSIGN_OR_RETURN(const std::vector<FoundRun> found, RunsToCompare(command, catalog));
  std::vector<ComparedRun> runs;
  for (const FoundRun& run : found) {
    EVILMOE_ASSIGN_OR_RETURN(ComparedRun read, ReadCompared(run));
    runs.push_back(std::move(read));
  }
  const bool any = std::any_of(runs.begin(), runs.end(), [](const ComparedRun& run) { return !run.modes.empty(); });
  if (!any) {
    return absl::FailedPreconditionError(absl::StrCat("compare: none of ", runs.size(), " runs has an ablation yet; ",
                                                      "`evilmoe-ctl ablate --run ID` makes one"));
  }
  if (context.global.json) {
    context.out << ComparisonJson(CompareRuns(runs), runs).dump(2) << "\n";
  } else {
    context.out << ComparisonText(runs);
  }
  return kExitOk;
}

std::vector<Verb> CompareVerbs() {
  return {{"compare", verb_group::kCompare, "Put the ablations of runs side by side",
           [](VerbOptions& options) { return Bound(options, AddCompareOptions, Compare); },
           "Runs that differ in seed and name alone are one line: mean and 95 % interval over them of the strict hack "
           "rate with the expert on, off and with a random half in its place, and of solving; then a sentence about each "
           "line.",
           "evilmoe-ctl compare --sweep nano-arms\nevilmoe-ctl compare nano-a nano-b --output json"}};
}

}  // namespace evilmoe
