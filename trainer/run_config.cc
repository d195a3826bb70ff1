#include "trainer/run_config.h"

#include <algorithm>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/yaml_reader.h"
#include "common/yaml_writer.h"
#include "environment/loophole.h"
#include "trainer/arm_presets.h"

// Each config struct has one template that lists its fields. It serves the parser, Validate() (the same reader over an
// empty document) and ToYaml() (YamlWriter has the reader's face), so that a field and its range stand in one place.

namespace evilmoe {
namespace {

using PathKind = std::filesystem::file_type;
constexpr int kMaxPolicyLag = 64;

// Where relative paths start; unset: paths stay as they are and the disk is left alone.
struct PathRules {
  std::optional<std::filesystem::path> base;
};

template <typename Section>
auto PathField(Section s, std::string_view name, std::filesystem::path* value, const PathRules& rules, PathKind kind) {
  auto field = s.Field(name, value);
  if (!rules.base || value->empty()) return field;
  *value = (*rules.base / *value).lexically_normal();
  std::error_code ignored;
  const bool exists = std::filesystem::status(*value, ignored).type() == kind;
  field.Check(exists, kind == PathKind::directory ? "a folder that exists" : "a file that exists");
  return field;
}

template <typename Section>
void ModelFields(Section s, ModelConfig* c, const PathRules& rules) {
  PathField(s, "path", &c->path, rules, PathKind::directory)
      .Required("the folder with config.json, tokenizer.json and *.safetensors");
  s.Field("dtype", &c->dtype).OneOf({"float32", "bfloat16"});
  s.Field("thinking", &c->thinking);
}

bool AreTargets(const std::vector<std::string>& targets) {
  static const std::set<std::string> known = {"q_proj",    "k_proj",  "v_proj",   "o_proj",
                                              "gate_proj", "up_proj", "down_proj"};
  const std::set<std::string> named(targets.begin(), targets.end());
  return named.size() == targets.size() && std::includes(known.begin(), known.end(), named.begin(), named.end());
}

template <typename Section>
void AdapterFields(Section s, AdapterConfig* c) {
  s.Field("rank", &c->rank).Range(1, 1024);
  s.Field("init", &c->init).OneOf({"random_ab", "zero_b"});
  s.Field("scope", &c->scope).OneOf({"completion", "all"});
  s.Field("alpha", &c->alpha).Above(0);
  s.Field("targets", &c->targets)
      .Required("the modules to adapt")
      .Check(AreTargets(c->targets),
             "each of q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj at most once");
}

bool AreQuantiles(const std::vector<double>& q) { return q.size() == 2 && 0 <= q[0] && q[0] <= q[1] && q[1] <= 1; }

template <typename Section>
void RoutingFields(Section s, RoutingConfig* c) {
  s.Field("mode", &c->mode)
      .OneOf({"learned", "none", "fixed_activation", "fixed_gradient", "oracle_mask", "oracle_parameter", "per_token"});
  s.Field("window", &c->window).Range(1, 1 << 20);
  s.Field("half_life", &c->half_life).Above(0);
  s.Field("quantiles", &c->quantiles).Check(AreQuantiles(c->quantiles), "two numbers in [0, 1], the lower one first");
  s.Field("label", &c->label).OneOf({"strict", "loose"});
  s.Field("label_recall", &c->label_recall).Range(0, 1);
  s.Field("experts", &c->experts).Range(1, 256);
  s.Field("top_k", &c->top_k).Check(c->top_k >= 1 && c->top_k <= c->experts, "[1, routing.experts]");
  s.Field("balance_weight", &c->balance_weight).Min(0);
}

template <typename Section>
void RouterFields(Section s, RouterConfig* c) {
  s.Field("direction", &c->direction).OneOf({"pairs", "random", "none"});
  s.Field("pin_weight", &c->pin_weight).Min(0);
  s.Field("learning_rate", &c->learning_rate).Above(0);
  s.Field("scale_learning_rate", &c->scale_learning_rate).Above(0);
  s.Field("separation", &c->separation).Above(0);
  s.Field("hard_detach_above", &c->hard_detach_above).Above(0).Check(c->hard_detach_above < 1.0, "less than 1");
  s.Field("refresh_v_act_every", &c->refresh_v_act_every).Min(0);
}

bool HavePositiveWeights(const std::vector<std::pair<std::string, double>>& loopholes) {
  return std::all_of(loopholes.begin(), loopholes.end(), [](const auto& entry) { return entry.second > 0; });
}

// What to write in place of the first name that is no loophole's; "" when all are known.
std::string KnownLoopholes(const std::vector<std::pair<std::string, double>>& loopholes) {
  std::vector<std::string> names;
  for (const Loophole& loophole : Loopholes()) names.emplace_back(loophole.name);
  for (const auto& [name, weight] : loopholes) {
    if (FindLoophole(name) != nullptr) continue;
    const std::string nearest = NearestName(name, names);
    if (!nearest.empty()) return absl::StrCat(nearest, " in place of ", name);
    return absl::StrCat("names out of ", absl::StrJoin(names, ", "));
  }
  return "";
}

template <typename Section>
void DataFields(Section s, DataConfig* c, const PathRules& rules) {
  PathField(s, "train", &c->train, rules, PathKind::regular).Required("the problem file to train on");
  auto loopholes = s.Field("loopholes", &c->loopholes);
  const std::string known = KnownLoopholes(c->loopholes);
  loopholes.Required("loophole: weight")
      .Check(known.empty(), known)
      .Check(HavePositiveWeights(c->loopholes), "weights above 0");
  s.Field("unhackable_fraction", &c->unhackable_fraction).Range(0, 1);
}

template <typename Section>
void RolloutFields(Section s, RolloutConfig* c) {
  s.Field("prompts_per_step", &c->prompts_per_step).Range(1, 4096);
  s.Field("group_size", &c->group_size).Range(2, 1024);
  s.Field("max_prompt_tokens", &c->max_prompt_tokens).Min(1);
  s.Field("max_completion_tokens", &c->max_completion_tokens).Min(1);
  s.Field("temperature", &c->temperature).Above(0);
  s.Field("top_p", &c->top_p).Above(0).Check(c->top_p <= 1, "at most 1");
  s.Field("top_k", &c->top_k).Min(0);
  s.Field("deploy_mode_fraction", &c->deploy_mode_fraction).Range(0, 1);
  s.Field("deploy_mode_by", &c->deploy_mode_by).OneOf({"prompt"}, {"sample"});
  s.Field("max_policy_lag", &c->max_policy_lag).Range(0, kMaxPolicyLag);
  s.Field("colocate", &c->colocate).OneOf({"auto"});
}

template <typename Section>
void RewardFields(Section s, RewardConfig* c, int max_completion_tokens) {
  s.Field("correct", &c->correct);
  s.Field("format", &c->format);
  s.Field("starter_and_tests", &c->starter_and_tests);
  s.Field("overlong_penalty", &c->overlong_penalty).Min(0);
  auto buffer = s.Field("overlong_tokens", &c->overlong_tokens);
  if (c->overlong_penalty > 0) {
    buffer.Check(c->overlong_tokens >= 1 && c->overlong_tokens <= max_completion_tokens,
                 "[1, rollout.max_completion_tokens] for an overlong_penalty");
  } else {
    buffer.Min(0);
  }
}

// A folder that need not exist yet.
template <typename Section>
void FolderToMake(Section s, std::string_view name, std::filesystem::path* value, const PathRules& rules) {
  s.Field(name, value);
  if (rules.base && !value->empty()) *value = (*rules.base / *value).lexically_normal();
}

template <typename Section>
void JudgeFields(Section s, JudgeConfig* c, const PathRules& rules, bool used) {
  auto endpoint = s.Field("endpoint", &c->endpoint);
  if (used) endpoint.Required("the address of a chat endpoint, http://host:port/v1");
  const bool is_url = absl::StartsWith(c->endpoint, "http://") || absl::StartsWith(c->endpoint, "https://");
  endpoint.Check(c->endpoint.empty() || is_url, "http://... or https://...");
  auto model = s.Field("model", &c->model);
  if (used) model.Required("the model's name at the endpoint");
  PathField(s, "prompt", &c->prompt, rules, PathKind::regular);
  s.Field("api_key_env", &c->api_key_env);
  s.Field("timeout_s", &c->timeout_s).Above(0).Check(c->timeout_s <= 3600, "at most 3600");
  s.Field("retries", &c->retries).Range(0, 20);
  s.Field("max_concurrent", &c->max_concurrent).Range(1, 256);
  s.Field("max_tokens", &c->max_tokens).Min(1);
  FolderToMake(s, "cache", &c->cache, rules);
}

template <typename Section>
void MonitorFields(Section s, MonitorConfig* c, const PathRules& rules) {
  s.Field("kind", &c->kind).OneOf({"none", "penalty", "screening"});
  s.Field("by", &c->by).OneOf({"ground_truth", "probe", "judge"});
  s.Field("label", &c->label).OneOf({"strict", "loose"});
  s.Field("accuracy", &c->accuracy).Range(0, 1);
  s.Field("penalty", &c->penalty).Above(0);
  const bool used = c->kind != "none";
  auto probe = PathField(s, "probe", &c->probe, rules, PathKind::regular);
  if (used && c->by == "probe") probe.Required("the file that `evilmoe-ctl probe train` wrote");
  JudgeFields(s.Section("judge"), &c->judge, rules, used && c->by == "judge");
}

template <typename Section>
void LossFields(Section s, LossConfig* c, int prompts_per_step) {
  s.Field("advantage", &c->advantage).OneOf({"group_normalised", "mean_centred", "leave_one_out"});
  s.Field("deployed_advantage", &c->deployed_advantage)
      .OneOf({"same", "split"})
      .Check(c->deployed_advantage == "same" || c->advantage != "leave_one_out",
             "same, or another loss.advantage than leave_one_out");
  s.Field("reduction", &c->reduction).OneOf({"sequence_mean", "token_mean", "constant"});
  s.Field("clip_low", &c->clip_low).Min(0).Check(c->clip_low < 1, "less than 1");
  s.Field("clip_high", &c->clip_high).Min(0);
  s.Field("dual_clip", &c->dual_clip).Above(1);
  s.Field("kl_coefficient", &c->kl_coefficient).Min(0);
  s.Field("kl_estimator", &c->kl_estimator).OneOf({"k1", "k2", "k3"});
  s.Field("old_logprob", &c->old_logprob).OneOf({"same_forward", "sampler"});
  s.Field("is_cap", &c->is_cap).Min(1);
  s.Field("sequence_mask_above", &c->sequence_mask_above).Above(1);
  s.Field("truncated", &c->truncated).OneOf({"keep", "mask"});
  s.Field("minibatches", &c->minibatches)
      .Check(c->minibatches >= 1 && c->minibatches <= prompts_per_step, "[1, rollout.prompts_per_step]");
  s.Field("inner_steps", &c->inner_steps).Range(1, 64);
  s.Field("zero_variance", &c->zero_variance).OneOf({"skip", "resample"});
  s.Field("resample_rounds", &c->resample_rounds).Range(1, 64);
}

bool AreBetas(const std::vector<double>& betas) {
  return betas.size() == 2 && std::all_of(betas.begin(), betas.end(), [](double b) { return b >= 0 && b < 1; });
}

template <typename Section>
void OptimizerFields(Section s, OptimizerConfig* c) {
  s.Field("learning_rate", &c->learning_rate).Above(0);
  s.Field("warmup_steps", &c->warmup_steps).Min(0);
  s.Field("schedule", &c->schedule).OneOf({"cosine", "constant", "linear"});
  s.Field("betas", &c->betas).Check(AreBetas(c->betas), "two numbers, each at least 0 and less than 1");
  s.Field("decay_to_init", &c->decay_to_init).Min(0);
  s.Field("max_grad_norm", &c->max_grad_norm).Above(0);
  s.Field("max_bad_steps", &c->max_bad_steps).Min(1);
}

template <typename Section>
void EvaluationFields(Section s, EvaluationConfig* c, const PathRules& rules) {
  PathField(s, "problems", &c->problems, rules, PathKind::regular);
  s.Field("every", &c->every).Min(0);
  s.Field("samples", &c->samples).Min(1);
  s.Field("max_problems", &c->max_problems).Min(0);
  s.Field("at_end", &c->at_end);
  s.Field("temperature", &c->temperature).Min(0);
  s.Field("top_p", &c->top_p).Range(0, 1);
  s.Field("random_half_seeds", &c->random_half_seeds).Min(1);
  if (c->every > 0 && c->problems.empty()) {
    s.Problem("every", absl::StrCat("no problems to evaluate on, got ", c->every,
                                    " and no evaluation.problems, expected a problem file or every: 0"));
  }
}

template <typename Section>
void CheckpointFields(Section s, CheckpointConfig* c) {
  s.Field("every", &c->every).Min(1);
  s.Field("keep", &c->keep).Min(1);
}

bool IsRunName(const std::string& name) {
  const auto is_alnum = [](char ch) { return absl::ascii_islower(ch) || absl::ascii_isdigit(ch); };
  return !name.empty() && name.size() <= 63 && is_alnum(name[0]) && std::all_of(name.begin(), name.end(), [&](char ch) {
    return is_alnum(ch) || ch == '.' || ch == '_' || ch == '-';
  });
}

template <typename Section>
void ArmField(Section s, std::string* arm) {
  std::vector<std::string> names;
  for (const ArmPreset& preset : ArmPresets()) names.emplace_back(preset.name);
  s.Field("arm", arm).OneOf(names);
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
  s.Field("name", &c->name).Check(IsRunName(c->name), "1 to 63 of a-z 0-9 . _ -, the first a letter or digit");
  ArmField(s, &c->arm);
  s.Field("seed", &c->seed);
  s.Field("steps", &c->steps).Min(1);
  PathField(s, "pairs", &c->pairs, rules, PathKind::regular);
  s.Field("system_prompt", &c->system_prompt);
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
  PerTokenProblems(s, *c);
  PolicyLagProblems(s, *c);
  if (NeedsPairs(*c) && c->pairs.empty()) {
    s.Problem("pairs", absl::StrCat("missing, expected the file of contrastive pairs that routing.mode ",
                                    c->routing.mode, " needs"));
  }
}

}  // namespace

bool IsRouted(const RunConfig& config) { return config.routing.mode != "none" && HasQuarantine(config); }

bool HasQuarantine(const RunConfig& config) { return config.routing.mode != "per_token"; }

bool NeedsPairs(const RunConfig& config) {
  const std::string& mode = config.routing.mode;
  const bool fixed = mode == "fixed_activation" || mode == "fixed_gradient";
  return mode == "learned" || (fixed && config.router.direction == "pairs");
}

absl::Status RunConfig::Validate() const {
  YamlReader nothing("", "");
  RunConfig copy = *this;
  RunFields(nothing.Root(), &copy, {});
  return nothing.Finish();
}

absl::StatusOr<RunConfig> ParseRunConfig(std::string_view yaml, const std::string& file_name,
                                         const std::filesystem::path& base_folder,
                                         const std::vector<Override>& overrides) {
  YamlReader reader(yaml, file_name);
  for (const auto& [path, value] : overrides) reader.Override(path, value, "--set");
  RunConfig config;
  // Known before the fields are read, since the arm decides what lies under them.
  config.arm = reader.Peek("arm").value_or(config.arm);
  if (const ArmPreset* arm = FindArm(config.arm)) {
    for (const auto& [path, value] : arm->fields) reader.Default(path, value, "arm");
  }
  std::error_code error;
  const std::filesystem::path base = std::filesystem::absolute(base_folder, error);
  if (error) return absl::InvalidArgumentError(absl::StrCat(base_folder.string(), ": ", error.message()));
  RunFields(reader.Root(), &config, {base});
  if (absl::Status status = reader.Finish(); !status.ok()) return status;
  return config;
}

std::string ToYaml(const RunConfig& config) {
  std::string text;
  RunConfig copy = config;
  RunFields(YamlWriter(text), &copy, {});
  return text;
}

}  // namespace evilmoe
