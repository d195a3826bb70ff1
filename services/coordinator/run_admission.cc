#include "services/coordinator/run_admission.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "nlohmann/json.hpp"
#include "services/coordinator/run_limits.h"
#include "trainer/run_config.h"

namespace evilmoe {
namespace {

constexpr size_t kMaxIdBytes = 64;
constexpr size_t kMaxConfigBytes = size_t{1} << 20;
constexpr const char* kConfigName = "config.yaml";

// Letters, digits, '-', '_' and '.', not first: so that it is a folder's name and nothing else.
bool IsFolderName(const std::string& id) {
  const auto plain = [](char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.'; };
  return !id.empty() && id.size() <= kMaxIdBytes && id[0] != '.' && std::ranges::all_of(id, plain);
}

// Whether `path` is `root` or lies below it; both normal and absolute.
bool IsBelow(const std::filesystem::path& path, const std::filesystem::path& root) {
  const auto [in_root, in_path] = std::ranges::mismatch(root, path);
  return in_root == root.end() || (in_root->empty() && std::next(in_root) == root.end());
}

// With the links that are there followed; the rest of the path need not be there.
std::filesystem::path Followed(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::path followed = std::filesystem::weakly_canonical(path, error);
  return error ? path.lexically_normal() : followed;
}

std::string Names(const std::vector<std::filesystem::path>& paths) {
  return absl::StrJoin(paths, ", ", [](std::string* out, const std::filesystem::path& path) { *out += path.string(); });
}

}  // namespace

absl::Status RunAdmission::CheckPath(const std::string& field, const std::filesystem::path& path) const {
  if (path.empty() || options_.roots.empty()) return absl::OkStatus();
  const std::filesystem::path followed = Followed(path);
  for (const std::filesystem::path& root : options_.roots) {
    if (IsBelow(followed, Followed(root))) return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(field, ": got ", path.string(),
                                                 ", expected a path below one of this coordinator's roots: ",
                                                 Names(options_.roots)));
}

absl::Status RunAdmission::CheckConfig(const RunRecord& run) const {
  EVILMOE_ASSIGN_OR_RETURN(const RunConfig config, ParseRunConfig(run.config_yaml, "run.yaml", "/"));
  const std::pair<const char*, const std::filesystem::path*> paths[] = {
      {"model.path", &config.model.path},
      {"data.train", &config.data.train},
      {"pairs", &config.pairs},
      {"evaluation.problems", &config.evaluation.problems},
      {"monitor.probe", &config.monitor.probe},
      {"monitor.judge.prompt", &config.monitor.judge.prompt},
      {"monitor.judge.cache", &config.monitor.judge.cache}};
  std::vector<std::string> problems;
  const auto add = [&](const absl::Status& status) {
    if (!status.ok()) problems.emplace_back(status.message());
  };
  for (const auto& [field, path] : paths) add(CheckPath(field, *path));
  // The trainer's environment is not the submitter's to send anywhere, nor is its network.
  const JudgeConfig& judge = config.monitor.judge;
  add(CheckListed("monitor.judge.api_key_env", judge.api_key_env, "judge_key_variables", options_.judge_key_variables));
  add(CheckListed("monitor.judge.endpoint", judge.endpoint, "judge_endpoints", options_.judge_endpoints));
  add(CheckRunLimits(config));
  if (problems.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrJoin(problems, "\n"));
}

absl::Status RunAdmission::CheckListed(const char* field, const std::string& value, const char* key,
                                       const std::vector<std::string>& allowed) const {
  if (value.empty() || options_.roots.empty() || std::ranges::find(allowed, value) != allowed.end()) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(field, ": got ", value.substr(0, 200),
                                                 ", expected one of this coordinator's ", key, ": ",
                                                 absl::StrJoin(allowed, ", ")));
}

absl::Status RunAdmission::CheckDirectory(const RunRecord& run) const {
  const std::filesystem::path directory = run.directory;
  // A folder of `runs` itself: below another run's it would be part of that run.
  const std::filesystem::path followed = Followed(directory);
  const bool inside = followed.parent_path() == Followed(options_.runs) && IsFolderName(followed.filename().string());
  if (!options_.roots.empty() && !inside) {
    return absl::InvalidArgumentError(absl::StrCat("directory: got ", run.directory,
                                                   ", expected none, or a folder of this coordinator's ",
                                                   options_.runs.string()));
  }
  std::error_code error;
  const absl::StatusOr<std::string> config = ReadFile(directory / kConfigName, kMaxConfigBytes);
  if (config.ok() && *config == run.config_yaml) return absl::OkStatus();
  if (std::filesystem::exists(std::filesystem::symlink_status(directory / kConfigName, error))) {
    return absl::AlreadyExistsError(absl::StrCat("directory: got ", run.directory, ", which holds another run's ",
                                                 kConfigName, ", expected this run's, or none; take a new run id"));
  }
  // Whoever may submit runs may read their directories: no folder becomes one that was something else.
  if (std::filesystem::exists(directory, error) && !std::filesystem::is_empty(directory, error)) {
    return absl::InvalidArgumentError(
        absl::StrCat("directory: got ", run.directory, ", which is not empty and no run's, expected a new folder"));
  }
  return absl::OkStatus();
}

absl::Status RunAdmission::Admit(RunRecord& run) const {
  if (!IsFolderName(run.run_id)) {
    return absl::InvalidArgumentError(absl::StrCat("run_id: got \"", run.run_id.substr(0, 80),
                                                   "\", expected at most 64 letters, digits, '-', '_' and '.'"));
  }
  EVILMOE_RETURN_IF_ERROR(CheckConfig(run));
  if (run.directory.empty()) run.directory = (options_.runs / run.run_id).string();
  EVILMOE_RETURN_IF_ERROR(CheckDirectory(run));
  std::error_code error;
  for (const char* folder : {"logs", "checkpoints", "rollouts", "eval"}) {
    if (!error) std::filesystem::create_directories(std::filesystem::path(run.directory) / folder, error);
  }
  if (error == std::errc::filename_too_long) return absl::InvalidArgumentError("directory: too long a name");
  if (error) {
    return absl::UnavailableError(absl::StrCat(run.directory, ": cannot make the run's folder: ", error.message()));
  }
  const std::filesystem::path config = std::filesystem::path(run.directory) / kConfigName;
  return std::filesystem::exists(config, error) ? absl::OkStatus() : WriteFileAtomic(config, run.config_yaml);
}

absl::Status RunAdmission::Admit(const JobRecord& job) const {
  const nlohmann::json params = nlohmann::json::parse(job.params_json, nullptr, /*allow_exceptions=*/false);
  if (!params.is_object() || !params.contains("problems") || !params["problems"].is_string()) return absl::OkStatus();
  return CheckPath("problems", params["problems"].get<std::string>());
}

}  // namespace evilmoe
