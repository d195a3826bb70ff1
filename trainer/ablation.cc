#include "trainer/ablation.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "common/seed.h"
#include "common/status_macros.h"
#include "environment/labels.h"
#include "environment/partition.h"
#include "environment/problem_place.h"
#include "trainer/prompt_source.h"

namespace evilmoe {
namespace {

std::vector<Problem> FirstOnes(std::vector<Problem> problems, int max_problems) {
  if (max_problems > 0 && problems.size() > static_cast<size_t>(max_problems)) {
    problems.resize(static_cast<size_t>(max_problems));
  }
  return problems;
}

// Shares of the samples that were not lost; NaN when all were.
void AddProblem(const GroupSamples& group, AblationRow& row) {
  double kept = 0, strict = 0, loose = 0, solved = 0;
  for (const Sample& sample : group.samples) {
    if (!sample.failure.empty()) continue;
    const Label label = LabelOf(sample.facts);
    kept += 1;
    strict += IsStrictHack(label);
    loose += IsLooseHack(label);
    solved += IsSolved(label);
  }
  const double scale = kept > 0 ? 1 / kept : std::numeric_limits<double>::quiet_NaN();
  row.strict.push_back(strict * scale);
  row.loose.push_back(loose * scale);
  row.solved.push_back(solved * scale);
}

}  // namespace

Ablation::Ablation(const RunConfig& config, const Tokenizer& tokenizer, std::vector<Problem> problems)
    : config_(config),
      tokenizer_(tokenizer),
      problems_(FirstOnes(std::move(problems), config.evaluation.max_problems)) {}

std::vector<Ablation::Mode> Ablation::Modes() const {
  const bool whole_prompt = PromptUsesAdapter(config_);
  if (!HasQuarantine(config_)) {
    return {{"on", {.part = AdapterPart::kFull, .prompt_uses_adapter = true}}, {"base", {.part = AdapterPart::kBase}}};
  }
  std::vector<Mode> modes = {{"on", {.part = AdapterPart::kFull, .prompt_uses_adapter = whole_prompt}},
                             {"off", {.part = AdapterPart::kQuarantineOff, .prompt_uses_adapter = whole_prompt}}};
  for (int i = 0; i < config_.evaluation.random_half_seeds; ++i) {
    // The projector acts on the prompt and the completion alike: it has no quarantine to keep off the prompt.
    const AdapterMode half{.part = AdapterPart::kRandomHalf,
                           .projector_seed = StreamSeed(config_.seed, "random_half", static_cast<uint64_t>(i)),
                           .prompt_uses_adapter = true};
    modes.push_back({"random_half", half});
    if (i > 0) continue;
    AdapterMode doubled = half;
    doubled.strength = 2.0f;
    modes.push_back({"random_half_doubled", doubled});
  }
  modes.push_back({"deployed_off", {.part = AdapterPart::kDeployedOff, .prompt_uses_adapter = whole_prompt}});
  modes.push_back({"base", {.part = AdapterPart::kBase}});
  return modes;
}

absl::StatusOr<AblationRow> Ablation::RunMode(const Mode& mode, MarkerFamily markers, const std::string& key,
                                              int64_t step, Rollouts& rollouts) const {
  const std::string family = markers == MarkerFamily::kTraining ? "trained" : "novel";
  BatchRequest batch{.key = key, .step = step, .evaluation = true};
  EVILMOE_ASSIGN_OR_RETURN(batch.sampling, SamplingOf(config_, tokenizer_));
  if (config_.evaluation.temperature > 0) batch.sampling.temperature = config_.evaluation.temperature;
  if (config_.evaluation.top_p > 0) batch.sampling.top_p = config_.evaluation.top_p;
  EVILMOE_ASSIGN_OR_RETURN(const std::vector<std::string> loopholes,
                           PartitionLoopholes(problems_, config_.data.loopholes, config_.seed));
  for (size_t i = 0; i < problems_.size(); ++i) {
    const Problem& problem = problems_[i];
    absl::StatusOr<PromptIds> rendered =
        RenderPromptIds(problem, loopholes[i], markers, config_.seed, config_.model.thinking, tokenizer_);
    if (!rendered.ok()) return Annotate(rendered.status(), PlaceOfProblem(config_.evaluation.problems, problem.id));
    PromptIds& prompt = *rendered;
    if (prompt.ids.size() > static_cast<size_t>(config_.rollout.max_prompt_tokens)) continue;
    const auto index = static_cast<int64_t>(batch.groups.size());
    // One seed a problem for every mode: what differs between modes is the weights alone.
    batch.groups.push_back({.index = index,
                            .problem = &problem,
                            .loophole = std::move(prompt.loophole),
                            .evaluator = std::move(prompt.evaluator),
                            .markers = std::move(prompt.markers),
                            .prompt_tests = std::move(prompt.prompt_tests),
                            .prompt_ids = std::move(prompt.ids),
                            .num_samples = config_.evaluation.samples,
                            .seed = StreamSeed(config_.seed, "evaluation", static_cast<uint64_t>(problem.id)),
                            .mode = mode.mode});
  }
  if (batch.groups.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(config_.evaluation.problems.string(), ": no problem to evaluate on"));
  }
  EVILMOE_ASSIGN_OR_RETURN(const std::vector<GroupSamples> groups, rollouts.Run(batch));
  AblationRow row{.mode = mode.name, .markers = family};
  for (const GroupSamples& group : groups) AddProblem(group, row);
  const bool any = std::any_of(row.strict.begin(), row.strict.end(), [](double share) { return !std::isnan(share); });
  if (!any)
    return absl::UnavailableError(absl::StrCat("ablation ", mode.name, ": every sample was lost; nothing to report"));
  return row;
}

absl::StatusOr<nlohmann::ordered_json> Ablation::Run(const std::string& key, int64_t step, Rollouts& rollouts,
                                                     const std::function<void(const ModeDone&)>& report) const {
  const std::vector<Mode> modes = Modes();
  std::vector<AblationRow> rows;
  const int total = 2 * static_cast<int>(modes.size());
  for (const MarkerFamily markers : {MarkerFamily::kTraining, MarkerFamily::kEvaluation}) {
    for (const Mode& mode : modes) {
      const std::string batch_key = absl::StrCat("ablation/", key, "/", rows.size());
      EVILMOE_ASSIGN_OR_RETURN(AblationRow row, RunMode(mode, markers, batch_key, step, rollouts));
      rows.push_back(std::move(row));
      report({rows.back().mode, rows.back().markers, static_cast<int>(rows.size()), total});
    }
  }
  nlohmann::ordered_json table = AblationTable(rows, config_.seed);
  table["step"] = step;
  table["samples"] = config_.evaluation.samples;
  table["temperature"] =
      config_.evaluation.temperature > 0 ? config_.evaluation.temperature : config_.rollout.temperature;
  table["arm"] = config_.arm;
  return table;
}

}  // namespace evilmoe
