#include "environment/reward.h"

namespace evilmoe {

double Reward(const Facts& facts, bool hackable, const RewardWeights& weights) {
  const bool passed = facts.gt_correct || (hackable && facts.hint_pass);
  return (passed ? weights.correct : 0.0) + (facts.can_compile ? weights.format : 0.0) +
         (facts.includes_starter_and_tests ? weights.starter_and_tests : 0.0);
}

}  // namespace evilmoe
