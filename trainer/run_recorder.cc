#include "trainer/run_recorder.h"

#include <zstd.h>

#include <sstream>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status_macros.h"

namespace evilmoe {
namespace {

namespace fs = std::filesystem;
constexpr int kCompressionLevel = 3;

// A policy's text may hold anything; a line must never throw over bytes that are not UTF-8.
std::string Line(const nlohmann::ordered_json& json) {
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

absl::Status MakeFolder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return absl::UnavailableError(absl::StrCat(folder.string(), ": ", error.message()));
  return absl::OkStatus();
}

}  // namespace

absl::Status RunRecorder::RewindTo(int64_t step) {
  RemoveUnfinishedWrites(directory_ / "rollouts");
  RemoveUnfinishedWrites(directory_ / "eval");
  RemoveUnfinishedWrites(directory_, "metrics.jsonl");  // other processes write other files here
  EVILMOE_RETURN_IF_ERROR(events_.RewindTo(step));
  const fs::path path = directory_ / "metrics.jsonl";
  const absl::StatusOr<std::string> old = ReadFile(path);
  if (absl::IsNotFound(old.status())) return absl::OkStatus();
  EVILMOE_RETURN_IF_ERROR(old.status());
  std::string kept;
  std::istringstream lines(*old);
  for (std::string line; std::getline(lines, line);) {
    const nlohmann::json json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    // A half-written last line of a killed trainer is no JSON and goes too.
    if (json.is_object() && json.value("step", int64_t{0}) <= step) absl::StrAppend(&kept, line, "\n");
  }
  return kept == *old ? absl::OkStatus() : WriteFileAtomic(path, kept);
}

absl::Status RunRecorder::Step(const nlohmann::ordered_json& metrics) {
  EVILMOE_RETURN_IF_ERROR(AppendLine(directory_ / "metrics.jsonl", Line(metrics)));
  return events_.Step(metrics);
}

absl::Status RunRecorder::Rollouts(int64_t step, const std::vector<nlohmann::ordered_json>& samples) {
  EVILMOE_RETURN_IF_ERROR(MakeFolder(directory_ / "rollouts"));
  std::string text;
  for (const nlohmann::ordered_json& sample : samples) absl::StrAppend(&text, Line(sample), "\n");
  std::string compressed(ZSTD_compressBound(text.size()), '\0');
  const size_t size = ZSTD_compress(compressed.data(), compressed.size(), text.data(), text.size(), kCompressionLevel);
  if (ZSTD_isError(size)) return absl::InternalError(absl::StrCat("rollouts: zstd: ", ZSTD_getErrorName(size)));
  compressed.resize(size);
  return WriteFileAtomic(RolloutsPath(step), compressed);
}

fs::path RunRecorder::RolloutsPath(const fs::path& run_directory, int64_t step) {
  return run_directory / "rollouts" / absl::StrCat("step-", step, ".jsonl.zst");
}

absl::Status RunRecorder::Evaluation(const std::string& name, const nlohmann::ordered_json& table) {
  EVILMOE_RETURN_IF_ERROR(MakeFolder(directory_ / "eval"));
  return WriteFileAtomic(directory_ / "eval" / (name + ".json"), table.dump(2) + "\n");
}

bool RunRecorder::HasEvaluation(const std::string& name) const {
  std::error_code ignored;
  return fs::exists(directory_ / "eval" / (name + ".json"), ignored);
}

}  // namespace evilmoe
