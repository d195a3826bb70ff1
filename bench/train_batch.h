#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "policy/lora2r.h"
#include "policy/tokenizer.h"
#include "trainer/graded_step.h"
#include "trainer/run_config.h"

namespace evilmoe {

// The step that train_step_bench times, and its form for peers in other languages.

// A step that a run has recorded: rollouts/step-N.jsonl.zst, graded by `config`. Errors of ReadRolloutLines,
// ParseRolloutLines and GradeStep.
absl::StatusOr<GradedStep> RecordedStep(const RunConfig& config, const std::filesystem::path& rollouts);

// A step of config.rollout.prompts_per_step prompts with group_size samples each, of the lengths that nano's have at
// its 20th step: prompts of 76 to 86 tokens, completions of 20 to 35, and a sixth of the groups without variance. The
// ids are arbitrary, and always the same.
absl::StatusOr<GradedStep> GeneratedStep(const RunConfig& config, int64_t vocab_size);

// Moves A and B off their init, always alike, by as much as some steps of training do.
void Perturb(const Lora2r& adapter);

// What a peer needs to do the same step, into `folder`: batch.json (groups, pairs and the config's numbers) and
// adapter.safetensors ("<module path>.a", ".b", ".a0", ".b0").
absl::Status WriteForPeers(const RunConfig& config, const Tokenizer& tokenizer, const GradedStep& step,
                           const Lora2r& adapter, const std::filesystem::path& folder);

}  // namespace evilmoe
