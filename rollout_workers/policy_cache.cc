#include "rollout_workers/policy_cache.h"

#include "absl/strings/str_cat.h"
#include "common/hash.h"
#include "common/status_macros.h"
#include "policy/torch_guard.h"

namespace evilmoe {
namespace {

constexpr size_t kMaxAdapters = 3;
constexpr size_t kMaxPacked = 4;  // of one adapter: an evaluation walks through its modes one after another

std::string ModeKey(const AdapterMode& mode) {
  return absl::StrCat(static_cast<int>(mode.part), "/", mode.projector_seed, "/", mode.strength);
}

// The prompt under scope `completion`: the quarantine is off, and so is the deployed expert where the mode drops it.
AdapterMode PromptMode(const AdapterMode& mode) {
  if (mode.prompt_uses_adapter) return mode;
  const bool without_deployed = mode.part == AdapterPart::kDeployedOff || mode.part == AdapterPart::kBase;
  return {.part = without_deployed ? AdapterPart::kBase : AdapterPart::kQuarantineOff};
}

}  // namespace

absl::Status PolicyCache::UseModel(const std::filesystem::path& folder, NumberFormat format) {
  if (HasModel(folder, format)) return absl::OkStatus();
  EVILMOE_ASSIGN_OR_RETURN(Tokenizer tokenizer, Tokenizer::Load(folder));
  const auto dtype = format == NumberFormat::kBFloat16 ? at::kBFloat16 : at::kFloat;
  EVILMOE_ASSIGN_OR_RETURN(Qwen3Weights weights, LoadQwen3(folder, {.dtype = dtype, .map_file = true}));
  EVILMOE_ASSIGN_OR_RETURN(packed_base_, PackedModel::Create(weights, format));
  adapters_.clear();
  order_.clear();
  folder_ = folder;
  format_ = format;
  tokenizer_ = std::make_unique<Tokenizer>(std::move(tokenizer));
  base_ = std::make_shared<Qwen3Weights>(std::move(weights));
  return absl::OkStatus();
}

absl::Status PolicyCache::Put(const std::string& sha256, std::string_view bytes) {
  if (Holds(sha256)) return absl::OkStatus();
  if (const std::string got = Sha256Hex(bytes); got != sha256) {
    return absl::DataLossError(absl::StrCat("adapter: bytes have sha256 ", got, ", expected ", sha256));
  }
  EVILMOE_ASSIGN_OR_RETURN(Adapter adapter, Read(bytes));
  adapters_.emplace(sha256, std::move(adapter));
  order_.push_back(sha256);
  while (order_.size() > kMaxAdapters) {
    adapters_.erase(order_.front());
    order_.pop_front();
  }
  return absl::OkStatus();
}

absl::StatusOr<PolicyCache::Adapter> PolicyCache::Read(std::string_view bytes) const {
  EVILMOE_ASSIGN_OR_RETURN(const std::string format, AdapterFormat(bytes));
  Adapter adapter;
  if (format == MixLora::kFormat) {
    EVILMOE_ASSIGN_OR_RETURN(MixLora experts, MixLora::Deserialize(base_->config, bytes));
    adapter.experts = std::make_shared<const ExpertModel>(ExpertModel{*base_, std::move(experts)});
  } else {
    EVILMOE_ASSIGN_OR_RETURN(adapter.lora, Lora2r::Deserialize(base_->config, bytes));
  }
  return adapter;
}

absl::StatusOr<PolicyModels> PolicyCache::WithExperts(const Adapter& adapter, const AdapterMode& mode) const {
  switch (mode.part) {
    case AdapterPart::kFull: return PolicyModels{.models = adapter.experts};
    case AdapterPart::kBase: return PolicyModels{.models = SamplerModels{packed_base_, packed_base_}};
    case AdapterPart::kQuarantineOff:
    case AdapterPart::kDeployedOff:
    case AdapterPart::kRandomHalf: break;
  }
  return absl::InvalidArgumentError(
      "adapter mode: a part of the adapter taken off, but per-token experts have no quarantine; expected the whole "
      "adapter or none");
}

absl::StatusOr<std::shared_ptr<const PackedModel>> PolicyCache::Pack(const Adapter& adapter,
                                                                     const AdapterMode& mode) const {
  if (format_ == NumberFormat::kBFloat16) {
    EVILMOE_ASSIGN_OR_RETURN(const Lora2r lora,
                             TorchGuard("an adapter's mode", [&] { return adapter.lora->InMode(mode); }));
    return PackedModel::WithAdapter(*packed_base_, lora);
  }
  EVILMOE_ASSIGN_OR_RETURN(const Qwen3Weights weights,
                           TorchGuard("merging an adapter", [&] { return Merge(*base_, *adapter.lora, mode); }));
  return PackedModel::WithLinears(*packed_base_, weights);
}

absl::StatusOr<std::shared_ptr<const PackedModel>> PolicyCache::Packed(Adapter& adapter, const AdapterMode& mode) {
  if (mode.part == AdapterPart::kBase) return packed_base_;
  const std::string key = ModeKey(mode);
  if (const auto found = adapter.packed.find(key); found != adapter.packed.end()) return found->second;
  if (adapter.packed.size() >= kMaxPacked) adapter.packed.clear();  // samplers hold on to what they still use
  EVILMOE_ASSIGN_OR_RETURN(std::shared_ptr<const PackedModel> packed, Pack(adapter, mode));
  return adapter.packed[key] = std::move(packed);
}

// One model for prompt and completion; full and ablated groups differ in w alone.
absl::StatusOr<PolicyModels> PolicyCache::Beside(Adapter& adapter, const AdapterMode& mode) {
  const bool ablated = mode.part == AdapterPart::kQuarantineOff;
  if (mode.part == AdapterPart::kRandomHalf && !mode.prompt_uses_adapter) {
    return absl::InvalidArgumentError(
        "adapter mode: a random half of the completion alone, expected of the prompt too");
  }
  AdapterMode packed = mode;
  if (ablated) packed.part = AdapterPart::kFull;
  EVILMOE_ASSIGN_OR_RETURN(const std::shared_ptr<const PackedModel> model, Packed(adapter, packed));
  return PolicyModels{.models = SamplerModels{model, model},
                      .prompt_w = !ablated && mode.prompt_uses_adapter ? 1.0 : 0.0,
                      .completion_w = ablated ? 0.0 : 1.0};
}

absl::StatusOr<PolicyModels> PolicyCache::Models(const std::string& sha256, const AdapterMode& mode) {
  const auto found = adapters_.find(sha256);
  if (found == adapters_.end()) return absl::NotFoundError(absl::StrCat("adapter ", sha256, ": not held"));
  Adapter& adapter = found->second;
  if (adapter.experts != nullptr) return WithExperts(adapter, mode);
  if (format_ == NumberFormat::kBFloat16) return Beside(adapter, mode);
  SamplerModels models;
  EVILMOE_ASSIGN_OR_RETURN(models.prompt, Packed(adapter, PromptMode(mode)));
  EVILMOE_ASSIGN_OR_RETURN(models.completion, Packed(adapter, mode));
  return PolicyModels{.models = std::move(models)};
}

}  // namespace evilmoe
