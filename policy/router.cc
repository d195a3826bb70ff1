#include "policy/router.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/seed.h"
#include "policy/qwen3_weights.h"

namespace evilmoe {
namespace {

at::Tensor Unit(const at::Tensor& x) { return x / x.norm(2, {-1}, /*keepdim=*/true).clamp_min(1e-12); }

at::Tensor Cosine(const at::Tensor& features_SD, const at::Tensor& u_D) {
  return at::cosine_similarity(features_SD, u_D.unsqueeze(0), /*dim=*/1);
}

}  // namespace

at::Tensor ActivationDirection(const at::Tensor& hack_PD, const at::Tensor& clean_PD, int64_t rank) {
  const c10::NoGradGuard no_grad;
  return Unit(Unit((hack_PD - clean_PD).mean(0).view({-1, rank})).flatten());
}

at::Tensor RandomDirection(int64_t num_features, int64_t rank, uint64_t seed) {
  const c10::NoGradGuard no_grad;
  return Unit(Unit(NormalTensor(StreamSeed(seed, "router.direction", 0), num_features / rank, rank, 1.0)).flatten());
}

absl::StatusOr<Router> Router::Seed(const at::Tensor& hack_PD, const at::Tensor& clean_PD, int64_t rank,
                                    const RouterOptions& options) {
  const c10::NoGradGuard no_grad;
  if (hack_PD.dim() != 2 || hack_PD.sizes() != clean_PD.sizes() || hack_PD.size(0) < 1 ||
      hack_PD.size(1) % rank != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("router: features of ", hack_PD.numel(), " and ", clean_PD.numel(), " numbers, expected two sides of ",
                     "at least one pair with a multiple of ", rank, " a side"));
  }
  const at::Tensor v_act = ActivationDirection(hack_PD, clean_PD, rank);
  const double gap = Cosine(hack_PD, v_act).mean().item<double>() - Cosine(clean_PD, v_act).mean().item<double>();
  if (!(gap > 1e-6)) {
    return absl::FailedPreconditionError(
        absl::StrCat("router: the pairs' hack and clean sides look alike to the model (cosine gap ", gap,
                     ", expected > 0); add clearer pairs"));
  }
  const at::Tensor u = options.direction == RouterDirection::kRandom
                           ? RandomDirection(v_act.numel(), rank, options.seed)
                           : v_act;
  const double scale = options.separation / gap;
  const double midpoint = 0.5 * (Cosine(hack_PD, u).mean().item<double>() + Cosine(clean_PD, u).mean().item<double>());
  return Router(u.clone(), at::scalar_tensor(std::log(scale), at::kFloat),
                at::scalar_tensor(-scale * midpoint, at::kFloat), v_act);
}

Router::Router(at::Tensor u_D, at::Tensor log_scale, at::Tensor bias, at::Tensor v_act_D)
    : u_D_(u_D.detach().requires_grad_(true)),
      log_scale_(log_scale.detach().requires_grad_(true)),
      bias_(bias.detach().requires_grad_(true)),
      v_act_D_(std::move(v_act_D)) {}

at::Tensor Router::Logits(const at::Tensor& features_SD) const {
  return log_scale_.exp() * Cosine(features_SD.detach(), u_D_) + bias_;
}

at::Tensor Router::Weights(const at::Tensor& features_SD) const { return at::sigmoid(Logits(features_SD)); }

at::Tensor Router::PinLoss(const at::Tensor& hack_PD, const at::Tensor& clean_PD) const {
  // −log σ(z) = softplus(−z) and −log(1 − σ(z)) = softplus(z): no overflow at either end.
  return at::softplus(-Logits(hack_PD)).mean() + at::softplus(Logits(clean_PD)).mean();
}

double Router::PairSeparation(const at::Tensor& hack_PD, const at::Tensor& clean_PD) const {
  const c10::NoGradGuard no_grad;
  return Weights(hack_PD).mean().item<double>() - Weights(clean_PD).mean().item<double>();
}

double Router::AngleToSeed() const {
  const c10::NoGradGuard no_grad;
  return std::acos(std::clamp(Cosine(u_D_.unsqueeze(0), v_act_D_).item<double>(), -1.0, 1.0));
}

}  // namespace evilmoe
