#include "trainer/checkpoint.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <map>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "nlohmann/json.hpp"
#include "policy/safetensors.h"
#include "policy/tensor_io.h"

namespace evilmoe {
namespace {

namespace fs = std::filesystem;

fs::path Folder(const fs::path& run) { return run / "checkpoints"; }
std::string StepName(int64_t step) { return absl::StrCat("step-", step); }
fs::path Temporary(const fs::path& run, int64_t step) {
  return Folder(run) / absl::StrCat(".", StepName(step), ".tmp");
}

void AddMoments(std::map<std::string, at::Tensor>& tensors, const std::string& name, const AdamW& optimizer) {
  const std::vector<at::Tensor> moments = optimizer.moments();
  for (size_t i = 0; i < moments.size(); ++i) tensors[absl::StrCat("optimizer.", name, ".", i)] = moments[i];
  tensors[absl::StrCat("optimizer.", name, ".steps")] = at::tensor({optimizer.steps_done()}, at::kLong);
}

absl::StatusOr<at::Tensor> Read(const Safetensors& file, const std::string& name, const at::Tensor& like) {
  const TensorView* view = file.Find(name);
  if (view == nullptr) return absl::DataLossError(absl::StrCat("checkpoint: ", name, " is missing"));
  if (view->shape != like.sizes().vec()) {
    return absl::DataLossError(absl::StrCat("checkpoint: ", name, " has another shape than the run"));
  }
  return ToTensor(*view);
}

absl::Status RestoreMoments(const Safetensors& file, const std::string& name, AdamW& optimizer) {
  std::vector<at::Tensor> moments = optimizer.moments();
  for (size_t i = 0; i < moments.size(); ++i) {
    EVILMOE_ASSIGN_OR_RETURN(moments[i], Read(file, absl::StrCat("optimizer.", name, ".", i), moments[i]));
  }
  EVILMOE_ASSIGN_OR_RETURN(const at::Tensor steps,
                           Read(file, absl::StrCat("optimizer.", name, ".steps"), at::zeros({1}, at::kLong)));
  optimizer.Restore(moments, steps.item<int64_t>());
  return absl::OkStatus();
}

void RemoveUnfinished(const fs::path& run) {
  std::error_code ignored;
  std::vector<fs::path> unfinished;
  for (const fs::directory_entry& entry : fs::directory_iterator(Folder(run), ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(".step-") && name.ends_with(".tmp")) unfinished.push_back(entry.path());
  }
  for (const fs::path& path : unfinished) fs::remove_all(path, ignored);
  RemoveUnfinishedWrites(Folder(run));
}

// As a checkpoint it is gone at once; its files may take a kill longer.
void RemoveCheckpoint(const fs::path& run, int64_t step) {
  std::error_code ignored;
  const fs::path temporary = Temporary(run, step);
  fs::remove_all(temporary, ignored);
  fs::rename(Folder(run) / StepName(step), temporary, ignored);
  fs::remove_all(temporary, ignored);
}

void RemoveOld(const fs::path& run, int keep) {
  const std::vector<int64_t> steps = CheckpointSteps(run);
  for (size_t i = 0; i + static_cast<size_t>(keep) < steps.size(); ++i) RemoveCheckpoint(run, steps[i]);
}

absl::Status WriteFiles(const fs::path& folder, const std::string& config_sha256, const TrainerState& state) {
  EVILMOE_ASSIGN_OR_RETURN(const std::string adapter,
                           state.adapter->Serialize({state.run_id, state.step, config_sha256}));
  EVILMOE_RETURN_IF_ERROR(WriteFileAtomic(folder / "adapter.safetensors", adapter));
  std::map<std::string, at::Tensor> tensors;
  for (const auto& [name, tensor] : state.tensors) tensors[name] = tensor;
  for (const auto& [name, optimizer] : state.optimizers) AddMoments(tensors, name, *optimizer);
  EVILMOE_ASSIGN_OR_RETURN(const std::string trainer, SerializeTensors(tensors, {{"format", "evilmoe.trainer/1"}}));
  EVILMOE_RETURN_IF_ERROR(WriteFileAtomic(folder / "trainer.safetensors", trainer));
  nlohmann::ordered_json json = {{"run_id", state.run_id}, {"step", state.step}, {"config_sha256", config_sha256}};
  if (state.bad_steps > 0) json["bad_steps"] = state.bad_steps;
  return WriteFileAtomic(folder / "state.json", json.dump(2) + "\n");
}

}  // namespace

std::vector<int64_t> CheckpointSteps(const fs::path& run) {
  std::vector<int64_t> steps;
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(Folder(run), ignored)) {
    const std::string name = entry.path().filename().string();
    int64_t step = 0;
    if (name.starts_with("step-") && absl::SimpleAtoi(name.substr(5), &step)) steps.push_back(step);
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

absl::Status SaveCheckpoint(const fs::path& run, const std::string& config_sha256, const TrainerState& state,
                            int keep) {
  std::error_code error;
  const fs::path final_path = Folder(run) / StepName(state.step);
  const fs::path temporary = Temporary(run, state.step);
  RemoveUnfinished(run);
  fs::create_directories(temporary, error);
  if (error) return absl::UnavailableError(absl::StrCat(temporary.string(), ": ", error.message()));
  EVILMOE_RETURN_IF_ERROR(WriteFiles(temporary, config_sha256, state));
  fs::remove_all(final_path, error);  // a step that is trained again after a resume writes its checkpoint again
  fs::rename(temporary, final_path, error);
  if (error) return absl::UnavailableError(absl::StrCat(final_path.string(), ": ", error.message()));
  EVILMOE_RETURN_IF_ERROR(SyncPath(Folder(run)));
  EVILMOE_RETURN_IF_ERROR(WriteFileAtomic(Folder(run) / "latest", StepName(state.step) + "\n"));
  RemoveOld(run, keep);
  return absl::OkStatus();
}

void RewindCheckpoints(const fs::path& run, int64_t step, int keep) {
  RemoveUnfinished(run);
  for (const int64_t saved : CheckpointSteps(run)) {
    if (saved > step) RemoveCheckpoint(run, saved);
  }
  RemoveOld(run, keep);
}

absl::StatusOr<std::optional<int64_t>> LatestCheckpoint(const fs::path& run) {
  const absl::StatusOr<std::string> latest = ReadFile(Folder(run) / "latest", 256);
  if (absl::IsNotFound(latest.status())) return std::nullopt;
  EVILMOE_RETURN_IF_ERROR(latest.status());
  int64_t step = 0;
  if (!latest->starts_with("step-") || !absl::SimpleAtoi(latest->substr(5), &step)) {
    return absl::DataLossError(absl::StrCat((Folder(run) / "latest").string(), ": '", *latest, "', expected step-N"));
  }
  return step;
}

absl::Status LoadCheckpoint(const fs::path& run, int64_t step, const std::string& config_sha256, TrainerState& state) {
  const fs::path folder = Folder(run) / StepName(step);
  EVILMOE_ASSIGN_OR_RETURN(const std::string text, ReadFile(folder / "state.json", 1 << 20));
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("config_sha256")) {
    return absl::DataLossError(absl::StrCat(folder.string(), "/state.json: not a checkpoint's state"));
  }
  if (json["config_sha256"] != config_sha256) {
    return absl::FailedPreconditionError(absl::StrCat(folder.string(), ": belongs to config ",
                                                      json["config_sha256"].dump(), ", this run has ", config_sha256));
  }
  EVILMOE_ASSIGN_OR_RETURN(const Safetensors adapter_file, Safetensors::Open(folder / "adapter.safetensors"));
  EVILMOE_ASSIGN_OR_RETURN(const Safetensors file, Safetensors::Open(folder / "trainer.safetensors"));
  const c10::NoGradGuard no_grad;
  for (const TrainedAdapter::Parameter& parameter : state.adapter->parameters()) {
    EVILMOE_ASSIGN_OR_RETURN(const at::Tensor value, Read(adapter_file, parameter.name, parameter.value));
    parameter.value.copy_(value);
  }
  for (const auto& [name, tensor] : state.tensors) {
    EVILMOE_ASSIGN_OR_RETURN(const at::Tensor value, Read(file, name, tensor));
    tensor.detach().copy_(value);
  }
  for (const auto& [name, optimizer] : state.optimizers) {
    EVILMOE_RETURN_IF_ERROR(RestoreMoments(file, name, *optimizer));
  }
  const auto bad_steps = json.find("bad_steps");
  state.bad_steps = bad_steps != json.end() && bad_steps->is_number_integer() ? bad_steps->get<int>() : 0;
  state.step = step;
  return absl::OkStatus();
}

}  // namespace evilmoe
