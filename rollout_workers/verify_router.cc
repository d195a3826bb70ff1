#include "rollout_workers/verify_router.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "policy/lora2r_forward.h"
#include "policy/qwen3.h"
#include "policy/router.h"
#include "policy/torch_guard.h"
#include "rollout_workers/routed_pass.h"
#include "trainer/collective.h"
#include "trainer/learned_gate.h"
#include "trainer/policy_batch.h"
#include "trainer/policy_step.h"
#include "trainer/two_expert_adapter.h"

namespace evilmoe {
namespace {

constexpr char kOrder[] = "router: order of the pairs", kSeed[] = "router: seed", kPin[] = "pin: a step separates",
               kReach[] = "pin: gradient on A and B";

at::Tensor Cosine(const at::Tensor& rows_PD, const at::Tensor& direction_D) {
  const at::Tensor rows = rows_PD.to(at::kDouble), direction = direction_D.detach().to(at::kDouble);
  return at::mv(rows, direction) / (rows.norm(2, 1) * direction.norm());
}

// Neighbours in the order of the cosines whose w is in the other order.
Finding OrderOfPairs(const RunConfig& config, const Router& router, const PairFeatures& pairs) {
  const c10::NoGradGuard no_grad;
  const at::Tensor sides = at::cat({pairs.hack, pairs.clean});
  const bool by_pairs = config.router.direction == "pairs";
  const at::Tensor direction =
      by_pairs ? ActivationDirection(pairs.hack, pairs.clean, config.adapter.rank) : router.u().detach();
  const at::Tensor w = router.Weights(sides).index_select(0, Cosine(sides, direction).argsort());
  const int64_t discordant = (w.slice(0, 1) < w.slice(0, 0, -1) - 1e-6).sum().item<int64_t>();
  return {.name = kOrder,
          .checked = absl::StrCat("neighbours of ", sides.size(0),
                                  " sides whose w is not in the order of their cosine with ", by_pairs ? "v_act" : "u"),
          .figure = static_cast<double>(discordant),
          .problem = w[-1].item<double>() > w[0].item<double>() ? "" : "w is the same for all"};
}

// The mean cosines of the two sides are at w = σ(±separation / 2), or of a random direction a whole number of them
// apart.
Finding SeedOfRouter(const RunConfig& config, const Router& router, const PairFeatures& pairs) {
  const double s = router.log_scale().exp().item<double>(), b = router.bias().item<double>();
  const auto z = [&](const at::Tensor& side, const at::Tensor& u) {
    return s * Cosine(side, u).mean().item<double>() + b;
  };
  // A random direction has v_act's scale and its own midpoint (algorithm.md §2).
  const double gap =
      s * (Cosine(pairs.hack, router.v_act()).mean() - Cosine(pairs.clean, router.v_act()).mean()).item<double>();
  const double midpoint = (z(pairs.hack, router.u()) + z(pairs.clean, router.u())) / 2;
  return {
      .name = kSeed,
      .checked = absl::StrCat("distance of s · gap from ", config.router.separation, ", and of z from 0 in the middle"),
      .figure = std::max(std::abs(gap - config.router.separation), std::abs(midpoint)),
      .limit = 1e-3};
}

// One optimizer step by the pin's gradient alone.
absl::StatusOr<Finding> PinStep(const RunConfig& config, const PairFeatures& pairs) {
  EVILMOE_ASSIGN_OR_RETURN(const std::unique_ptr<LearnedGate> gate, LearnedGate::Seed(config, pairs));
  return TorchGuard(kPin, [&] {
    const at::Tensor sides = at::cat({pairs.hack, pairs.clean});
    gate->Route({}, sides, /*first_pass=*/true);
    StepGradients gradients;
    StepStats before;
    gate->Backward(at::zeros({sides.size(0)}), pairs, gradients, before);
    gate->Step(gradients);
    const double after = gate->router().PairSeparation(pairs.hack, pairs.clean);
    return Finding{
        .name = kPin,
        .checked = absl::StrCat("change of mean w(hack) − mean w(clean), which was ", before.pair_separation),
        .figure = after - before.pair_separation,
        .at_least = true};
  });
}

// Through features that could carry a gradient: those of an adapter that asks for one.
Finding ReachOfPin(const Qwen3Weights& base, const Lora2r& adapter, const Router& router, const PairIds& pair) {
  const Lora2r asking = adapter.Clone();
  for (const AdapterModule& m : asking.modules()) {
    m.a.requires_grad_(true);
    m.b.requires_grad_(true);
  }
  const PolicyBatch batch = MakePolicyBatch(
      {{.prompt = &pair.prompt_ids, .completions = {&pair.hack_ids, &pair.clean_ids}}}, /*share_prompt=*/true);
  // The fused pass never carries one.
  AblatedProjector ablated(asking, batch.completion_rows_C, batch.completion_of_C, batch.lengths_S,
                           NetworkKernels::kAten);
  Qwen3Hidden(base, batch.packed, ablated);
  const at::Tensor features = ablated.Features();
  router.PinLoss(features.narrow(0, 0, 1), features.narrow(0, 1, 1)).backward();
  int64_t reached = 0;
  for (const AdapterModule& m : asking.modules()) reached += m.a.grad().defined() + m.b.grad().defined();
  return {.name = kReach,
          .checked = absl::StrCat("tensors of ", 2 * asking.modules().size(), " that the pin loss reaches"),
          .figure = static_cast<double>(reached),
          .problem = features.requires_grad() ? "" : "the features were cut off from A before"};
}

}  // namespace

void VerifyRouter(const RunConfig& config, const Qwen3Weights& base, const Lora2r& adapter,
                  const std::vector<PairIds>& pairs, const FindingSink& found) {
  SingleRank alone;
  const TwoExpertAdapter trained(adapter);
  const PolicyStep step(config, base, trained, pairs, /*threads=*/1, alone);
  const absl::StatusOr<PairFeatures> features = step.ReadPairs(RolloutFeatures::kActivations);
  const absl::StatusOr<std::unique_ptr<LearnedGate>> gate =
      features.ok() ? LearnedGate::Seed(config, *features) : features.status();
  if (!gate.ok()) {
    for (const char* name : {kOrder, kSeed, kPin, kReach}) found(Unchecked(name, gate.status()));
    return;
  }
  const Router& router = (*gate)->router();
  const auto check = [&](const char* name, auto&& make) {
    const absl::StatusOr<Finding> finding = TorchGuard(name, make);
    found(finding.ok() ? *finding : Unchecked(name, finding.status()));
  };
  check(kOrder, [&] { return OrderOfPairs(config, router, *features); });
  check(kSeed, [&] { return SeedOfRouter(config, router, *features); });
  if (config.router.pin_weight == 0 || config.router.direction == "none") return;  // an arm without a pin
  const absl::StatusOr<Finding> pin = PinStep(config, *features);
  found(pin.ok() ? *pin : Unchecked(kPin, pin.status()));
  check(kReach, [&] { return ReachOfPin(base, adapter, router, pairs.front()); });
}

}  // namespace evilmoe
