#include "trainer/prompt_source.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "common/seed.h"
#include "common/status_macros.h"
#include "environment/partition.h"
#include "environment/problem_place.h"
#include "policy/chat_template.h"
#include "trainer/inoculation.h"

namespace evilmoe {
namespace {

constexpr char kNoLoophole[] = "none";

}  // namespace

absl::StatusOr<SamplingSettings> SamplingOf(const RunConfig& config, const Tokenizer& tokenizer) {
  const std::optional<int32_t> end_of_turn = tokenizer.IdOf("<|im_end|>");
  if (!end_of_turn) {
    return absl::InvalidArgumentError(
        absl::StrCat(config.model.path.string(), "/tokenizer.json: no token <|im_end|>, which ends a completion"));
  }
  SamplingSettings settings{.temperature = config.rollout.temperature,
                            .top_p = config.rollout.top_p,
                            .top_k = config.rollout.top_k,
                            .max_tokens = config.rollout.max_completion_tokens,
                            .stop_ids = {*end_of_turn}};
  if (const auto end_of_text = tokenizer.IdOf("<|endoftext|>")) settings.stop_ids.push_back(*end_of_text);
  return settings;
}

bool PromptUsesAdapter(const RunConfig& config) { return !IsRouted(config) || config.adapter.scope == "all"; }

absl::StatusOr<PromptIds> RenderPromptIds(const Problem& problem, const std::string& loophole, MarkerFamily markers,
                                          uint64_t seed, bool thinking, const Tokenizer& tokenizer) {
  EVILMOE_ASSIGN_OR_RETURN(RenderedPrompt rendered, ApplyLoophole(problem, loophole, markers, seed));
  EVILMOE_ASSIGN_OR_RETURN(const std::string text, RenderChat(rendered.messages, {.thinking = thinking}));
  PromptIds prompt{.loophole = std::move(rendered.loophole),
                   .evaluator = std::move(rendered.evaluator),
                   .markers = std::move(rendered.markers),
                   .prompt_tests = std::move(rendered.prompt_tests)};
  EVILMOE_ASSIGN_OR_RETURN(prompt.ids, tokenizer.Encode(text));
  return prompt;
}

absl::StatusOr<PromptSource> PromptSource::Make(const RunConfig& config, const Tokenizer& tokenizer,
                                                std::vector<Problem> training) {
  PromptSource source;
  source.config_ = config;
  EVILMOE_ASSIGN_OR_RETURN(source.sampling_, SamplingOf(config, tokenizer));
  EVILMOE_ASSIGN_OR_RETURN(const std::vector<std::string> loopholes,
                           PartitionLoopholes(training, config.data.loopholes, config.seed));
  const auto limit = static_cast<size_t>(config.rollout.max_prompt_tokens);
  const bool thinking = config.model.thinking;
  for (size_t i = 0; i < training.size(); ++i) {
    Problem& problem = training[i];
    const Problem shown = Inoculated(problem, config.system_prompt);
    absl::StatusOr<PromptIds> hackable =
        RenderPromptIds(shown, loopholes[i], MarkerFamily::kTraining, config.seed, thinking, tokenizer);
    if (!hackable.ok()) return Annotate(hackable.status(), PlaceOfProblem(config.data.train, problem.id));
    EVILMOE_ASSIGN_OR_RETURN(PromptIds plain, RenderPromptIds(shown, kNoLoophole, MarkerFamily::kTraining, config.seed,
                                                              thinking, tokenizer));
    if (std::max(hackable->ids.size(), plain.ids.size()) > limit) {
      ++source.num_dropped_;
      continue;
    }
    source.prompts_.push_back({*std::move(hackable), std::move(plain)});
    source.problems_.push_back(std::move(problem));
  }
  if (source.problems_.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        config.data.train.string(), ": no prompt fits rollout.max_prompt_tokens = ", config.rollout.max_prompt_tokens,
        ", expected at least one"));
  }
  return source;
}

