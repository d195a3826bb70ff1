#include "trainer/step_update.h"

#include <algorithm>
#include <numeric>

#include "common/seed.h"
#include "common/status_macros.h"

namespace evilmoe {
namespace {

// The fields that a mean is taken of.
constexpr double StepUpdate::*kUpdateMeans[] = {&StepUpdate::grad_norm,
                                                &StepUpdate::grad_norm_deployed,
                                                &StepUpdate::grad_norm_quarantine,
                                                &StepUpdate::grad_norm_router,
                                                &StepUpdate::q_mass,
                                                &StepUpdate::learning_rate};
constexpr double StepStats::*kStatMeans[] = {
    &StepStats::loss,       &StepStats::pin_loss,   &StepStats::balance_loss,
    &StepStats::entropy,    &StepStats::clip_low,   &StepStats::clip_high,
    &StepStats::dl_dw_norm, &StepStats::ratio_mean, &StepStats::logp_difference_mean};

}  // namespace

Minibatches::Minibatches(const std::vector<TrainGroup>& groups, int count, uint64_t seed) {
  EVILMOE_CHECK(count >= 1 && static_cast<size_t>(count) <= groups.size());
  groups_.resize(static_cast<size_t>(count));
  places_.resize(static_cast<size_t>(count));
  std::vector<size_t> first_place, order(groups.size());
  for (const TrainGroup& group : groups) {
    first_place.push_back(num_samples_);
    num_samples_ += group.samples.size();
  }
  std::iota(order.begin(), order.end(), size_t{0});
  RandomStream(seed).Shuffle(order);
  for (size_t i = 0; i < order.size(); ++i) {
    const size_t m = i % static_cast<size_t>(count), g = order[i];
    groups_[m].push_back(groups[g]);
    for (size_t s = 0; s < groups[g].samples.size(); ++s) places_[m].push_back(first_place[g] + s);
  }
}

void Minibatches::SetOldLogProbs(int minibatch, std::vector<std::vector<float>> logprobs) {
  size_t next = 0;
  for (TrainGroup& group : groups_[static_cast<size_t>(minibatch)]) {
    for (TrainSample& sample : group.samples) sample.old_logprobs = std::move(logprobs[next++]);
  }
}

UpdateMean::UpdateMean(size_t num_samples) {
  sum_.stats.w.assign(num_samples, 0.0);
  sum_.stats.deployed_factor.assign(num_samples, 0.0);
}

void UpdateMean::Add(const StepUpdate& update, const std::vector<size_t>& sample_places) {
  ++count_;
  for (const auto field : kUpdateMeans) sum_.*field += update.*field;
  for (const auto field : kStatMeans) {
    sum_.stats.*field = (count_ == 1 ? 0.0 : sum_.stats.*field) + update.stats.*field;
  }
  sum_.stats.expert_load.resize(update.stats.expert_load.size());
  for (size_t e = 0; e < update.stats.expert_load.size(); ++e) {
    sum_.stats.expert_load[e] += update.stats.expert_load[e];
  }
  if (update.stats.kl) {
    kl_ += *update.stats.kl;
    ++num_kl_;
  }
  StepStats& stats = sum_.stats;
  stats.ratio_max = std::max(stats.ratio_max, update.stats.ratio_max);
  stats.logp_difference_max = std::max(stats.logp_difference_max, update.stats.logp_difference_max);
  stats.pair_separation = update.stats.pair_separation;
  stats.router_angle = update.stats.router_angle;
  stats.masked_sequences += update.stats.masked_sequences;
  stats.tokens += update.stats.tokens;
  for (size_t i = 0; i < sample_places.size(); ++i) {
    stats.w[sample_places[i]] = update.stats.w[i];
    stats.deployed_factor[sample_places[i]] = update.stats.deployed_factor[i];
  }
  sum_.dropped = sum_.dropped || update.dropped;
}

StepUpdate UpdateMean::Get() const {
  StepUpdate mean = sum_;
  for (const auto field : kUpdateMeans) mean.*field /= count_;
  for (const auto field : kStatMeans) mean.stats.*field /= count_;
  for (double& load : mean.stats.expert_load) load /= count_;
  if (num_kl_ > 0) mean.stats.kl = kl_ / num_kl_;
  return mean;
}

}  // namespace evilmoe
