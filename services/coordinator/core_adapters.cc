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

void CoordinatorCore::PublishAdapter(const JobFenceKey& fence, AdapterName adapter, const std::string& bytes,
                                     StatusReply reply) {
  absl::StatusOr<RunRecord> run;
  {
    MutexLock lock(mu_);
    run = state_.CheckFence(fence);
  }
  if (!run.ok()) return reply(run.status());
  // Hashing and writing take long: the lock is free meanwhile, and the fence is looked at again behind them.
  if (const std::string sha256 = Sha256Hex(bytes); sha256 != adapter.sha256) {
    return reply(absl::DataLossError(absl::StrCat("adapter of step ", adapter.step, ": its ", bytes.size(),
                                                  " bytes have sha256 ", sha256, ", expected ", adapter.sha256)));
  }
  adapter.size_bytes = static_cast<int64_t>(bytes.size());
  const std::filesystem::path path = AdapterPath(*run, adapter.sha256);
  if (!IsThere(path, adapter.size_bytes)) {
    if (const absl::Status written = WriteAdapter(path, bytes); !written.ok()) return reply(written);
  }
  Call<absl::Status>(
      [&](CoordinatorState& state, absl::Time now) { return state.PublishAdapter(fence, adapter, now); },
      std::move(reply));
}

absl::StatusOr<std::filesystem::path> CoordinatorCore::AdapterFile(const AdapterName& adapter) {
  MutexLock lock(mu_);
  EVILMOE_ASSIGN_OR_RETURN(const AdapterName known, state_.FindAdapter(adapter));
  EVILMOE_ASSIGN_OR_RETURN(const RunRecord run, state_.GetRun(adapter.run_id));
  std::filesystem::path path = AdapterPath(run, adapter.sha256);
  if (!IsThere(path, known.size_bytes)) {
    return absl::NotFoundError(absl::StrCat("adapter ", adapter.sha256, ": ", path.string(),
                                            " is gone or has another size, expected ", known.size_bytes, " bytes"));
  }
  return path;
}

void CoordinatorCore::AcknowledgeAdapter(const std::string& worker_id, const AdapterName& adapter, StatusReply reply) {
  Call<absl::Status>(
      [&](CoordinatorState& state, absl::Time now) { return state.AcknowledgeAdapter(worker_id, adapter, now); },
      std::move(reply));
}

}  // namespace evilmoe
