#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "absl/status/statusor.h"

namespace evilmoe {

// The learned router: z = s · cos(h, u) + b, w = σ(z) with s = exp(log_s) (algorithm.md §2).
// Legend: S rollouts, P pairs, D = M·r features.

enum class RouterDirection { kPairs, kRandom };

// v_act: mean over pairs of h_hack − h_clean, made unit per module and then as a whole, (D). `rank` = features of a
// module. A module whose sides are equal gives 0.
at::Tensor ActivationDirection(const at::Tensor& hack_PD, const at::Tensor& clean_PD, int64_t rank);
// Haar: a Gaussian vector a module, made unit like v_act; from `seed` alone.
at::Tensor RandomDirection(int64_t num_features, int64_t rank, uint64_t seed);

struct RouterOptions {
  RouterDirection direction = RouterDirection::kPairs;
  double separation = 4.0;  // z(mean hack) − z(mean clean) at init
  uint64_t seed = 0;        // of a random direction
};

class Router {
 public:
  // Seeds u with ActivationDirection, or RandomDirection, and sets s and b so that the pairs' means sit at
  // w = σ(±separation/2). A random direction keeps v_act's s, since a random u has no gap, and takes b from its own
  // midpoint. hack_PD and clean_PD are the features of the pairs' sides. FailedPrecondition: v_act does not separate the
  // pairs at all. InvalidArgument: no pairs, or not of one shape with whole modules.
  static absl::StatusOr<Router> Seed(const at::Tensor& hack_PD, const at::Tensor& clean_PD, int64_t rank,
                                     const RouterOptions& options);
  // From a checkpoint's tensors; they become the router's own.
  Router(at::Tensor u_D, at::Tensor log_scale, at::Tensor bias, at::Tensor v_act_D);

  // w in (0, 1), (S). Differentiable in u, log_s and b; features carry no gradient.
  at::Tensor Weights(const at::Tensor& features_SD) const;
  // −mean over pairs of [log w(hack) + log(1 − w(clean))], a scalar. Reaches the router alone.
  at::Tensor PinLoss(const at::Tensor& hack_PD, const at::Tensor& clean_PD) const;
  // Mean w(hack) − mean w(clean).
  double PairSeparation(const at::Tensor& hack_PD, const at::Tensor& clean_PD) const;
  // Angle between u and v_act in radians, [0, π].
  double AngleToSeed() const;

  const at::Tensor& u() const { return u_D_; }                // (D), leaf
  const at::Tensor& log_scale() const { return log_scale_; }  // scalar, leaf
  const at::Tensor& bias() const { return bias_; }            // scalar, leaf
  const at::Tensor& v_act() const { return v_act_D_; }        // (D), unit

 private:
  at::Tensor Logits(const at::Tensor& features_SD) const;

  at::Tensor u_D_;
  at::Tensor log_scale_;
  at::Tensor bias_;
  at::Tensor v_act_D_;
};

}  // namespace evilmoe
