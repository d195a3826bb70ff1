#include "services/ctl/run_files.h"

#include <algorithm>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "common/file_time.h"
#include "common/shown_text.h"
#include "common/status_macros.h"

namespace evilmoe {
namespace {

namespace fs = std::filesystem;
constexpr size_t kPieceBytes = size_t{1} << 18;

absl::Status NotConfined(std::string_view path) {
  return absl::InvalidArgumentError(
      absl::StrCat("run file ", ShownText(path, 200), ": expected a path inside of the run's directory"));
}

absl::Status FetchOne(RunFiles& files, const RunFileEntry& entry, const fs::path& target,
                      const std::function<void(int64_t)>& progress) {
  const fs::path part = target.string() + ".part";
  std::ofstream out(part, std::ios::binary | std::ios::trunc);
  int64_t num_bytes = 0;
  EVILMOE_RETURN_IF_ERROR(files
                              .Read(entry.path, 0,
                                    [&](std::string_view piece) {
                                      out.write(piece.data(), static_cast<std::streamsize>(piece.size()));
                                      num_bytes += static_cast<int64_t>(piece.size());
                                      progress(num_bytes);
                                      return out ? absl::OkStatus() : absl::ResourceExhaustedError("no room");
                                    })
                              .status());
  out.close();
  if (!out) return absl::UnavailableError(absl::StrCat(part.string(), ": cannot be written"));
  if (num_bytes < entry.size_bytes) {
    return absl::DataLossError(
        absl::StrCat(entry.path, ": ended after ", num_bytes, " bytes, expected ", entry.size_bytes));
  }
  std::error_code error;
  // What was written behind the listing gives the file a later time there, so that the next fetch takes it anew.
  if (entry.modified_unix_ns > 0) fs::last_write_time(part, FromUnixNanos(entry.modified_unix_ns), error);
  if (!error) fs::rename(part, target, error);
  if (error) return absl::UnavailableError(absl::StrCat(target.string(), ": ", error.message()));
  return absl::OkStatus();
}

// Whether what is at `target` is what the listing tells of.
bool IsCopyOf(const RunFileEntry& entry, const fs::path& target) {
  std::error_code error;
  if (entry.modified_unix_ns <= 0 || !fs::is_regular_file(target, error)) return false;
  const uintmax_t size = fs::file_size(target, error);
  if (error || static_cast<int64_t>(size) != entry.size_bytes) return false;
  const fs::file_time_type modified = fs::last_write_time(target, error);
  return !error && ToUnixNanos(modified) == entry.modified_unix_ns;
}

}  // namespace

bool IsConfined(std::string_view path) {
  if (path.empty() || path.find('\0') != std::string_view::npos) return false;
  while (true) {
    const size_t slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    if (part.empty() || part == "." || part == "..") return false;
    if (slash == std::string_view::npos) return true;
    path.remove_prefix(slash + 1);
  }
}

absl::StatusOr<std::vector<RunFileEntry>> LocalRunFiles::List(const std::string& folder) {
  if (!folder.empty() && !IsConfined(folder)) return NotConfined(folder);
  const fs::path root = directory_ / folder;
  std::vector<RunFileEntry> entries;
  std::error_code error;
  fs::recursive_directory_iterator it(root, error);
  if (error) return absl::NotFoundError(absl::StrCat(root.string(), ": ", error.message()));
  for (const fs::recursive_directory_iterator end; it != end; it.increment(error)) {
    if (error) break;
    std::error_code gone;  // a file may go while we look
    if (!it->is_regular_file(gone)) continue;
    const uintmax_t size = it->file_size(gone);
    const fs::file_time_type modified = gone ? fs::file_time_type() : it->last_write_time(gone);
    if (gone) continue;
    entries.push_back({it->path().lexically_relative(directory_).generic_string(), static_cast<int64_t>(size),
                       ToUnixNanos(modified)});
  }
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.path < b.path; });
  return entries;
}

absl::StatusOr<int64_t> LocalRunFiles::Read(const std::string& path, int64_t offset, const Sink& sink) {
  if (!IsConfined(path)) return NotConfined(path);
  std::error_code ignored;
  if (!fs::is_regular_file(directory_ / path, ignored)) {
    return absl::NotFoundError(absl::StrCat((directory_ / path).string(), ": not found"));
  }
  std::ifstream file(directory_ / path, std::ios::binary);
  file.seekg(offset);
  std::string piece(kPieceBytes, '\0');
  while (file.read(piece.data(), static_cast<std::streamsize>(piece.size())) || file.gcount() > 0) {
    offset += file.gcount();
    EVILMOE_RETURN_IF_ERROR(sink(std::string_view(piece).substr(0, static_cast<size_t>(file.gcount()))));
  }
  return offset;
}

absl::StatusOr<std::string> ReadWhole(RunFiles& files, const std::string& path, size_t max_bytes) {
  std::string bytes;
  EVILMOE_RETURN_IF_ERROR(files
                              .Read(path, 0,
                                    [&](std::string_view piece) -> absl::Status {
                                      bytes += piece;
                                      if (bytes.size() <= max_bytes) return absl::OkStatus();
                                      return absl::ResourceExhaustedError(
                                          absl::StrCat(path, ": more than ", max_bytes, " bytes"));
                                    })
                              .status());
  return bytes;
}

absl::Status FetchRunFiles(RunFiles& files, std::span<const RunFileEntry> wanted, const fs::path& folder,
                           const FetchProgress& progress) {
  int64_t total = 0, done = 0;
  for (const RunFileEntry& entry : wanted) {
    if (!IsConfined(entry.path)) return NotConfined(entry.path);
    total += entry.size_bytes;
  }
  for (const RunFileEntry& entry : wanted) {
    const fs::path target = folder / entry.path;
    std::error_code error;
    fs::create_directories(target.parent_path(), error);
    if (error) return absl::UnavailableError(absl::StrCat(target.parent_path().string(), ": ", error.message()));
    if (!IsCopyOf(entry, target)) {
      EVILMOE_RETURN_IF_ERROR(FetchOne(files, entry, target, [&](int64_t now) { progress(done + now, total); }));
    }
    done += entry.size_bytes;
    progress(done, total);
  }
  return absl::OkStatus();
}

}  // namespace evilmoe
