#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

namespace evilmoe {

// The scores of the last rollouts, the newest weighing most: what a fixed gate takes its thresholds from.
class ScoreWindow {
 public:
  // capacity: scores kept, >= 1. half_life: rollouts after which a score counts half, > 0.
  ScoreWindow(int64_t capacity, double half_life);

  // Adds finite scores, the last one the newest; the oldest beyond the capacity go.
  void Add(std::span<const float> scores);
  int64_t size() const;
  // The smallest score whose cumulative weight, from the lowest score up, reaches q of the whole, q in [0, 1]. A score
  // of age a (0 = the newest) weighs 2^(−a / half_life). Requires a score.
  float Quantile(double q) const;

  // The state, to be saved and overwritten in place: (capacity) fp32, the newest last, and how many of it hold, (1)
  // int64.
  const at::Tensor& scores() const { return scores_W_; }
  const at::Tensor& count() const { return count_1_; }

 private:
  const double half_life_;
  at::Tensor scores_W_;
  at::Tensor count_1_;
};

}  // namespace evilmoe
