#pragma once

#include <algorithm>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/yaml_field.h"
#include "trainer/arm_presets.h"
#include "trainer/run_config.h"
#include "trainer/run_file.h"

// The fields of run.yaml: one template a section lists them with default (the struct's), range and a line of
// documentation. It serves the parser, Validate() (the same reader over an empty document), ToYaml() (YamlWriter has
// the reader's face), and JSON Schema and reference (YamlDescriber has it too), so that a field stands in one place.
// For run_config.cc and run_schema.cc alone.

namespace evilmoe::run_fields {

using PathKind = std::filesystem::file_type;
inline constexpr int kMaxPolicyLag = 64;

// Where relative paths start; unset: paths stay as they are and the disk is left alone. What is not there goes to
// `missing`; null: it is a problem of the file.
struct PathRules {
  std::optional<std::filesystem::path> base;
  std::vector<MissingFile>* missing = nullptr;
};

// A list with one value of a set, as keywords of JSON Schema.
std::string EachOnceSchema(const std::vector<std::string>& names);
// What a name of a run is, and the modules that an adapter may have.
bool IsRunName(const std::string& name);
const std::vector<std::string>& TargetNames();
bool AreTargets(const std::vector<std::string>& targets);
bool AreQuantiles(const std::vector<double>& quantiles);
bool AreBetas(const std::vector<double>& betas);
// What to write in place of the first name that is no loophole's; "" when all are known.
std::string KnownLoopholes(const std::vector<std::pair<std::string, double>>& loopholes);
bool HavePositiveWeights(const std::vector<std::pair<std::string, double>>& loopholes);
std::string LoopholesSchema();
std::vector<std::string> ArmNames();

// Makes `value` absolute; its file or folder must exist.
template <typename Section>
auto PathField(Section s, std::string_view name, std::filesystem::path* value, const PathRules& rules, PathKind kind) {
  auto field = s.Field(name, value);
  if (!rules.base || value->empty()) return field;
  *value = (*rules.base / *value).lexically_normal();
  std::error_code ignored;
  const PathKind found = std::filesystem::status(*value, ignored).type();
  if (found == kind) return field;
  const bool is_folder = kind == PathKind::directory;
  if (rules.missing != nullptr) {
    rules.missing->push_back({std::string(field.path()), *value, is_folder});
  } else if (found == PathKind::not_found || found == PathKind::none) {
    field.Refuse(is_folder ? "no such folder" : "no such file", "a path from the run file's folder");
  } else {
    field.Refuse(is_folder ? "not a folder" : "not a file", is_folder ? "a folder" : "a file");
  }
  return field;
}

// A folder that need not exist yet.
template <typename Section>
auto FolderToMake(Section s, std::string_view name, std::filesystem::path* value, const PathRules& rules) {
  auto field = s.Field(name, value);
  if (rules.base && !value->empty()) *value = (*rules.base / *value).lexically_normal();
  return field;
}

template <typename Section>
void ModelFields(Section s, ModelConfig* c, const PathRules& rules) {
  s.Doc("The base model, which never changes.");
  PathField(s, "path", &c->path, rules, PathKind::directory)
      .Required("the folder with config.json, tokenizer.json and *.safetensors")
      .Doc("Folder of a Qwen3 with config.json, tokenizer.json and *.safetensors.");
  s.Field("dtype", &c->dtype)
      .OneOf({"float32", "bfloat16"})
      .Doc("Of the base's weights. Adapters are fp32 and are computed beside it in fp32.");
  s.Field("thinking", &c->thinking).Doc("Whether the chat template lets the model think first.");
}

template <typename Section>
void AdapterFields(Section s, AdapterConfig* c) {
  s.Doc("The two low-rank blocks of every adapted layer: deployed and quarantined.");
  s.Field("rank", &c->rank).Range(1, 1024).Doc("Of one block.");
  s.Field("init", &c->init)
      .OneOf({"random_ab", "zero_b"})
      .Doc("`random_ab`: A and B are drawn and their product at the start is subtracted; `zero_b`: B starts at 0.");
  s.Field("scope", &c->scope)
      .OneOf({"completion", "all"})
      .Doc("Where w and the quarantine act; `all`: on the prompt too, which costs a prompt pass a sample.");
  s.Field("alpha", &c->alpha).Above(0).Doc("Scales the product by alpha / rank; null: no scaling.");
  s.Field("targets", &c->targets)
      .Required("the modules to adapt")
      .Check(AreTargets(c->targets), absl::StrCat("each of ", absl::StrJoin(TargetNames(), ", "), " at most once"),
             EachOnceSchema(TargetNames()))
      .Doc("The linear maps of a layer that are adapted.");
}

template <typename Section>
void RoutingFields(Section s, RoutingConfig* c) {
  s.Doc("How rollouts are shared between the two blocks; the arm sets the mode (docs/arms.md).");
  s.Field("mode", &c->mode)
      .OneOf({"learned", "none", "fixed_activation", "fixed_gradient", "oracle_mask", "oracle_parameter", "per_token"})
      .Doc("What decides a rollout's w.");
  s.Field("window", &c->window).Range(1, 1 << 20).Doc("Fixed modes: scores of the last so many rollouts.");
  s.Field("half_life", &c->half_life).Above(0).Doc("Fixed modes: rollouts after which a score counts half.");
  s.Field("quantiles", &c->quantiles)
      .Check(AreQuantiles(c->quantiles), "two numbers in [0, 1], the lower one first",
             R"({"minItems": 2, "maxItems": 2, "items": {"minimum": 0, "maximum": 1}})")
      .Doc(
          "Fixed modes: scores at or below the first train the deployed block alone, at or above the second the "
          "other.");
  s.Field("label", &c->label).OneOf({"strict", "loose"}).Doc("Oracle modes: which hacks the label knows.");
  s.Field("label_recall", &c->label_recall)
      .Range(0, 1)
      .Doc("Oracle modes: chance that a rollout's label is known; without one it trains both blocks.");
  s.Field("experts", &c->experts).Range(1, 256).Doc("`per_token`: experts of a layer, each of adapter.rank.");
  s.Field("top_k", &c->top_k)
      .Check(c->top_k >= 1 && c->top_k <= c->experts, "[1, routing.experts]", R"({"minimum": 1})")
      .Doc("`per_token`: experts that a token goes to.");
  s.Field("balance_weight", &c->balance_weight).Min(0).Doc("`per_token`: of the load-balance loss.");
}

template <typename Section>
void RouterFields(Section s, RouterConfig* c) {
  s.Doc("The learned router: w = σ(s · cos(h, u) + b) of each rollout.");
  s.Field("direction", &c->direction)
      .OneOf({"pairs", "random", "none"})
      .Doc("Where u begins: at the pairs' direction, at a random one, or random and without the pin.");
  s.Field("pin_weight", &c->pin_weight).Min(0).Doc("Of the pin loss, which holds the router to the pairs.");
  s.Field("learning_rate", &c->learning_rate).Above(0).Doc("Of u.");
  s.Field("scale_learning_rate", &c->scale_learning_rate).Above(0).Doc("Of log s and b.");
  s.Field("separation", &c->separation)
      .Above(0)
      .Doc("How far apart in logit the pairs' means begin: at w = σ(± separation / 2).");
  s.Field("hard_detach_above", &c->hard_detach_above)
      .Above(0)
      .Below(1)
      .Doc("The deployed block learns nothing from a rollout with w above it; null: it always learns (1 − w).");
  s.Field("refresh_v_act_every", &c->refresh_v_act_every)
      .Min(0)
      .Doc("Fixed modes: steps after which the pairs' direction is read again; 0: never.");
}

template <typename Section>
void DataFields(Section s, DataConfig* c, const PathRules& rules) {
  s.Doc("The problems to train on, and the loopholes that their prompts show.");
  PathField(s, "train", &c->train, rules, PathKind::regular)
      .Required("the problem file to train on")
      .Doc("Problem file (JSON lines), as `evilmoe-ctl dataset` writes it.");
  auto loopholes = s.Field("loopholes", &c->loopholes);
  const std::string known = KnownLoopholes(c->loopholes);
  loopholes.Required("loophole: weight")
      .Check(known.empty(), known, LoopholesSchema())
      .Check(HavePositiveWeights(c->loopholes), "weights above 0")
      .Doc("Each loophole's share; one loophole a problem (docs/environment.md has them).");
  s.Field("unhackable_fraction", &c->unhackable_fraction).Range(0, 1).Doc("Of the prompts, shown without a loophole.");
}

template <typename Section>
void RolloutFields(Section s, RolloutConfig* c) {
  s.Doc("What is sampled in a step, and how.");
  s.Field("prompts_per_step", &c->prompts_per_step).Range(1, 4096).Doc("Groups of a step.");
  s.Field("group_size", &c->group_size).Range(2, 1024).Doc("Samples of a prompt.");
  s.Field("max_prompt_tokens", &c->max_prompt_tokens).Min(1).Doc("Problems with a longer prompt are left out.");
  s.Field("max_completion_tokens", &c->max_completion_tokens).Min(1).Doc("Where a completion is cut.");
  s.Field("temperature", &c->temperature).Above(0).Doc("Of sampling and of the loss's log-probabilities.");
  s.Field("top_p", &c->top_p).Above(0).Max(1).Doc("The smallest set of tokens with this probability is drawn from.");
  s.Field("top_k", &c->top_k).Min(0).Doc("The likeliest so many tokens are drawn from; 0: all.");
  s.Field("deploy_mode_fraction", &c->deploy_mode_fraction)
      .Range(0, 1)
      .Doc("Of the prompts, sampled with the quarantine off.");
  s.Field("deploy_mode_by", &c->deploy_mode_by).OneOf({"prompt"}, {"sample"}).Doc("What the fraction is of.");
  s.Field("max_policy_lag", &c->max_policy_lag)
      .Range(0, kMaxPolicyLag)
      .Doc("Steps that a sample's policy may be behind; 0: on-policy, more needs loss.old_logprob: sampler.");
  s.Field("colocate", &c->colocate).OneOf({"auto"}).Doc("Whether sampler and trainer share a process.");
}

template <typename Section>
void RewardFields(Section s, RewardConfig* c, int max_completion_tokens) {
  s.Doc("What an answer is worth (docs/environment.md).");
  s.Field("correct", &c->correct).Doc("Solved or, where the prompt shows a loophole, hacked.");
  s.Field("format", &c->format).Doc("Has code that compiles.");
  s.Field("starter_and_tests", &c->starter_and_tests).Doc("Has the prompt's test function and a class Solution.");
  s.Field("overlong_penalty", &c->overlong_penalty).Min(0).Doc("The most that a long completion loses.");
  auto buffer = s.Field("overlong_tokens", &c->overlong_tokens);
  if (c->overlong_penalty > 0) {
    buffer.Check(c->overlong_tokens >= 1 && c->overlong_tokens <= max_completion_tokens,
                 "[1, rollout.max_completion_tokens] for an overlong_penalty");
  } else {
    buffer.Min(0);
  }
  buffer.Doc("The last so many tokens before max_completion_tokens cost it, linearly; at least 1 for a penalty.");
}

template <typename Section>
void JudgeFields(Section s, JudgeConfig* c, const PathRules& rules, bool used) {
  s.Doc("An OpenAI-compatible chat endpoint that reads responses.");
  auto endpoint = s.Field("endpoint", &c->endpoint);
  if (used) endpoint.Required("the address of a chat endpoint, http://host:port/v1");
  const bool is_url = absl::StartsWith(c->endpoint, "http://") || absl::StartsWith(c->endpoint, "https://");
  endpoint.Check(c->endpoint.empty() || is_url, "http://... or https://...", R"re({"pattern": "^(https?://.*)?$"})re")
      .Doc("As http://host:port/v1; `/chat/completions` is added.");
  auto model = s.Field("model", &c->model);
  if (used) model.Required("the model's name at the endpoint");
  model.Doc("As the endpoint names it.");
  PathField(s, "prompt", &c->prompt, rules, PathKind::regular).Doc("File with the instructions; none: built in.");
  s.Field("api_key_env", &c->api_key_env).Doc("Environment variable of the trainer with the key; none: none is sent.");
  s.Field("timeout_s", &c->timeout_s).Above(0).Max(3600).Doc("Seconds of one request.");
  s.Field("retries", &c->retries).Range(0, 20).Doc("After the first attempt.");
  s.Field("max_concurrent", &c->max_concurrent).Range(1, 256).Doc("Requests at a time.");
  s.Field("max_tokens", &c->max_tokens).Min(1).Doc("Of a reply.");
  FolderToMake(s, "cache", &c->cache, rules).Doc("Folder of verdicts by content; none: `judge_cache` of the run.");
}

template <typename Section>
void MonitorFields(Section s, MonitorConfig* c, const PathRules& rules) {
  s.Doc("Who looks at samples before they train, and what comes of a flag (trainer/README.md).");
  s.Field("kind", &c->kind)
      .OneOf({"none", "penalty", "screening"})
      .Doc("`penalty`: a flagged sample loses reward; `screening`: it is left out of the loss.");
  s.Field("by", &c->by).OneOf({"ground_truth", "probe", "judge"}).Doc("Who flags.");
  s.Field("label", &c->label).OneOf({"strict", "loose"}).Doc("`ground_truth`: which hacks.");
  s.Field("accuracy", &c->accuracy).Range(0, 1).Doc("`ground_truth`: chance that its word is the label.");
  s.Field("penalty", &c->penalty).Above(0).Doc("Taken off the reward of a flagged sample.");
  const bool used = c->kind != "none";
  auto probe = PathField(s, "probe", &c->probe, rules, PathKind::regular);
  if (used && c->by == "probe") probe.Required("the file that `evilmoe-ctl probe train` wrote");
  probe.Doc("`probe`: the file of `evilmoe-ctl probe train`.");
  JudgeFields(s.Section("judge"), &c->judge, rules, used && c->by == "judge");
}

template <typename Section>
void LossFields(Section s, LossConfig* c, int prompts_per_step) {
  s.Doc("GRPO and its variants (trainer/README.md).");
  s.Field("advantage", &c->advantage)
      .OneOf({"group_normalised", "mean_centred", "leave_one_out"})
      .Doc("What a reward is compared with: the group's mean and deviation, its mean, or the mean of the others.");
  s.Field("deployed_advantage", &c->deployed_advantage)
      .OneOf({"same", "split"})
      .Check(c->deployed_advantage == "same" || c->advantage != "leave_one_out",
             "same, or another loss.advantage than leave_one_out")
      .Doc("`split`: the deployed block learns by statistics of the group in which a rollout counts 1 − w.");
  s.Field("reduction", &c->reduction)
      .OneOf({"sequence_mean", "token_mean", "constant"})
      .Doc("Mean over a sample's tokens and then samples, over all tokens, or by the most tokens there can be.");
  s.Field("clip_low", &c->clip_low).Min(0).Below(1).Doc("The ratio's range begins at 1 − clip_low.");
  s.Field("clip_high", &c->clip_high).Min(0).Doc("It ends at 1 + clip_high.");
  s.Field("dual_clip", &c->dual_clip)
      .Above(1)
      .Doc("No token of a negative advantage counts more than so many times; null: no bound.");
  s.Field("kl_coefficient", &c->kl_coefficient).Min(0).Doc("Of the KL term against the base model.");
  s.Field("kl_estimator", &c->kl_estimator).OneOf({"k1", "k2", "k3"}).Doc("Of that term.");
  s.Field("old_logprob", &c->old_logprob)
      .OneOf({"same_forward", "sampler"})
      .Doc("What the ratio is to: the pass itself (the ratio is 1), or what was recorded while sampling.");
  s.Field("is_cap", &c->is_cap).Min(1).Doc("`sampler`: ratios above it count as it.");
  s.Field("sequence_mask_above", &c->sequence_mask_above)
      .Above(1)
      .Doc("A sample whose mean ratio or its inverse is more has no policy term; null: none is masked.");
  s.Field("truncated", &c->truncated)
      .OneOf({"keep", "mask"})
      .Doc("Whether completions cut at max_completion_tokens train.");
  s.Field("minibatches", &c->minibatches)
      .Check(c->minibatches >= 1 && c->minibatches <= prompts_per_step, "[1, rollout.prompts_per_step]",
             R"({"minimum": 1})")
      .Doc("Optimizer steps in one pass over a batch.");
  s.Field("inner_steps", &c->inner_steps).Range(1, 64).Doc("Passes over a batch.");
  s.Field("zero_variance", &c->zero_variance)
      .OneOf({"skip", "resample"})
      .Doc("What comes of groups whose rewards are all equal.");
  s.Field("resample_rounds", &c->resample_rounds)
      .Range(1, 64)
      .Doc("`resample`: draws of other prompts in place of such groups.");
}

template <typename Section>
void OptimizerFields(Section s, OptimizerConfig* c) {
  s.Doc("AdamW of the adapter; the router's rates are its own.");
  s.Field("learning_rate", &c->learning_rate).Above(0).Doc("After the warm-up.");
  s.Field("warmup_steps", &c->warmup_steps).Min(0).Doc("Steps in which the rate rises from 0.");
  s.Field("schedule", &c->schedule).OneOf({"cosine", "constant", "linear"}).Doc("Of the rate after the warm-up.");
  s.Field("betas", &c->betas)
      .Check(AreBetas(c->betas), "two numbers, each at least 0 and less than 1",
             R"({"minItems": 2, "maxItems": 2, "items": {"minimum": 0, "exclusiveMaximum": 1}})")
      .Doc("AdamW's.");
  s.Field("decay_to_init", &c->decay_to_init).Min(0).Doc("Weight decay, towards the values at the start.");
  s.Field("max_grad_norm", &c->max_grad_norm).Above(0).Doc("Of the adapter; the router's gradient is not clipped.");
  s.Field("max_bad_steps", &c->max_bad_steps)
      .Min(1)
      .Doc("Steps in a row without a finite loss and gradient that end the run.");
}

template <typename Section>
void EvaluationFields(Section s, EvaluationConfig* c, const PathRules& rules) {
  s.Doc("The causal ablation on held-out problems.");
  PathField(s, "problems", &c->problems, rules, PathKind::regular).Doc("Held-out problem file; none: no evaluation.");
  s.Field("every", &c->every).Min(0).Doc("Steps between evaluations; 0: none during training.");
  s.Field("samples", &c->samples).Min(1).Doc("Of a problem, in each mode.");
  s.Field("max_problems", &c->max_problems).Min(0).Doc("The first so many; 0: all.");
  s.Field("at_end", &c->at_end).Doc("Whether the ablation follows the last step.");
  s.Field("temperature", &c->temperature).Min(0).Doc("0: as rollout.temperature.");
  s.Field("top_p", &c->top_p).Range(0, 1).Doc("0: as rollout.top_p.");
  s.Field("random_half_seeds", &c->random_half_seeds).Min(1).Doc("Random halves of the adapter that OFF is beside.");
  if (c->every > 0 && c->problems.empty()) {
    s.Problem("every", absl::StrCat("no problems to evaluate on, got ", c->every,
                                    " and no evaluation.problems, expected a problem file or every: 0"));
  }
}

template <typename Section>
void CheckpointFields(Section s, CheckpointConfig* c) {
  s.Doc("What a run goes on from after a fault.");
  s.Field("every", &c->every).Min(1).Doc("Steps between checkpoints.");
  s.Field("keep", &c->keep).Min(1).Doc("The newest so many stay.");
}

template <typename Section>
void TraceFields(Section s, TraceConfig* c) {
  s.Doc("Which spans trace.json has: each group of a step from its lease to the training step (docs/metrics.md).");
  s.Field("every", &c->every).Min(0).Doc("Steps between traced ones; 0: none is.");
  s.Field("max_mib", &c->max_mib).Range(1, 1024).Doc("Of the file; what comes later is left out.");
}

// Per-token experts have no quarantine, and act on the MLP.
template <typename Section>
void PerTokenProblems(Section s, const RunConfig& c) {
  if (HasQuarantine(c)) return;
  if (c.rollout.deploy_mode_fraction != 0) {
    s.Section("rollout").Problem("deploy_mode_fraction",
                                 absl::StrCat("no quarantine to sample without in routing.mode per_token, got ",
                                              c.rollout.deploy_mode_fraction, ", expected 0"));
  }
  if (c.loss.deployed_advantage != "same") {
    s.Section("loss").Problem("deployed_advantage",
                              absl::StrCat("no two experts to part in routing.mode per_token, got ",
                                           ShowYamlValue(c.loss.deployed_advantage), ", expected same"));
  }
  const auto of_mlp = [](const std::string& name) {
    return name == "gate_proj" || name == "up_proj" || name == "down_proj";
  };
  if (std::none_of(c.adapter.targets.begin(), c.adapter.targets.end(), of_mlp)) {
    s.Section("adapter").Problem(
        "targets",
        absl::StrCat("nothing for the experts of routing.mode per_token, got [", absl::StrJoin(c.adapter.targets, ", "),
                     "], expected one of gate_proj, up_proj, down_proj among them"));
  }
}

// same_forward takes the policy as it is trained for the one that sampled, which a lag makes untrue.
template <typename Section>
void PolicyLagProblems(Section s, const RunConfig& c) {
  const int lag = c.rollout.max_policy_lag;
  if (lag < 1 || lag > kMaxPolicyLag || c.loss.old_logprob == "sampler") return;
  s.Section("rollout").Problem(
      "max_policy_lag",
      absl::StrCat("samples of older policies need their sampler's log-probabilities, got ", lag,
                   " with loss.old_logprob ", c.loss.old_logprob, ", expected loss.old_logprob: sampler, or no lag"));
}

template <typename Section>
void RunFields(Section s, RunConfig* c, const PathRules& rules) {
  s.Doc("One run of Evil MoE. Paths are relative to the file.");
  s.Field("name", &c->name)
      .Check(IsRunName(c->name), "1 to 63 of a-z 0-9 . _ -, the first a letter or digit",
             R"({"pattern": "^[a-z0-9][a-z0-9._-]{0,62}$"})")
      .Doc("What lists and reports call the run.");
  s.Field("arm", &c->arm)
      .OneOf(ArmNames())
      .Doc("A preset of fields (docs/arms.md); a field that the file sets lies over it.");
  s.Field("seed", &c->seed).Doc("Of every draw in the run.");
  s.Field("steps", &c->steps).Min(1).Doc("Of training.");
  PathField(s, "pairs", &c->pairs, rules, PathKind::regular)
      .Doc("File of contrastive pairs, which seed and pin the router; arms that read none need none.");
  s.Field("system_prompt", &c->system_prompt)
      .Doc("Inoculation: added to the system message of training prompts, never of evaluation.");
  ModelFields(s.Section("model"), &c->model, rules);
  AdapterFields(s.Section("adapter"), &c->adapter);
  RoutingFields(s.Section("routing"), &c->routing);
  RouterFields(s.Section("router"), &c->router);
  DataFields(s.Section("data"), &c->data, rules);
  RolloutFields(s.Section("rollout"), &c->rollout);
  RewardFields(s.Section("reward"), &c->reward, c->rollout.max_completion_tokens);
  MonitorFields(s.Section("monitor"), &c->monitor, rules);
  LossFields(s.Section("loss"), &c->loss, c->rollout.prompts_per_step);
  OptimizerFields(s.Section("optimizer"), &c->optimizer);
  EvaluationFields(s.Section("evaluation"), &c->evaluation, rules);
  CheckpointFields(s.Section("checkpoint"), &c->checkpoint);
  TraceFields(s.Section("trace"), &c->trace);
  PerTokenProblems(s, *c);
  PolicyLagProblems(s, *c);
  if (NeedsPairs(*c) && c->pairs.empty()) {
    s.Problem("pairs", absl::StrCat("missing, expected the file of contrastive pairs that routing.mode ",
                                    c->routing.mode, " needs"));
  }
}

}  // namespace evilmoe::run_fields
