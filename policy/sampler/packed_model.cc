#include "policy/sampler/packed_model.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <utility>

#include "common/status_macros.h"
#include "policy/qwen3.h"
#include "policy/torch_guard.h"

namespace evilmoe {
namespace {

using Parts = std::vector<Linear>;

const Parts& PartsOf(int map) {
  static const std::vector<Parts> kParts = {{Linear::kQuery, Linear::kKey, Linear::kValue},
                                            {Linear::kOutput},
                                            {Linear::kGate, Linear::kUp},
                                            {Linear::kDown}};
  return kParts[static_cast<size_t>(map)];
}
constexpr int kNumMaps = 4;

PackedLinear& MapOf(PackedLayer& layer, int map) {
  PackedLinear* const maps[kNumMaps] = {&layer.qkv, &layer.out, &layer.gate_up, &layer.down};
  return *maps[map];
}

PackedMatrix PackTensors(NumberFormat format, const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> kept;  // what the rows point into
  std::vector<MatrixRows> blocks;
  for (const at::Tensor& tensor : tensors) {
    const bool bf16 = tensor.scalar_type() == at::kBFloat16;
    kept.push_back((bf16 ? tensor : tensor.to(at::kFloat)).to(at::kCPU).contiguous());
    blocks.push_back({kept.back().const_data_ptr(),
                      bf16 ? MatrixRows::Format::kBFloat16 : MatrixRows::Format::kFloat32, tensor.size(0)});
  }
  return PackedMatrix::Pack(format, tensors[0].size(1), blocks);
}

std::vector<float> Floats(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.to(at::kCPU, at::kFloat).contiguous();
  const float* data = flat.const_data_ptr<float>();
  return {data, data + flat.numel()};
}

std::vector<PackedLayer> PackLinears(NumberFormat format, Qwen3Weights& weights) {
  std::vector<PackedLayer> layers(weights.layers.size());
  for (size_t l = 0; l < layers.size(); ++l) {
    for (int map = 0; map < kNumMaps; ++map) {
      std::vector<at::Tensor> tensors;
      for (const Linear part : PartsOf(map)) {
        tensors.push_back(std::move(weights.layers[l].linears[static_cast<size_t>(part)]));
      }
      MapOf(layers[l], map).weight = PackTensors(format, tensors);
    }
  }
  return layers;
}

void PackNorms(const Qwen3Weights& weights, std::vector<PackedLayer>& layers) {
  for (size_t l = 0; l < layers.size(); ++l) {
    layers[l].input_norm = Floats(weights.layers[l].input_norm);
    layers[l].attention_norm = Floats(weights.layers[l].attention_norm);
    layers[l].query_norm = Floats(weights.layers[l].query_norm);
    layers[l].key_norm = Floats(weights.layers[l].key_norm);
  }
}

// Each position's cos and sin side by side, as ATen's tables have them, so that both paths turn by the same angles.
std::vector<float> RotaryTable(const Qwen3Config& config) {
  const RotaryTables tables = Rotary(config, at::arange(config.max_position_embeddings, at::kLong));
  const int64_t half = config.head_dim / 2;
  const at::Tensor both = at::cat({tables.cos.narrow(-1, 0, half), tables.sin.narrow(-1, 0, half)}, -1);
  return Floats(both);
}

// The deployed half of the bottleneck, then the quarantine's; with random inits [X_D; X0_D; X_Q; X0_Q].
at::Tensor Bottleneck(const at::Tensor& now, const at::Tensor& init, bool random_ab, double init_sign, int64_t dim) {
  const int64_t r = now.size(dim) / 2;
  if (!random_ab) return now;
  return at::cat({now.narrow(dim, 0, r), init.narrow(dim, 0, r) * init_sign, now.narrow(dim, r, r),
                  init.narrow(dim, r, r) * init_sign},
                 dim);
}

std::shared_ptr<const PackedAdapter> PackAdapter(const Lora2r& adapter, int layer, const Parts& parts) {
  auto packed = std::make_shared<PackedAdapter>();
  std::vector<at::Tensor> as;
  for (size_t part = 0; part < parts.size(); ++part) {
    const int position = adapter.position({layer, parts[part]});
    if (position < 0) continue;
    const AdapterModule& m = adapter.modules()[static_cast<size_t>(position)];
    const bool random_ab = adapter.options().random_ab;
    as.push_back(Bottleneck(m.a.detach(), m.a0, random_ab, 1, 0));
    const at::Tensor b = Bottleneck(m.b.detach(), m.b0, random_ab, -1, 1) * adapter.options().scale;
    packed->blocks.push_back({static_cast<int>(part), b.size(1), PackTensors(NumberFormat::kFloat32, {b})});
  }
  if (as.empty()) return nullptr;
  packed->a = PackTensors(NumberFormat::kFloat32, as);
  return packed;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const PackedModel>> PackedModel::Create(Qwen3Weights weights, NumberFormat format) {
  return TorchGuard("packing weights", [&]() -> std::shared_ptr<const PackedModel> {
    const c10::NoGradGuard no_grad;
    auto model = std::make_shared<PackedModel>();
    model->config_ = weights.config;
    model->format_ = format;
    if (!weights.config.tie_word_embeddings) model->head_ = PackTensors(format, {std::move(weights.head)});
    weights.head.reset();
    model->embedding_ = PackTensors(format, {std::move(weights.embedding)});
    if (weights.config.tie_word_embeddings) model->head_ = model->embedding_;
    model->layers_ = PackLinears(format, weights);
    PackNorms(weights, model->layers_);
    model->final_norm_ = Floats(weights.final_norm);
    model->rotary_ = std::make_shared<const std::vector<float>>(RotaryTable(weights.config));
    return model;
  });
}

absl::StatusOr<std::shared_ptr<const PackedModel>> PackedModel::WithLinears(const PackedModel& base,
                                                                            Qwen3Weights weights) {
  return TorchGuard("packing merged weights", [&]() -> std::shared_ptr<const PackedModel> {
    const c10::NoGradGuard no_grad;
    auto model = std::make_shared<PackedModel>(base);
    model->layers_ = PackLinears(base.format_, weights);
    PackNorms(weights, model->layers_);
    return model;
  });
}

absl::StatusOr<std::shared_ptr<const PackedModel>> PackedModel::WithAdapter(const PackedModel& base,
                                                                            const Lora2r& adapter) {
  return TorchGuard("packing an adapter", [&]() -> std::shared_ptr<const PackedModel> {
    const c10::NoGradGuard no_grad;
    auto model = std::make_shared<PackedModel>(base);
    model->has_adapter_ = true;
    for (size_t l = 0; l < model->layers_.size(); ++l) {
      for (int map = 0; map < kNumMaps; ++map) {
        MapOf(model->layers_[l], map).adapter = PackAdapter(adapter, static_cast<int>(l), PartsOf(map));
      }
    }
    return model;
  });
}

int64_t PackedModel::bytes() const {
  int64_t total = embedding_.bytes() + (config_.tie_word_embeddings ? 0 : head_.bytes());
  for (const PackedLayer& layer : layers_) {
    for (const PackedLinear* linear : {&layer.qkv, &layer.out, &layer.gate_up, &layer.down}) {
      total += linear->weight.bytes();
    }
  }
  return total;
}

}  // namespace evilmoe
