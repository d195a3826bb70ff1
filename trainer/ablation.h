#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "environment/loophole.h"
#include "environment/problem.h"
#include "nlohmann/json.hpp"
#include "policy/tokenizer.h"
#include "trainer/ablation_statistics.h"
#include "trainer/rollouts.h"
#include "trainer/run_config.h"

namespace evilmoe {

// The causal ablation: the adapter published last, sampled on held-out problems with the quarantine on, off, with a
// random half of the same rank (also at doubled strength), with the deployed expert off, and without any adapter; each
// under the markers that training used and under novel ones (algorithm.md §5). Per-token experts have no quarantine:
// on and base alone (docs/adr/0018).
class Ablation {
 public:
  // `config` and `tokenizer` must outlive it. `problems` are held-out.
  Ablation(const RunConfig& config, const Tokenizer& tokenizer, std::vector<Problem> problems);

  struct ModeDone {
    std::string mode, markers;
    int done = 0, total = 0;  // batches
  };
  // Runs every mode and returns AblationTable() with "step", "samples" and "temperature" added. `key` tells apart the
  // ablations of one run ("end", "step-20"). Errors as Rollouts::Run; InvalidArgument: no usable problem.
  absl::StatusOr<nlohmann::ordered_json> Run(const std::string& key, int64_t step, Rollouts& rollouts,
                                             const std::function<void(const ModeDone&)>& report) const;

 private:
  struct Mode {
    std::string name;
    AdapterMode mode;
  };
  std::vector<Mode> Modes() const;
  absl::StatusOr<AblationRow> RunMode(const Mode& mode, MarkerFamily markers, const std::string& key, int64_t step,
                                      Rollouts& rollouts) const;

  const RunConfig& config_;
  const Tokenizer& tokenizer_;
  const std::vector<Problem> problems_;
};

}  // namespace evilmoe
