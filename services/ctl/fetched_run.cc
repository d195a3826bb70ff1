#include "services/ctl/fetched_run.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/shown_text.h"
#include "common/status_macros.h"

namespace evilmoe {
namespace {

constexpr double kMegabyte = 1e6;

// "fetched 12.5 of 80.1 MB": drawn again on a terminal, else once at the end.
class ProgressLine {
 public:
  explicit ProgressLine(const VerbContext& context) : context_(context) {}
  void Update(int64_t done, int64_t total) {
    const bool ended = done >= total;
    // A change of a percent, so that a terminal is not flooded.
    if (!ended && (!context_.terminal || done - last_ < total / 100)) return;
    if (ended && said_) return;
    last_ = done;
    said_ = ended;
    context_.errors << (context_.terminal ? "\r\033[K" : "")
                    << absl::StrFormat("fetched %.1f of %.1f MB", static_cast<double>(done) / kMegabyte,
                                       static_cast<double>(total) / kMegabyte)
                    << (ended ? "\n" : "") << std::flush;
  }

 private:
  const VerbContext& context_;
  int64_t last_ = 0;
  bool said_ = false;
};

}  // namespace

absl::StatusOr<LocalCopy> LocalCopy::Make(const FoundRun& found, const std::filesystem::path& fetch_to,
                                          const Choose& choose, const VerbContext& context) {
  if (found.link == nullptr || HasLocalFiles(found)) return LocalCopy(found.run.directory, false, std::nullopt);
  if (!IsConfined(found.run.run_id)) {  // it names folders and files here
    return absl::DataLossError(
        absl::StrCat("run ", ShownText(found.run.run_id, 80), ": a coordinator's id, expected one that names a folder"));
  }
  LinkRunFiles files(*found.link, found.run.run_id);
  EVILMOE_ASSIGN_OR_RETURN(const std::vector<RunFileEntry> all, files.List(""));
  EVILMOE_ASSIGN_OR_RETURN(const std::vector<RunFileEntry> wanted, choose(all));
  std::optional<TemporaryFolder> folder;
  if (fetch_to.empty()) {
    EVILMOE_ASSIGN_OR_RETURN(folder, TemporaryFolder::Make(std::filesystem::temp_directory_path()));
  }
  // Below, so that the folder has the run's name as its own has, and no run's files lie among another's.
  const std::filesystem::path path = (fetch_to.empty() ? folder->path() : fetch_to) / found.run.run_id;
  ProgressLine line(context);
  EVILMOE_RETURN_IF_ERROR(
      FetchRunFiles(files, wanted, path, [&](int64_t done, int64_t total) { line.Update(done, total); }));
  return LocalCopy(path, true, std::move(folder));
}

}  // namespace evilmoe
