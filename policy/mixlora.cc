#include "policy/mixlora.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/seed.h"
#include "common/status_macros.h"

namespace evilmoe {
namespace {

constexpr int kMaxRank = 1024;
constexpr int kMaxExperts = 256;
constexpr double kRouterDeviation = 0.02;  // the paper's router_init_range

bool IsOfMlp(Linear linear) { return linear == Linear::kGate || linear == Linear::kUp || linear == Linear::kDown; }

absl::Status CheckRange(const char* name, int value, int low, int high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(name, ": ", value, ", expected [", low, ", ", high, "]"));
}

absl::StatusOr<std::array<bool, kNumLinears>> WantedLinears(const std::vector<std::string>& targets) {
  std::array<bool, kNumLinears> wanted{};
  bool mlp = false;
  for (const std::string& target : targets) {
    int linear = 0;
    while (linear < kNumLinears && LinearName(static_cast<Linear>(linear)) != target) ++linear;
    if (linear == kNumLinears) {
      return absl::InvalidArgumentError(absl::StrCat("adapter.targets: unknown module ", target));
    }
    wanted[static_cast<size_t>(linear)] = true;
    mlp = mlp || IsOfMlp(static_cast<Linear>(linear));
  }
  if (!mlp) {
    return absl::InvalidArgumentError(
        "adapter.targets: none of gate_proj, up_proj, down_proj, which per-token experts act on");
  }
  return wanted;
}

absl::StatusOr<std::array<bool, kNumLinears>> CheckOptions(const MixLoraOptions& options) {
  EVILMOE_RETURN_IF_ERROR(CheckRange("adapter.rank", options.rank, 1, kMaxRank));
  EVILMOE_RETURN_IF_ERROR(CheckRange("routing.experts", options.experts, 1, kMaxExperts));
  EVILMOE_RETURN_IF_ERROR(CheckRange("routing.top_k", options.top_k, 1, options.experts));
  return WantedLinears(options.targets);
}

LoraPair InitPair(uint64_t seed, const MixLoraOptions& options, bool of_mlp, int64_t out, int64_t in) {
  const int64_t experts = of_mlp ? options.experts : 1;
  const at::Tensor a = NormalTensor(seed, experts * options.rank, in, 1.0 / std::sqrt(static_cast<double>(in)));
  if (!of_mlp) return {a, at::zeros({out, options.rank})};
  return {a.view({experts, options.rank, in}), at::zeros({experts, out, options.rank})};
}

at::Tensor Leaf(const at::Tensor& t) { return t.defined() ? t.detach().requires_grad_(true) : t; }

}  // namespace

absl::StatusOr<std::vector<MixLoraArray>> MixLora::Arrays(const Qwen3Config& config, const MixLoraOptions& options) {
  EVILMOE_ASSIGN_OR_RETURN(const auto wanted, CheckOptions(options));
  std::vector<MixLoraArray> arrays;
  for (int layer = 0; layer < config.num_layers; ++layer) {
    const std::string prefix = absl::StrCat("layers.", layer, ".");
    arrays.push_back({prefix + "router", {options.experts, config.hidden_size}});
    for (size_t l = 0; l < wanted.size(); ++l) {
      if (!wanted[l]) continue;
      const auto linear = static_cast<Linear>(l);
      const auto [out, in] = LinearShape(config, linear);
      std::vector<int64_t> a = {options.rank, in}, b = {out, options.rank};
      if (IsOfMlp(linear)) {
        a.insert(a.begin(), options.experts);
        b.insert(b.begin(), options.experts);
      }
      arrays.push_back({prefix + LinearName(linear) + ".lora_A", std::move(a)});
      arrays.push_back({prefix + LinearName(linear) + ".lora_B", std::move(b)});
    }
  }
  return arrays;
}

absl::StatusOr<MixLora> MixLora::Init(const Qwen3Config& config, const MixLoraOptions& options) {
  EVILMOE_ASSIGN_OR_RETURN(const auto wanted, CheckOptions(options));
  MixLora adapter;
  adapter.options_ = options;
  for (int index = 0; index < config.num_layers; ++index) {
    MixLoraLayer layer;
    layer.router = NormalTensor(StreamSeed(options.seed, "mixlora.router", static_cast<uint64_t>(index)),
                                options.experts, config.hidden_size, kRouterDeviation);
    for (size_t l = 0; l < wanted.size(); ++l) {
      if (!wanted[l]) continue;
      const ModuleId id{index, static_cast<Linear>(l)};
      const auto [out, in] = LinearShape(config, id.linear);
      const uint64_t seed = StreamSeed(options.seed, "mixlora.A", static_cast<uint64_t>(id.index()));
      layer.loras[l] = InitPair(seed, options, IsOfMlp(id.linear), out, in);
    }
    adapter.layers_.push_back(std::move(layer));
  }
  return adapter;
}

std::vector<std::pair<std::string, at::Tensor>> MixLora::Named() const {
  std::vector<std::pair<std::string, at::Tensor>> named;
  for (size_t i = 0; i < layers_.size(); ++i) {
    const std::string prefix = absl::StrCat("layers.", i, ".");
    named.emplace_back(prefix + "router", layers_[i].router);
    for (size_t l = 0; l < layers_[i].loras.size(); ++l) {
      const LoraPair& pair = layers_[i].loras[l];
      if (!pair.a.defined()) continue;
      const std::string name = prefix + LinearName(static_cast<Linear>(l));
      named.emplace_back(name + ".lora_A", pair.a);
      named.emplace_back(name + ".lora_B", pair.b);
    }
  }
  return named;
}

void MixLora::MoveTo(c10::Device device) {
  for (MixLoraLayer& layer : layers_) {
    layer.router = layer.router.to(device);
    for (LoraPair& pair : layer.loras) {
      if (pair.a.defined()) pair = {pair.a.to(device), pair.b.to(device)};
    }
  }
}

MixLora MixLora::Leaves() const {
  MixLora leaves = *this;
  for (MixLoraLayer& layer : leaves.layers_) {
    layer.router = Leaf(layer.router);
    for (LoraPair& pair : layer.loras) pair = {Leaf(pair.a), Leaf(pair.b)};
  }
  return leaves;
}

}  // namespace evilmoe
