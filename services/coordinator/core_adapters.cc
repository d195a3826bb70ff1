#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/status_macros.h"
#include "services/coordinator/coordinator_core.h"

namespace evilmoe {
namespace {

std::filesystem::path AdapterPath(const RunRecord& run, const std::string& sha256) {
  return std::filesystem::path(run.directory) / "adapters" / (sha256 + ".safetensors");
}

bool IsThere(const std::filesystem::path& path, int64_t size_bytes) {
  std::error_code error;
  const uintmax_t size = std::filesystem::file_size(path, error);
  return !error && size == static_cast<uintmax_t>(size_bytes);
}

absl::Status WriteAdapter(const std::filesystem::path& path, const std::string& bytes) {
  std::error_code error;
  std::filesystem::create_directories(path.parent_path(), error);
  if (error) {
    return absl::UnavailableError(
        absl::StrCat(path.parent_path().string(), ": cannot make the folder: ", error.message()));
  }
  return WriteFileAtomic(path, bytes);
}

}  // namespace

absl::StatusOr<int> CoordinatorCore::PublishAdapter(const JobFenceKey& fence, AdapterName adapter,
                                                    const std::string& bytes) {
  RunRecord run;
  {
    MutexLock lock(mu_);
    EVILMOE_RETURN_IF_ERROR(CheckFenceLocked(fence).status());
    EVILMOE_ASSIGN_OR_RETURN(run, FindRunLocked(fence.run_id));
  }
  // Hashing and writing take long: the lock is free meanwhile, and the fence is looked at again behind them.
  if (const std::string sha256 = Sha256Hex(bytes); sha256 != adapter.sha256) {
    return absl::DataLossError(absl::StrCat("adapter of step ", adapter.step, ": its ", bytes.size(),
                                            " bytes have sha256 ", sha256, ", expected ", adapter.sha256));
  }
  adapter.size_bytes = static_cast<int64_t>(bytes.size());
  const std::filesystem::path path = AdapterPath(run, adapter.sha256);
  if (!IsThere(path, adapter.size_bytes)) EVILMOE_RETURN_IF_ERROR(WriteAdapter(path, bytes));
  MutexLock lock(mu_);
  EVILMOE_RETURN_IF_ERROR(CheckFenceLocked(fence).status());
  EVILMOE_RETURN_IF_ERROR(store_.PutAdapter(adapter));
  ChangedLocked();
  logger_.Info("adapter_published", {{"run", run.run_id}, {"step", adapter.step}, {"sha256", adapter.sha256}});
  return workers_.NumHolding(run.run_id, adapter.sha256);
}

absl::StatusOr<std::filesystem::path> CoordinatorCore::AdapterFile(const AdapterName& adapter) {
  MutexLock lock(mu_);
  EVILMOE_ASSIGN_OR_RETURN(const std::optional<AdapterName> known, store_.FindAdapter(adapter.run_id, adapter.sha256));
  if (!known) {
    return absl::NotFoundError(absl::StrCat("adapter ", adapter.sha256, ": run ", adapter.run_id, " published no such"));
  }
  EVILMOE_ASSIGN_OR_RETURN(const RunRecord run, FindRunLocked(adapter.run_id));
  std::filesystem::path path = AdapterPath(run, adapter.sha256);
  if (!IsThere(path, known->size_bytes)) {
    return absl::NotFoundError(absl::StrCat("adapter ", adapter.sha256, ": ", path.string(),
                                            " is gone or has another size, expected ", known->size_bytes, " bytes"));
  }
  return path;
}

absl::Status CoordinatorCore::AcknowledgeAdapter(const std::string& worker_id, const AdapterName& adapter) {
  MutexLock lock(mu_);
  EVILMOE_ASSIGN_OR_RETURN(const std::optional<AdapterName> known, store_.FindAdapter(adapter.run_id, adapter.sha256));
  if (!known) {
    metrics_.refused_foreign.Increment();
    return absl::FailedPreconditionError(absl::StrCat("adapter ", adapter.sha256, ": foreign, run ", adapter.run_id,
                                                      " published no adapter of that hash"));
  }
  EVILMOE_ASSIGN_OR_RETURN(const RunRecord run, FindRunLocked(adapter.run_id));
  EVILMOE_ASSIGN_OR_RETURN(const bool in_use, store_.HasBatchWithAdapter(adapter.run_id, adapter.sha256));
  if (!in_use && run.adapter.sha256 != adapter.sha256) {
    metrics_.refused_stale.Increment();
    return absl::FailedPreconditionError(absl::StrCat("adapter ", adapter.sha256, ": stale, no open batch of run ",
                                                      adapter.run_id, " uses it and the newest is ",
                                                      run.adapter.sha256));
  }
  workers_.Acknowledge(worker_id, adapter.run_id, adapter.sha256, clock_.Now());
  return absl::OkStatus();
}

}  // namespace evilmoe
