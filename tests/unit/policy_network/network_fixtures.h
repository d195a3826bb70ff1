#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "policy/qwen3.h"
#include "policy/qwen3_weights.h"

namespace evilmoe {

// A random network of `num_heads` query heads of width 8 over `num_kv_heads`, vocabulary 61, hidden 24.
Qwen3Weights RandomNetwork(int64_t num_heads, int64_t num_kv_heads, uint64_t seed = 3);

// Ids below RandomNetwork's vocabulary, from `seed` alone.
std::vector<int32_t> RandomIds(int64_t count, uint64_t seed);

// The same network with every parameter a leaf that requires a gradient (a tied head stays the embedding).
Qwen3Weights WithLeaves(const Qwen3Weights& weights);

// W x + w ⊙ B A x in plain autograd on every linear map, with A and B as leaves and w a number a row.
class LowRankProjector final : public Projector {
 public:
  LowRankProjector(const Qwen3Weights& weights, at::Tensor w_N1, uint64_t seed = 11);

  at::Tensor Project(ModuleId module, const at::Tensor& x_NI, const at::Tensor& weight_OI) override;

  void set_w(at::Tensor w_N1) { w_N1_ = std::move(w_N1); }
  const std::vector<at::Tensor>& leaves() const { return leaves_; }
  // Clones of the leaves' gradients, which are then cleared.
  std::vector<at::Tensor> TakeGradients();

 private:
  at::Tensor w_N1_;
  std::vector<at::Tensor> leaves_;  // A, B of module 0, A, B of module 1, ...
};

// Largest |a − b|; a shape that differs is infinitely far.
double MaxDifference(const at::Tensor& a, const at::Tensor& b);
// The largest ‖a − b‖ / ‖b‖ over two lists of equal length.
double RelativeDifference(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b);

}  // namespace evilmoe
