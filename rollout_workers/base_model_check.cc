#include "rollout_workers/base_model_check.h"

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace evilmoe {
namespace {

constexpr size_t kMaxRefused = 1024;

std::string Key(const std::string& run_id, const std::string& expected) { return absl::StrCat(run_id, "/", expected); }

}  // namespace

absl::StatusOr<std::string> BaseModelCheck::Of(const std::filesystem::path& folder) {
  {
    MutexLock lock(mu_);
    if (const auto found = by_folder_.find(folder.string()); found != by_folder_.end()) return found->second;
  }
  EVILMOE_ASSIGN_OR_RETURN(std::string fingerprint, fingerprint_(folder));
  MutexLock lock(mu_);
  return by_folder_[folder.string()] = std::move(fingerprint);
}

absl::Status BaseModelCheck::Check(const std::string& run_id, const std::filesystem::path& folder,
                                   const std::string& expected) {
  {
    MutexLock lock(mu_);
    const auto found = refused_.find(Key(run_id, expected));
    if (found != refused_.end()) return absl::FailedPreconditionError(found->second);
  }
  if (expected.empty()) return absl::OkStatus();
  const absl::StatusOr<std::string> got = Of(folder);
  if (absl::IsNotFound(got.status()) || absl::IsInvalidArgument(got.status())) {
    return Refuse(run_id, expected,
                  absl::StrCat("base model: ", std::string(got.status().message()), "; expected ",
                               "weights with fingerprint ", expected));
  }
  EVILMOE_RETURN_IF_ERROR(got.status());
  if (*got == expected) return absl::OkStatus();
  return Refuse(run_id, expected,
                absl::StrCat("base model: ", folder.string(), " has fingerprint ", *got, ", expected ", expected,
                             "; put the weights that the run's trainer has there"));
}

absl::Status BaseModelCheck::Refuse(const std::string& run_id, const std::string& expected, const std::string& why) {
  MutexLock lock(mu_);
  if (refused_.size() >= kMaxRefused) refused_.clear();
  refused_[Key(run_id, expected)] = why;
  return absl::FailedPreconditionError(why);
}

}  // namespace evilmoe