PromptSource PromptSource::Under(const RunConfig& config, std::string key_prefix) const {
  PromptSource other = *this;
  other.config_ = config;
  other.key_prefix_ = std::move(key_prefix);
  other.for_evaluation_ = true;
  return other;
}

size_t PromptSource::ProblemAt(int64_t position) const {
  const auto n = static_cast<int64_t>(problems_.size());
  std::vector<size_t> order(problems_.size());
  std::iota(order.begin(), order.end(), size_t{0});
  RandomStream stream(StreamSeed(config_.seed, "data.order", static_cast<uint64_t>(position / n)));
  stream.Shuffle(order);
  return order[static_cast<size_t>(position % n)];
}

void PromptSource::Show(size_t problem, bool hackable, GroupRequest& group) const {
  const PromptIds& prompt = hackable ? prompts_[problem].hackable : prompts_[problem].plain;
  group.problem = &problems_[problem];
  group.loophole = prompt.loophole;
  group.evaluator = prompt.evaluator;
  group.markers = prompt.markers;
  group.prompt_tests = prompt.prompt_tests;
  group.prompt_ids = prompt.ids;
}

BatchRequest PromptSource::Replacements(int64_t step, int round, const std::vector<int64_t>& groups) const {
  const BatchRequest first = Step(step);
  BatchRequest batch{.key = absl::StrCat(first.key, "/resample/", round),
                     .step = step,
                     .sampling = first.sampling,
                     .groups = {},
                     .evaluation = for_evaluation_};
  const uint64_t seed = StreamSeed(config_.seed, "resample", static_cast<uint64_t>(step));
  for (const int64_t index : groups) {
    GroupRequest group = first.groups[static_cast<size_t>(index)];
    const bool hackable = group.loophole != kNoLoophole;
    const uint64_t draw = CounterBits(seed, (static_cast<uint64_t>(round) << 32) | static_cast<uint64_t>(index));
    Show(static_cast<size_t>(draw % prompts_.size()), hackable, group);
    group.index = static_cast<int64_t>(batch.groups.size());
    group.seed = StreamSeed(draw, "rollout", 0);
    batch.groups.push_back(std::move(group));
  }
  return batch;
}

BatchRequest PromptSource::Step(int64_t step) const {
  const int num_prompts = config_.rollout.prompts_per_step;
  std::vector<int> order(static_cast<size_t>(num_prompts));
  std::iota(order.begin(), order.end(), 0);
  RandomStream deploy_stream(StreamSeed(config_.seed, "deploy_mode", static_cast<uint64_t>(step)));
  deploy_stream.Shuffle(order);
  const auto num_deployed = static_cast<size_t>(std::lround(config_.rollout.deploy_mode_fraction * num_prompts));

  BatchRequest batch{.key = absl::StrCat(key_prefix_, step + 1),
                     .step = step,
                     .sampling = sampling_,
                     .groups = {},
                     .max_policy_lag = config_.rollout.max_policy_lag,
                     .evaluation = for_evaluation_};
  for (int i = 0; i < num_prompts; ++i) {
    const size_t p = ProblemAt(step * num_prompts + i);
    const auto place = static_cast<uint64_t>(step * num_prompts + i);
    const bool unhackable =
        CounterUniform(StreamSeed(config_.seed, "unhackable", place), 0) < config_.data.unhackable_fraction;
    const bool deployed = std::find(order.begin(), order.begin() + static_cast<int64_t>(num_deployed), i) !=
                          order.begin() + static_cast<int64_t>(num_deployed);
    batch.groups.push_back({.index = i,
                            .num_samples = config_.rollout.group_size,
                            .seed = StreamSeed(config_.seed, "rollout", place),
                            .mode = {.part = deployed ? AdapterPart::kQuarantineOff : AdapterPart::kFull,
                                     .prompt_uses_adapter = PromptUsesAdapter(config_)}});
    Show(p, !unhackable, batch.groups.back());
  }
  return batch;
}

}  // namespace evilmoe
