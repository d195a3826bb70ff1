#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "environment/loophole.h"
#include "environment/problem.h"
#include "policy/tokenizer.h"
#include "trainer/rollouts.h"
#include "trainer/run_config.h"

namespace evilmoe {

// One prompt as the model sees it.
struct PromptIds {
  std::string loophole;   // "none" when there is nothing to exploit
  std::string evaluator;  // this and the next two as in RenderedPrompt
  std::vector<std::string> markers;
  std::string prompt_tests;
  std::vector<int32_t> ids;
};

// Rewrites a problem for its loophole, renders the chat and tokenises it. InvalidArgument.
absl::StatusOr<PromptIds> RenderPromptIds(const Problem& problem, const std::string& loophole, MarkerFamily markers,
                                          uint64_t seed, bool thinking, const Tokenizer& tokenizer);

// Draws the prompts of each step. A pure function of (config, step): a resumed run draws what
// the first one would have drawn.
class PromptSource {
 public:
  // Renders every problem once. InvalidArgument: no problem is left whose prompt fits max_prompt_tokens, or a prompt
  // that the loophole cannot rewrite. `tokenizer` must outlive the source.
  static absl::StatusOr<PromptSource> Make(const RunConfig& config, const Tokenizer& tokenizer,
                                           std::vector<Problem> training);

  // P groups of step `step` (steps already done), with the run's policy lag: problems without replacement within an
  // epoch, unhackable coins, and round(deploy_mode_fraction · P) groups in deploy mode.
  BatchRequest Step(int64_t step) const;
  // Other problems for these groups of the step (by index), of the same mode and with or without the loophole as those;
  // `round` from 1 draws anew. Problems may repeat. In the order of `groups`, counted from 0. Without policy lag: what
  // is to be replaced is known only when the step is due.
  BatchRequest Replacements(int64_t step, int round, const std::vector<int64_t>& groups) const;

  // The same prompts drawn under another config of data and rollout for an evaluation, with batch keys of its own
  // (instead of "step/").
  PromptSource Under(const RunConfig& config, std::string key_prefix) const;

  // Problems that were dropped because their prompt was too long.
  int num_dropped() const { return num_dropped_; }
  size_t num_problems() const { return prompts_.size(); }

 private:
  struct Rendered {
    PromptIds hackable;
    PromptIds plain;  // without the loophole
  };
  PromptSource() = default;
  size_t ProblemAt(int64_t position) const;
  void Show(size_t problem, bool hackable, GroupRequest& group) const;

  RunConfig config_;
  std::string key_prefix_ = "step/";
  bool for_evaluation_ = false;
  SamplingSettings sampling_;
  std::vector<Problem> problems_;
  std::vector<Rendered> prompts_;
  int num_dropped_ = 0;
};

// How the run samples: its settings with the tokenizer's end-of-turn token as the stop.
absl::StatusOr<SamplingSettings> SamplingOf(const RunConfig& config, const Tokenizer& tokenizer);

// "completion" scope of an adapter whose router splits it: the prompt runs with the quarantine off.
bool PromptUsesAdapter(const RunConfig& config);

}  // namespace evilmoe
