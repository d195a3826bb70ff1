#include "services/coordinator/run_limits.h"

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace evilmoe {
namespace {

constexpr int64_t kMaxSteps = 1'000'000;
constexpr int64_t kMaxTokens = int64_t{1} << 20;      // of a prompt, a completion, a judge's reply
constexpr int64_t kMaxStepTokens = int64_t{1} << 27;  // the coordinator holds a step's results: about 12 bytes each
constexpr int64_t kMaxEvaluationSamples = 4096;       // of a problem and mode
constexpr int64_t kMaxSeeds = 256;
constexpr int64_t kMaxCheckpoints = 1000;  // on the disk
constexpr double kMaxJudgeSeconds = 3600;
constexpr int64_t kMaxSystemPromptBytes = int64_t{64} << 10;

}  // namespace

absl::Status CheckRunLimits(const RunConfig& config) {
  const RolloutConfig& rollout = config.rollout;
  const struct {
    const char* field;
    int64_t got, most;
  } limits[] = {
      {"steps", config.steps, kMaxSteps},
      {"system_prompt: bytes", static_cast<int64_t>(config.system_prompt.size()), kMaxSystemPromptBytes},
      {"rollout.max_prompt_tokens", rollout.max_prompt_tokens, kMaxTokens},
      {"rollout.max_completion_tokens", rollout.max_completion_tokens, kMaxTokens},
      {"rollout.prompts_per_step * rollout.max_prompt_tokens",
       int64_t{rollout.prompts_per_step} * rollout.max_prompt_tokens, kMaxStepTokens},
      {"rollout.prompts_per_step * rollout.group_size * rollout.max_completion_tokens",
       int64_t{rollout.prompts_per_step} * rollout.group_size * rollout.max_completion_tokens, kMaxStepTokens},
      {"monitor.judge.max_tokens", config.monitor.judge.max_tokens, kMaxTokens},
      {"evaluation.samples", config.evaluation.samples, kMaxEvaluationSamples},
      {"evaluation.random_half_seeds", config.evaluation.random_half_seeds, kMaxSeeds},
      {"checkpoint.keep", config.checkpoint.keep, kMaxCheckpoints}};
  std::vector<std::string> problems;
  for (const auto& [field, got, most] : limits) {
    if (got > most) problems.push_back(absl::StrCat(field, ": got ", got, ", expected at most ", most));
  }
  if (const double got = config.monitor.judge.timeout_s; !(got <= kMaxJudgeSeconds)) {
    problems.push_back(absl::StrCat("monitor.judge.timeout_s: got ", got, ", expected at most ", kMaxJudgeSeconds));
  }
  if (problems.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrJoin(problems, "\n"));
}

}  // namespace evilmoe
