#include "services/page/log_view.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/shown_text.h"
#include "common/status_macros.h"
#include "services/coordinator/run_files.h"

namespace evilmoe {
namespace {

constexpr const char* kFolder = "logs";

bool IsLog(const std::string& path) { return path.ends_with(".log") || path.ends_with(".stderr"); }

// Size of the file now.
absl::StatusOr<int64_t> SizeOf(const std::string& directory, const std::string& path) {
  int64_t size = 0;
  const absl::Status status = ReadFileBeneath(directory, path, 0, [&](std::string_view, int64_t bytes) {
    size = bytes;
    return false;
  });
  if (!status.ok() && !absl::IsCancelled(status)) return status;
  return size;
}

}  // namespace

absl::StatusOr<nlohmann::ordered_json> ListLogs(const std::string& run_directory) {
  nlohmann::ordered_json logs = nlohmann::ordered_json::array();
  const absl::StatusOr<std::vector<FileBeneath>> files = ListFilesBeneath(run_directory, kFolder, 10'000);
  if (!files.ok() && !absl::IsNotFound(files.status())) return files.status();
  for (const FileBeneath& file : files.ok() ? *files : std::vector<FileBeneath>()) {
    if (!IsLog(file.path)) continue;
    logs.push_back({{"name", file.path.substr(std::string(kFolder).size() + 1)}, {"size_bytes", file.size_bytes}});
  }
  return nlohmann::ordered_json{{"logs", std::move(logs)}};
}

absl::StatusOr<nlohmann::ordered_json> ReadLog(const std::string& run_directory, const std::string& name,
                                               int64_t offset) {
  const std::string path = absl::StrCat(kFolder, "/", name);
  if (!IsLog(path)) return absl::NotFoundError(absl::StrCat("log: got \"", name.substr(0, 100), "\", expected a *.log"));
  EVILMOE_ASSIGN_OR_RETURN(const int64_t size, SizeOf(run_directory, path));
  const bool is_tail = offset < 0;
  if (offset > size) offset = 0;
  const int64_t from = is_tail ? std::max<int64_t>(0, size - kMaxLogBytes) : offset;
  std::string text;
  const absl::Status status = ReadFileBeneath(run_directory, path, from, [&](std::string_view chunk, int64_t) {
    text.append(chunk.substr(0, static_cast<size_t>(kMaxLogBytes) - text.size()));
    return text.size() < static_cast<size_t>(kMaxLogBytes);
  });
  if (!status.ok() && !absl::IsCancelled(status)) return status;
  size_t begin = 0;
  if (is_tail && from > 0) begin = std::min(text.find('\n'), text.size() - 1) + 1;  // half a line
  const size_t last = text.rfind('\n');
  // A line that is longer than an answer is given in pieces.
  size_t end = last == std::string::npos ? 0 : last + 1;
  if (end <= begin) end = text.size() == static_cast<size_t>(kMaxLogBytes) ? text.size() : begin;
  return nlohmann::ordered_json{{"name", name},
                                {"from", from + static_cast<int64_t>(begin)},
                                {"to", from + static_cast<int64_t>(end)},
                                {"size_bytes", size},
                                {"text", ShownLines(text.substr(begin, end - begin))}};
}

}  // namespace evilmoe
