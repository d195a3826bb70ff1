#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "policy/lora2r.h"
#include "policy/model_config.h"
#include "policy/qwen3_weights.h"
#include "policy/sampler/kernels.h"
#include "policy/sampler/packed_matrix.h"

namespace evilmoe {

// A two-expert adapter beside one packed linear map, fp32: y += B · (coefficients ∘ A x). Of each adapted block the
// first half of the bottleneck is the deployed expert's (coefficient 1), the second half the quarantine's (w); with
// random inits each half holds the trained factors and, subtracted, the frozen ones.
struct PackedAdapter {
  PackedMatrix a;  // one block for each adapted block of the linear map
  struct Block {
    int linear_block = 0;  // block of the linear map that it adds to
    int64_t width = 0;     // of the bottleneck; even
    PackedMatrix b;
  };
  std::vector<Block> blocks;
};

struct PackedLinear {
  PackedMatrix weight;
  std::shared_ptr<const PackedAdapter> adapter;  // null: none
};

// Where fused maps keep their parts.
inline constexpr int kQueryBlock = 0, kKeyBlock = 1, kValueBlock = 2;
inline constexpr int kGateBlock = 0, kUpBlock = 1;

struct PackedLayer {
  std::vector<float> input_norm, attention_norm, query_norm, key_norm;
  PackedLinear qkv, out, gate_up, down;
};

// A Qwen3's weights as the fast sampler reads them. Immutable; what two models have in common they share.
class PackedModel {
 public:
  // Lets go of each tensor of `weights` once it is packed: who hands over the only reference (std::move) never holds
  // both copies. ResourceExhausted: out of memory.
  static absl::StatusOr<std::shared_ptr<const PackedModel>> Create(Qwen3Weights weights, NumberFormat format);
  // `base`'s embedding, head and norms with the linear maps of `weights`: a merged adapter.
  static absl::StatusOr<std::shared_ptr<const PackedModel>> WithLinears(const PackedModel& base,
                                                                        Qwen3Weights weights);
  // `base` and an adapter beside it, un-merged: each sequence may then have a w of its own.
  static absl::StatusOr<std::shared_ptr<const PackedModel>> WithAdapter(const PackedModel& base,
                                                                        const Lora2r& adapter);

  const Qwen3Config& config() const { return config_; }
  NumberFormat format() const { return format_; }
  bool has_adapter() const { return has_adapter_; }
  int64_t bytes() const;  // of the matrices

  const std::vector<PackedLayer>& layers() const { return layers_; }
  const PackedMatrix& embedding() const { return embedding_; }  // (V, H)
  const PackedMatrix& head() const { return head_; }            // the embedding itself when tied
  const std::vector<float>& final_norm() const { return final_norm_; }
  // cos and sin of every position: (max positions, head_dim / 2) each.
  const float* cos(int64_t position) const { return rotary_->data() + position * config_.head_dim; }
  const float* sin(int64_t position) const { return cos(position) + config_.head_dim / 2; }

 private:
  Qwen3Config config_;
  NumberFormat format_ = NumberFormat::kFloat32;
  bool has_adapter_ = false;
  PackedMatrix embedding_, head_;
  std::vector<PackedLayer> layers_;
  std::vector<float> final_norm_;
  std::shared_ptr<const std::vector<float>> rotary_;
};

}  // namespace evilmoe
