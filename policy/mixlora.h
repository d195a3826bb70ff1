#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "policy/adapter_metadata.h"
#include "policy/qwen3_weights.h"

namespace evilmoe {

// MixLoRA (Li et al. 2024, arXiv 2404.15159): in each layer's MLP a token goes to the top_k of N experts, each the base
// MLP with a LoRA of its own on gate, up and down; attention's linear maps have one plain LoRA each. E experts below.

struct MixLoraOptions {
  int rank = 16;       // [1, 1024]
  int experts = 8;     // E, [1, 256]
  int top_k = 2;       // [1, E]
  double scale = 1.0;  // of every B A product
  uint64_t seed = 0;
  std::vector<std::string> targets;  // names of LinearName(); of the MLP's three at least one
};

struct LoraPair {
  at::Tensor a;  // (r, in), of the MLP (E, r, in); undefined where no target
  at::Tensor b;  // (out, r), of the MLP (E, out, r)
};

struct MixLoraLayer {
  at::Tensor router;                        // (E, H)
  std::array<LoraPair, kNumLinears> loras;  // indexed by Linear
};

// One array of a file: its name ("layers.0.up_proj.lora_A") and shape.
struct MixLoraArray {
  std::string name;
  std::vector<int64_t> shape;
};

// Parameters, fp32. At the init every B is 0 and A ~ N(0, 1/in), so each expert is the base MLP; routers N(0, 0.02²).
class MixLora {
 public:
  static constexpr char kFormat[] = "evilmoe.mixlora";  // of its files

  // InvalidArgument: an option out of range, an unknown target, none of the MLP.
  static absl::StatusOr<MixLora> Init(const Qwen3Config& config, const MixLoraOptions& options);

  const MixLoraOptions& options() const { return options_; }
  const std::vector<MixLoraLayer>& layers() const { return layers_; }
  // What an adapter with these options has on this network, in the order of Named(). InvalidArgument as of Init.
  static absl::StatusOr<std::vector<MixLoraArray>> Arrays(const Qwen3Config& config, const MixLoraOptions& options);
  // Every tensor with the name that a file gives it, in a fixed order.
  std::vector<std::pair<std::string, at::Tensor>> Named() const;
  // Copies elsewhere of what is not on `device` already.
  void MoveTo(c10::Device device);
  // Leaves that require a gradient and share storage with these parameters: one set for each thread that
  // differentiates.
  MixLora Leaves() const;

  // safetensors bytes; the same adapter and provenance always give the same ones.
  absl::StatusOr<std::string> Serialize(const AdapterProvenance& provenance = {}) const;
  // DataLoss: not such bytes (another format, a newer version, a tensor missing, unknown or not F32). InvalidArgument:
  // made for another network.
  static absl::StatusOr<MixLora> Deserialize(const Qwen3Config& config, std::string_view bytes);

 private:
  MixLoraOptions options_;
  std::vector<MixLoraLayer> layers_;
};

}  // namespace evilmoe
