#include "rollout_workers/offline_verbs.h"

#include <ATen/Parallel.h>

#include <ostream>

#include "common/exit_code.h"
#include "common/file.h"
#include "common/status_macros.h"

namespace evilmoe {
namespace {

// A checkpoint's folder stands for the adapter in it.
std::filesystem::path AdapterFile(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::is_directory(path, ignored) ? path / "adapter.safetensors" : path;
}

}  // namespace

absl::StatusOr<LoadedPolicy> LoadPolicy(const PolicySource& source) {
  at::set_num_threads(source.threads);
  LoadedPolicy policy;
  const auto dtype = source.format == NumberFormat::kBFloat16 ? at::kBFloat16 : at::kFloat;
  EVILMOE_ASSIGN_OR_RETURN(policy.weights, LoadQwen3(source.model, {.dtype = dtype, .map_file = true}));
  if (source.adapter.empty()) return policy;
  const std::filesystem::path file = AdapterFile(source.adapter);
  EVILMOE_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(file));
  absl::StatusOr<Lora2r> adapter = Lora2r::Deserialize(policy.weights.config, bytes);
  if (!adapter.ok()) return Annotate(adapter.status(), file.string());
  policy.adapter = std::make_unique<Lora2r>(*std::move(adapter));
  return policy;
}

int FailVerb(const absl::Status& status, std::ostream& errors) {
  errors << "error: " << status.message() << "\n";
  return absl::IsNotFound(status) ? kExitNotFound : kExitUsage;
}

}  // namespace evilmoe
