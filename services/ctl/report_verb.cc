#include "services/ctl/report_verb.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/exit_code.h"
#include "common/file.h"
#include "common/shown_text.h"
#include "common/status_macros.h"
#include "services/ctl/fetched_run.h"
#include "services/ctl/file_verbs.h"
#include "services/ctl/run_catalog.h"
#include "services/ctl/verb_table.h"
#include "services/report/group_page.h"
#include "services/report/report.h"

namespace evilmoe {
namespace {

constexpr size_t kMaxRuns = 1000;  // on one page

int TellPage(const std::string& key, const std::string& value, const std::filesystem::path& page,
             const VerbContext& context) {
  if (context.global.json) {
    context.out << nlohmann::ordered_json({{key, value}, {"report", page.string()}}).dump() << "\n";
  } else {
    context.out << "report " << ShownLine(page.string()) << "\n";
  }
  return kExitOk;
}

absl::StatusOr<int> RunReport(const FoundRun& found, const ReportCommand& command, const VerbContext& context) {
  const auto choose = [](std::span<const RunFileEntry> files) -> absl::StatusOr<std::vector<RunFileEntry>> {
    return FilesOfReport(files);
  };
  EVILMOE_ASSIGN_OR_RETURN(const LocalCopy copy, LocalCopy::Make(found, command.fetch_to, choose, context));
  std::filesystem::path out = command.out;
  if (out.empty()) out = copy.was_fetched() ? found.run.run_id + ".html" : found.directory().Report().string();
  EVILMOE_RETURN_IF_ERROR(WriteReport(copy.path(), out));
  return TellPage("run_id", found.run.run_id, out, context);
}

// Without its rollouts, which a page of several runs does not show.
absl::StatusOr<RecordedRun> ReadMember(const FoundRun& found, const ReportCommand& command, const VerbContext& context) {
  const auto choose = [](std::span<const RunFileEntry> files) -> absl::StatusOr<std::vector<RunFileEntry>> {
    std::vector<RunFileEntry> wanted = FilesOfReport(files);
    std::erase_if(wanted, [](const RunFileEntry& entry) { return entry.path.starts_with("rollouts/"); });
    return wanted;
  };
  EVILMOE_ASSIGN_OR_RETURN(const LocalCopy copy, LocalCopy::Make(found, command.fetch_to, choose, context));
  EVILMOE_ASSIGN_OR_RETURN(RecordedRun run, ReadRun(copy.path(), Samples::kLeaveOut));
  // What the catalog says is newer than a copy, and is there where a run has no run.json.
  run.id = found.run.run_id;
  run.state = found.run.state;
  if (run.name.empty()) run.name = found.run.name;
  return run;
}

// The run of that name, or all runs of the sweep.
absl::StatusOr<std::vector<FoundRun>> FindAll(const std::string& word, RunCatalog& catalog, bool& is_sweep) {
  std::vector<FoundRun> found;
  const absl::StatusOr<FoundRun> named = catalog.Find(word);
  if (named.ok()) {
    found.push_back(*named);
    return found;
  }
  if (!absl::IsNotFound(named.status())) return named.status();
  EVILMOE_ASSIGN_OR_RETURN(const std::vector<RunSummary> members, catalog.List(word));
  if (members.empty()) return named.status();
  is_sweep = true;
  for (const RunSummary& run : members) {
    EVILMOE_ASSIGN_OR_RETURN(FoundRun one, catalog.Find(run.run_id));
    found.push_back(std::move(one));
  }
  return found;
}

}  // namespace

void AddReportOptions(VerbOptions& options, ReportCommand& command) {
  options
      .Value("ID", &command.runs, {Completes::kRun, {}, "ID", "", true},
             "Runs (id, start of an id, or name) or sweeps' names")
      ->required();
  options.File("--out", &command.out, "HTML file", "report.html in the run's directory; here, of several runs");
  options.Folder("--fetch-to", &command.fetch_to, "Keep what is fetched of a run on another host, in DIR/<id of the run>",
                 "a temporary one");
}

absl::StatusOr<int> Report(const ReportCommand& command, const VerbContext& context) {
  RunCatalog catalog(context);
  std::vector<FoundRun> found;
  bool is_sweep = false;
  for (const std::string& word : command.runs) {
    EVILMOE_ASSIGN_OR_RETURN(std::vector<FoundRun> some, FindAll(word, catalog, is_sweep));
    std::move(some.begin(), some.end(), std::back_inserter(found));
  }
  if (found.size() > kMaxRuns) {
    return absl::InvalidArgumentError(absl::StrCat("report: ", found.size(), " runs, expected at most ", kMaxRuns));
  }
  if (found.size() == 1 && !is_sweep) return RunReport(found[0], command, context);
  std::vector<RecordedRun> runs;
  for (const FoundRun& run : found) {
    EVILMOE_ASSIGN_OR_RETURN(RecordedRun read, ReadMember(run, command, context));
    runs.push_back(std::move(read));
  }
  const std::string kind = is_sweep && command.runs.size() == 1 ? "sweep" : "comparison";
  const std::string title = absl::StrJoin(command.runs, ", ");
  const std::string file = kind == "sweep" ? command.runs[0] + ".html" : "comparison.html";
  const std::filesystem::path out = command.out.empty() ? std::filesystem::path(file) : command.out;
  EVILMOE_RETURN_IF_ERROR(WriteFileAtomic(out, RenderGroupPage(kind, title, runs)));
  return TellPage(kind, title, out, context);
}

std::vector<Verb> ReportVerbs() {
  return {{"report", verb_group::kTake, "Write the page of a run, a sweep, or runs side by side",
           [](VerbOptions& options) { return Bound(options, AddReportOptions, Report); },
           "One HTML file that asks for nothing else. Of a run: what the ablation says in words, hack and solve rate, "
           "where the router put w, intervals, what the policy wrote, and the commands that make it again. Of several: "
           "means and intervals over the runs of each group.",
           "evilmoe-ctl report nano --out nano.html\nevilmoe-ctl report nano-arms --out arms.html\n"
           "evilmoe-ctl report nano-a nano-b"}};
}

}  // namespace evilmoe
