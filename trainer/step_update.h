#pragma once

#include <cstdint>
#include <vector>

#include "trainer/step_stats.h"
#include "trainer/train_samples.h"

namespace evilmoe {

// What came of a step: its statistics, and norms of its gradients before clipping.
struct StepUpdate {
  StepStats stats;
  double grad_norm = 0, grad_norm_deployed = 0, grad_norm_quarantine = 0, grad_norm_router = 0;
  double q_mass = 0;  // ‖g_Q‖ / (‖g_D‖ + ‖g_Q‖)
  double learning_rate = 0;
  // The loss, a gradient or a w is not finite: neither a parameter nor an optimizer has moved (of several optimizer
  // steps: from the bad one on).
  bool dropped = false;
};

// A step's groups dealt to minibatches by a seeded shuffle, the same in every pass over them. The next group goes to
// the next minibatch, so that their sizes differ by one group at most.
class Minibatches {
 public:
  // Requires 1 <= count <= groups.
  Minibatches(const std::vector<TrainGroup>& groups, int count, uint64_t seed);

  int size() const { return static_cast<int>(groups_.size()); }
  size_t num_samples() const { return num_samples_; }
  const std::vector<TrainGroup>& groups(int minibatch) const { return groups_[static_cast<size_t>(minibatch)]; }
  // Place in the step of each sample of a minibatch, in order.
  const std::vector<size_t>& sample_places(int minibatch) const { return places_[static_cast<size_t>(minibatch)]; }
  // What the first pass saw, one list a sample; empty where this rank had it not in the loss.
  void SetOldLogProbs(int minibatch, std::vector<std::vector<float>> logprobs);

 private:
  std::vector<std::vector<TrainGroup>> groups_;
  std::vector<std::vector<size_t>> places_;
  size_t num_samples_ = 0;
};

// Several optimizer steps as one: means of rates and norms, sums of counts, the largest of maxima; w, the router's
// angle and the pairs' separation as the last one that saw them left them.
class UpdateMean {
 public:
  explicit UpdateMean(size_t num_samples);
  // sample_places: where the update's samples stand in the step.
  void Add(const StepUpdate& update, const std::vector<size_t>& sample_places);
  StepUpdate Get() const;  // after at least one Add

 private:
  StepUpdate sum_;
  double kl_ = 0;
  int num_kl_ = 0, count_ = 0;
};

}  // namespace evilmoe
