#include "services/ctl/run_catalog.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace evilmoe {

RunCatalog::RunCatalog(const VerbContext& context) : context_(context) {
  if (!context.global.endpoint.address.empty()) {
    with_directories_ = false;
    where_ = absl::StrCat("coordinator ", context.global.endpoint.address);
    link_ = context.connect(context.global.endpoint);
  } else if (const auto served = HomeDirectory{context.home}.ReadServed()) {
    where_ = absl::StrCat("the stack of ", context.home.string());
    link_ = context.connect({.address = served->endpoint, .patience = context.global.endpoint.patience});
  }
}

absl::StatusOr<std::vector<RunSummary>> RunCatalog::List(const std::string& sweep) {
  std::vector<RunSummary> runs;
  if (link_ != nullptr) {
    EVILMOE_ASSIGN_OR_RETURN(runs, link_->ListRuns(sweep));
  }
  if (!with_directories_) return runs;
  std::set<std::string> known;
  for (const RunSummary& run : runs) known.insert(run.run_id);
  for (RunSummary& run : ListRuns(context_.home)) {
    if (!known.contains(run.run_id) && (sweep.empty() || run.sweep == sweep)) runs.push_back(std::move(run));
  }
  std::sort(runs.begin(), runs.end(), [](const RunSummary& a, const RunSummary& b) { return a.run_id < b.run_id; });
  return runs;
}

absl::StatusOr<FoundRun> RunCatalog::Find(const std::string& word) {
  EVILMOE_ASSIGN_OR_RETURN(const std::vector<RunSummary> runs, List());
  EVILMOE_ASSIGN_OR_RETURN(RunSummary run, PickRun(runs, word));
  const bool is_private = with_directories_ && (link_ == nullptr || RunDirectory{run.directory}.IsPrivate());
  return FoundRun{std::move(run), is_private ? nullptr : link_.get()};
}

absl::Status CheckPrivate(const FoundRun& found) {
  if (found.directory().IsPrivate()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("run ", found.run.run_id, " is of the long-lived stack of ",
                                                    found.directory().path.parent_path().string(),
                                                    ", which is not up; `evilmoe-ctl up` first"));
}

bool HasLocalFiles(const FoundRun& found) {
  std::error_code ignored;
  const std::filesystem::path directory = found.run.directory;
  // An id is nowhere twice, so that a folder of this name is the run's.
  return directory.filename() == found.run.run_id && std::filesystem::is_directory(directory, ignored);
}

std::unique_ptr<RunFiles> FilesOf(const FoundRun& found) {
  if (found.link == nullptr || HasLocalFiles(found)) return std::make_unique<LocalRunFiles>(found.run.directory);
  return std::make_unique<LinkRunFiles>(*found.link, found.run.run_id);
}

}  // namespace evilmoe
