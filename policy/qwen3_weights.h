#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

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

// "model.layers.0.self_attn.q_proj", as in Hugging Face checkpoints.
std::string ModulePath(ModuleId id);

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

struct LoadOptions {
  c10::ScalarType dtype = c10::ScalarType::Float;  // or BFloat16
  c10::Device device = c10::kCPU;
  // Tensors that the file has in `dtype` are not copied to CPU memory but are the mapped file: read them only. The pages
  // of each go back to the kernel with its last reference.
  bool map_file = false;
};

// Reads config.json and *.safetensors of `folder`, tensor by tensor: a file in `dtype` keeps every bit, another is
// rounded once, and no tensor exists twice but the one that is read from the mapped file. InvalidArgument: a config
// that is not a dense Qwen3, a tensor that is missing or has another shape (all are listed), another dtype. NotFound.
absl::StatusOr<Qwen3Weights> LoadQwen3(const std::filesystem::path& folder, const LoadOptions& options = {});

// The same network in another floating dtype or on another device; tensors that are there already are shared.
Qwen3Weights ConvertQwen3(const Qwen3Weights& weights, c10::ScalarType dtype, c10::Device device = c10::kCPU);

// Writes model.safetensors (dtype "F32" or "BF16") and config.json.
absl::Status SaveQwen3(const Qwen3Weights& weights, const std::string& dtype, const std::filesystem::path& folder);

// Fresh weights: N(0, 1/fan_in), output projections · 1/sqrt(2L), embedding N(0, 0.05²), norms 1. Platform-independent.
Qwen3Weights InitQwen3(const Qwen3Config& config, uint64_t seed);

// (rows, columns) of N(0, deviation²) from one counter-based stream, row-major, fp32.
at::Tensor NormalTensor(uint64_t seed, int64_t rows, int64_t columns, double deviation);

}  // namespace evilmoe
