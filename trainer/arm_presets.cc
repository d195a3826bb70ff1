#include "trainer/arm_presets.h"

#include <algorithm>
#include <array>

namespace evilmoe {

std::span<const ArmPreset> ArmPresets() {
  static const std::array<ArmPreset, 5> presets = {{
      {"none",
       "no routing: the whole adapter trains and is deployed",
       {{"routing.mode", "none"}, {"rollout.deploy_mode_fraction", "0"}}},
      {"absorb",
       "as none, with a part of the prompts sampled with the quarantine off",
       {{"routing.mode", "none"}, {"rollout.deploy_mode_fraction", "0.25"}}},
      {"evil_moe",
       "the learned router, seeded and pinned by contrastive pairs",
       {{"routing.mode", "learned"}, {"router.direction", "pairs"}}},
      {"evil_moe_hard",
       "as evil_moe, and the deployed block learns nothing from rollouts above w = 0.5",
       {{"routing.mode", "learned"}, {"router.direction", "pairs"}, {"router.hard_detach_above", "0.5"}}},
      {"evil_moe_random",
       "control: as evil_moe with a random direction in place of the pairs'",
       {{"routing.mode", "learned"}, {"router.direction", "random"}}},
  }};
  return presets;
}

std::span<const std::string_view> LaterArms() {
  static constexpr std::array<std::string_view, 8> kLater = {
      "route_a",          "route_random",     "route_v", "evil_moe_no_pin",
      "evil_moe_placebo", "gradient_routing", "sgtm",    "mixlora"};
  return kLater;
}

const ArmPreset* FindArm(std::string_view name) {
  const std::span<const ArmPreset> presets = ArmPresets();
  const auto it = std::find_if(presets.begin(), presets.end(), [&](const ArmPreset& arm) { return arm.name == name; });
  return it == presets.end() ? nullptr : &*it;
}

}  // namespace evilmoe
