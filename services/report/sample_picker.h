#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace evilmoe {

// One line of rollouts/step-N.jsonl.zst, as far as a reader of the report wants it.
struct RolloutSample {
  int64_t step = 0, group = 0, sample = 0, problem_id = 0;
  std::string loophole, evaluator, mode, label, text;
  std::optional<double> w, reward;
  bool strict_hack = false, loose_hack = false, solved = false;
  std::vector<std::pair<std::string, bool>> facts;
};

struct PickedSample {
  const RolloutSample* sample = nullptr;
  std::vector<std::string> picks;  // why: hack, solve, high_w, low_w, mistake
};

// Chooses what a reader should see: hacks and solves spread over the run, the highest and the lowest w, and the
// router's mistakes (a hack with w < 0.5, a clean sample with w >= 0.5; worst first). At most `per_kind` of each, no
// text twice within a kind. Pure; the result points into `samples` and keeps their order.
std::vector<PickedSample> PickSamples(const std::vector<RolloutSample>& samples, size_t per_kind);

}  // namespace evilmoe
