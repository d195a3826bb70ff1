#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

namespace evilmoe {

// Learning-rate factor in [0, 1] at `step` t (0-based) of T `steps` with `warmup` of W: min(1, (t + 1) / W) times
//   constant   1
//   linear     1 − t / T
//   cosine     0.1 + 0.45 · (1 + cos(π t / T))
// The warm-up lies over the schedule, and no step has factor 0. get_linear_schedule_with_warmup and
// get_cosine_schedule_with_warmup of transformers differ in three things: their warm-up is t / W, their decay begins
// after it, at (t − W) / (T − W), and their cosine ends at 0.
double ScheduleFactor(const std::string& schedule, int64_t step, int64_t steps, int64_t warmup);

struct AdamWOptions {
  double learning_rate = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.99;
  double epsilon = 1e-8;
  double decay = 0.0;  // towards the anchor: p ← p − lr · decay · (p − anchor), decoupled (Loshchilov & Hutter 2019)
};

// AdamW over a list of tensors that are updated in place. A tensor without an anchor decays towards 0.
class AdamW {
 public:
  // anchors: empty, or one a parameter (a tensor that is not defined = 0).
  AdamW(std::vector<at::Tensor> parameters, std::vector<at::Tensor> anchors, const AdamWOptions& options);

  // One step with gradients (undefined = 0) scaled by the schedule's factor.
  void Step(const std::vector<at::Tensor>& gradients, double learning_rate_factor);

  // Moments and step count, for a checkpoint: m.0, v.0, m.1, ...
  std::vector<at::Tensor> moments() const;
  int64_t steps_done() const { return steps_done_; }
  // Requires as many tensors, of the same shapes, as moments() gives.
  void Restore(const std::vector<at::Tensor>& moments, int64_t steps_done);

 private:
  const AdamWOptions options_;
  std::vector<at::Tensor> parameters_;
  std::vector<at::Tensor> anchors_;
  std::vector<at::Tensor> first_;
  std::vector<at::Tensor> second_;
  int64_t steps_done_ = 0;
};

// L2 norm over all defined tensors; scales them in place to `max_norm` when it is larger. Returns the norm before.
double ClipGradNorm(std::vector<at::Tensor>& gradients, double max_norm);

}  // namespace evilmoe
