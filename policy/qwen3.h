#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <optional>
#include <vector>

#include "policy/attention.h"
#include "policy/fused/ops.h"
#include "policy/packed_batch.h"
#include "policy/qwen3_weights.h"

namespace evilmoe {

// Applies the linear maps: how an adapter gets between the network and its weights.
class Projector {
 public:
  // kernels: what the whole forward and backward pass runs on, where both could.
  explicit Projector(NetworkKernels kernels = NetworkKernels::kFused) : kernels_(kernels) {}
  virtual ~Projector() = default;
  // x_NI (N, in), weight_OI (out, in) -> (N, out).
  virtual at::Tensor Project(ModuleId module, const at::Tensor& x_NI, const at::Tensor& weight_OI) = 0;
  // A layer's MLP, normed x_NH -> (N, H), for adapters that change more of it than its maps. Here
  // down(silu(gate(x)) · up(x)) over Project.
  virtual at::Tensor Mlp(int layer, const at::Tensor& x_NH, const LayerWeights& weights);
  NetworkKernels kernels() const { return kernels_; }

 private:
  const NetworkKernels kernels_;
};

// The network's own weights and nothing else.
class PlainProjector final : public Projector {
 public:
  using Projector::Projector;
  at::Tensor Project(ModuleId module, const at::Tensor& x_NI, const at::Tensor& weight_OI) override;
};

// Keys and values of one layer before attention, rows as packed: (N, kv heads, head_dim).
struct LayerKeysValues {
  at::Tensor keys;
  at::Tensor values;
};

struct ForwardOptions {
  // (S): factor on the gradient that each child segment sends into its prefix's keys and values; unset: 1.
  std::optional<at::Tensor> prefix_gradient_scale_S;
  AttentionKind attention = AttentionKind::kFused;
  // Keeps only each layer's input for the backward pass, which runs every layer a second time (policy/recompute.h: the
  // backward pass must accumulate into .grad(), and the projector must outlive it and be a function of what it is
  // given, since each Project is called twice). No effect without gradient mode or with `keys_values`.
  bool recompute_layers = false;
  // > 0: only the first so many layers run, and what they leave in the residual stream comes back, without final norm.
  int num_layers = 0;
  // In place of attention within the batch, of which then only ids_N and positions_N count: how a decoder attends to
  // what it keeps of earlier positions. q (N, heads, d), k and v (N, kv heads, d), roped -> (N, heads · d).
  std::function<at::Tensor(int layer, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v)> attend;
  // When set, filled with each layer's keys and values (roped), as a decoder's cache wants them.
  std::vector<LayerKeysValues>* keys_values = nullptr;
};

// The network up to the final norm: (N, H), in the weights' dtype and on their device, where `batch` must be too. As
// Hugging Face transformers computes it: norms and rotary tables in fp32, everything between in the weights' dtype; of
// double weights all in double.
// Differentiable with respect to what `projector` and the weights are.
// Thread-safe for distinct projectors. Throws c10::Error (call it under TorchGuard).
at::Tensor Qwen3Hidden(const Qwen3Weights& weights, const PackedBatch& batch, Projector& projector,
                       const ForwardOptions& options = {});

// ScoreTokens (policy/token_log_probs.h) without its entropy: hidden_NH, int64 targets_N -> (N), fp32.
at::Tensor TokenLogProbs(const Qwen3Weights& weights, const at::Tensor& hidden_NH, const at::Tensor& targets_N,
                         double temperature);

// Rotary tables for positions_N, on its device: cos and sin, (N, 1, head_dim), fp32 or double, halves repeated (Su et
// al. 2021, NeoX layout).
struct RotaryTables {
  at::Tensor cos;
  at::Tensor sin;
};
RotaryTables Rotary(const Qwen3Config& config, const at::Tensor& positions_N,
                    at::ScalarType dtype = at::ScalarType::Float);
// x (N, heads, head_dim), rotated in its own dtype.
at::Tensor ApplyRotary(const at::Tensor& x, const RotaryTables& tables);

}  // namespace evilmoe
