#include "services/ctl/log_tail.h"

#include "absl/strings/str_cat.h"
#include "common/shown_text.h"
#include "common/status_macros.h"

namespace evilmoe {
namespace {

constexpr std::string_view kFolder = "logs/", kEnding = ".log";

}  // namespace

absl::StatusOr<LogTail> LogTail::Open(RunFiles& files, const std::string& component) {
  const absl::StatusOr<std::vector<RunFileEntry>> entries = files.List("logs");
  if (!entries.ok() && !absl::IsNotFound(entries.status())) return entries.status();
  std::string known;
  for (const RunFileEntry& entry : entries.ok() ? *entries : std::vector<RunFileEntry>()) {
    std::string_view name = entry.path;
    if (!name.starts_with(kFolder) || !name.ends_with(kEnding)) continue;
    name = name.substr(kFolder.size(), name.size() - kFolder.size() - kEnding.size());
    if (name == component) return LogTail(files, entry.path);
    absl::StrAppend(&known, known.empty() ? "" : ", ", std::string(name));
  }
  return absl::NotFoundError(absl::StrCat("--component ", component, ": no log of that name, expected one of ",
                                          known.empty() ? "none, there is no log yet" : known));
}

absl::Status LogTail::CopyTo(std::ostream& out) {
  // Counted piece by piece: where the call breaks off, the next one goes on.
  const absl::StatusOr<int64_t> read = files_->Read(path_, offset_, [&](std::string_view piece) {
    offset_ += static_cast<int64_t>(piece.size());
    rest_ += piece;
    const size_t end = rest_.rfind('\n');
    if (end == std::string::npos) return absl::OkStatus();
    out << ShownLines(std::string_view(rest_).substr(0, end + 1));
    rest_.erase(0, end + 1);
    return absl::OkStatus();
  });
  out.flush();
  return read.status();
}

}  // namespace evilmoe
