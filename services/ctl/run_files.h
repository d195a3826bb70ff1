#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace evilmoe {

struct RunFileEntry {
  std::string path;  // relative to the run's directory, "/" between folders
  int64_t size_bytes = 0;
  int64_t modified_unix_ns = 0;  // <= 0: not known
};

// Whether `path` is a plain relative path that stays where it starts: no "..", no ".", no empty part, no NUL.
bool IsConfined(std::string_view path);

// The files of one run, wherever they are. Paths are relative to the run's directory.
class RunFiles {
 public:
  using Sink = std::function<absl::Status(std::string_view)>;

  virtual ~RunFiles() = default;
  // Every file below `folder` ("" = all of the run's), by path. NotFound: there is no such folder.
  virtual absl::StatusOr<std::vector<RunFileEntry>> List(const std::string& folder) = 0;
  // Hands the bytes from `offset` on to `sink` as they come, whose error ends the call; returns the offset behind the
  // last one. NotFound: no such file. InvalidArgument: the path leaves the directory.
  virtual absl::StatusOr<int64_t> Read(const std::string& path, int64_t offset, const Sink& sink) = 0;
};

// Of a directory on this host.
class LocalRunFiles final : public RunFiles {
 public:
  explicit LocalRunFiles(std::filesystem::path directory) : directory_(std::move(directory)) {}
  absl::StatusOr<std::vector<RunFileEntry>> List(const std::string& folder) override;
  absl::StatusOr<int64_t> Read(const std::string& path, int64_t offset, const Sink& sink) override;

 private:
  const std::filesystem::path directory_;
};

// The whole file. ResourceExhausted: over `max_bytes`; else as RunFiles::Read.
absl::StatusOr<std::string> ReadWhole(RunFiles& files, const std::string& path, size_t max_bytes);

// Told after every piece of a fetch: bytes so far, of all.
using FetchProgress = std::function<void(int64_t num_bytes, int64_t total_bytes)>;

// Copies `wanted` (entries of a listing) into `folder`, which is made. A copy has the time of its file; a copy that is
// there with the size and the time of the listing is left as it is. Each file is written beside its place and renamed, so
// that what is there is whole. InvalidArgument: a path is not confined. DataLoss: a file ended early.
absl::Status FetchRunFiles(RunFiles& files, std::span<const RunFileEntry> wanted, const std::filesystem::path& folder,
                           const FetchProgress& progress);

}  // namespace evilmoe
