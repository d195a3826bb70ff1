#include "trainer/arm_presets.h"

#include <algorithm>
#include <array>

namespace evilmoe {

std::span<const ArmPreset> ArmPresets() {
  static const std::array<ArmPreset, 13> presets = {{
      {"none",
       "no routing: the whole adapter trains and is deployed",
       {{"routing.mode", "none"}, {"rollout.deploy_mode_fraction", "0"}}},
      {"absorb",
       "as none, with a part of the prompts sampled with the quarantine off",
       {{"routing.mode", "none"}, {"rollout.deploy_mode_fraction", "0.25"}}},
      {"route_a",
       "a fixed gate on activations along the pairs' direction, cut at quantiles of the last rollouts",
       {{"routing.mode", "fixed_activation"}, {"router.direction", "pairs"}}},
      {"route_v",
       "as route_a, on each rollout's gradient along the pairs' gradient direction",
       {{"routing.mode", "fixed_gradient"}, {"router.direction", "pairs"}}},
      {"route_random",
       "placebo: as route_a along a random direction",
       {{"routing.mode", "fixed_activation"}, {"router.direction", "random"}}},
      {"evil_moe",
       "the learned router, seeded and pinned by contrastive pairs",
       {{"routing.mode", "learned"}, {"router.direction", "pairs"}}},
      {"evil_moe_random",
       "control: as evil_moe, seeded with a random direction in place of the pairs'",
       {{"routing.mode", "learned"}, {"router.direction", "random"}}},
      {"evil_moe_no_pin",
       "control: as evil_moe without the pin loss",
       {{"routing.mode", "learned"}, {"router.direction", "pairs"}, {"router.pin_weight", "0"}}},
      {"evil_moe_placebo",
       "control: a learned router seeded with a random direction, without the pin loss",
       {{"routing.mode", "learned"}, {"router.direction", "none"}}},
      {"evil_moe_hard",
       "as evil_moe, and the deployed block learns nothing from rollouts above w = 0.5",
       {{"routing.mode", "learned"}, {"router.direction", "pairs"}, {"router.hard_detach_above", "0.5"}}},
      {"gradient_routing",
       "oracle, upper bound: the grader's label is the mask of each rollout's activations",
       {{"routing.mode", "oracle_mask"}, {"loss.deployed_advantage", "split"}}},
      {"sgtm",
       "oracle: the grader's label masks parameter gradients; rollouts without a label train both experts",
       {{"routing.mode", "oracle_parameter"}}},
      {"mixlora",
       "comparison: a mixture of LoRA experts that each token is sent to some of, without a quarantine",
       {{"routing.mode", "per_token"}, {"rollout.deploy_mode_fraction", "0"}}},
  }};
  return presets;
}

const ArmPreset* FindArm(std::string_view name) {
  const std::span<const ArmPreset> presets = ArmPresets();
  const auto it = std::find_if(presets.begin(), presets.end(), [&](const ArmPreset& arm) { return arm.name == name; });
  return it == presets.end() ? nullptr : &*it;
}

}  // namespace evilmoe
