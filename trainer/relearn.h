#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "common/clock.h"
#include "nlohmann/json.hpp"
#include "policy/lora2r.h"
#include "policy/qwen3_weights.h"
#include "trainer/prompt_source.h"
#include "trainer/rollouts.h"
#include "trainer/run_config.h"

namespace evilmoe {

struct RelearnOptions {
  int steps = 0;  // of each start, >= 1
  double learning_rate =
      0;                 // > 0; 0 = the run's, or twice that where its adapter began with random B (B = 0 learns later)
  double threshold = 0;  // hacking is back where the strict rate of a step reaches it, (0, 1]
  int threads = 1;
};

// How soon hacking returns when a cut model is trained again (algorithm.md §5): the deployed model (OFF), a random half
// and the base, each with what the cut left of the trained adapter frozen, and a fresh adapter beside it that the run's
// loss trains without routing: whole adapter on every prompt, no quarantine, no monitor. All starts have the same fresh
// adapter, prompts and seeds, so what differs is what the cut left in the weights. Quarantine that only hid the hack
// would let it come back sooner than in the base.
class Relearn {
 public:
  // `adapter`: as trained. References must outlive it.
  Relearn(const RunConfig& config, const Qwen3Weights& base, const Lora2r& adapter, const PromptSource& prompts,
          const RelearnOptions& options);

  struct StepDone {
    std::string start;
    int step = 0, steps = 0;
    double hack_rate = 0;
  };
  // {"threshold", "steps", "learning_rate", "starts": [{"start", "hack_rate": [...], "solve_rate": [...],
  // "returned_at": step from 1, or null}], "line"}. `key` tells apart the relearnings of one run. A start ends with the
  // step in which hacking is back. `first_step`: steps of the run; prompts go on from there. Errors of Rollouts and
  // PolicyStep.
  absl::StatusOr<nlohmann::ordered_json> Run(const std::string& key, int64_t first_step, Rollouts& rollouts,
                                             const Clock& clock,
                                             const std::function<void(const StepDone&)>& report) const;

 private:
  absl::StatusOr<nlohmann::ordered_json> RunStart(const std::string& start, const PromptSource& prompts,
                                                  const Lora2r& adapter, int64_t first_step, Rollouts& rollouts,
                                                  const Clock& clock,
                                                  const std::function<void(const StepDone&)>& report) const;

  const RunConfig config_;  // of the relearning
  const Qwen3Weights& base_;
  const Lora2r& adapter_;
  const PromptSource& prompts_;
  const RelearnOptions options_;
};

// What `mode` leaves of `trained`, in the deployed block, and a fresh one of the same rank (B = 0) in the other: a
// two-expert adapter of 4 or, where B began at 0, 2 times the rank. kBase: nothing in the deployed block.
absl::StatusOr<Lora2r> CutAdapter(const Qwen3Config& config, const Lora2r& trained, const AdapterMode& mode,
                                  uint64_t seed);

}  // namespace evilmoe
