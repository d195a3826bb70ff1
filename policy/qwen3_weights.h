#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "policy/model_config.h"

namespace evilmoe {

// Shapes: L layers, V vocabulary, H hidden, F intermediate, Q = heads · head_dim, K = kv heads · head_dim, d head_dim.

// The seven linear maps of a layer, in the order that counts modules (module index = 7 · layer + map).
enum class Linear { kQuery, kKey, kValue, kOutput, kGate, kUp, kDown };
inline constexpr int kNumLinears = 7;
// "q_proj", "k_proj", ... as in Hugging Face checkpoints and in adapter.targets.
std::string LinearName(Linear linear);

struct ModuleId {
  int layer = 0;
  Linear linear = Linear::kQuery;
  int index() const { return kNumLinears * layer + static_cast<int>(linear); }
};

// (out, in) of one linear map.
std::pair<int64_t, int64_t> LinearShape(const Qwen3Config& config, Linear linear);

struct LayerWeights {
  at::Tensor input_norm;                        // (H)
  at::Tensor attention_norm;                    // (H), in front of the MLP
  at::Tensor query_norm;                        // (d)
  at::Tensor key_norm;                          // (d)
  std::array<at::Tensor, kNumLinears> linears;  // (out, in) each
};

// A dense Qwen3's parameters in one dtype on one device. Copies share storage.
struct Qwen3Weights {
  Qwen3Config config;
  at::Tensor embedding;  // (V, H)
  std::vector<LayerWeights> layers;
  at::Tensor final_norm;  // (H)
  at::Tensor head;        // (V, H); the embedding itself when tied

  // Every distinct tensor with its Hugging Face name, in a fixed order.
  std::vector<std::pair<std::string, at::Tensor>> Named() const;
};

// Reads config.json and *.safetensors of `folder` and converts to fp32 on the CPU. InvalidArgument: a config that
// is not a dense Qwen3, a tensor that is missing or has another shape (all are listed). NotFound.
absl::StatusOr<Qwen3Weights> LoadQwen3(const std::filesystem::path& folder);

// Writes model.safetensors (dtype "F32" or "BF16") and config.json.
absl::Status SaveQwen3(const Qwen3Weights& weights, const std::string& dtype, const std::filesystem::path& folder);

// Fresh weights: N(0, 1/fan_in), output projections · 1/sqrt(2L), embedding N(0, 0.05²), norms 1. Platform-independent.
Qwen3Weights InitQwen3(const Qwen3Config& config, uint64_t seed);

// (rows, columns) of N(0, deviation²) from one counter-based stream, row-major, fp32.
at::Tensor NormalTensor(uint64_t seed, int64_t rows, int64_t columns, double deviation);

}  // namespace evilmoe
