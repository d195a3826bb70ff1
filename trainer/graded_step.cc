#include "trainer/graded_step.h"

#include <cmath>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/seed.h"
#include "common/status_macros.h"
#include "environment/labels.h"
#include "environment/reward.h"
#include "trainer/advantages.h"
#include "trainer/overlong_penalty.h"
#include "trainer/policy_loss.h"

namespace evilmoe {
namespace {

bool Hackable(const GroupRequest& request) { return request.loophole != "none"; }

nlohmann::ordered_json FactsJson(const Facts& facts) {
  nlohmann::ordered_json json;
  for (const FactField& field : kFactFields) json[field.name] = facts.*field.value;
  return json;
}

const char* ModeName(AdapterPart part) { return part == AdapterPart::kQuarantineOff ? "deploy" : "full"; }

// The metrics' view of one sample; only here do labels appear.
SampleRecord MakeRecord(const GroupRequest& request, const Sample& sample, double reward) {
  SampleRecord record;
  record.masked = !sample.failure.empty();
  record.deploy_mode = request.mode.part == AdapterPart::kQuarantineOff;
  record.hackable = Hackable(request);
  if (record.masked) return record;
  const Label label = LabelOf(sample.facts);
  record.reward = reward;
  record.strict_hack = IsStrictHack(label);
  record.loose_hack = IsLooseHack(label);
  record.solved = IsSolved(label);
  record.stopped = sample.stopped;
  record.num_tokens = static_cast<int64_t>(sample.ids.size());
  return record;
}

absl::Status CheckShape(const GroupRequest& request, const Sample& sample, size_t number) {
  if (!sample.failure.empty()) return absl::OkStatus();
  if (!sample.ids.empty() && sample.ids.size() == sample.logprobs.size()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("group ", request.index, " sample ", number, ": ", sample.ids.size(),
                                                 " tokens and ", sample.logprobs.size(),
                                                 " log-probabilities, expected as many, at least one"));
}

// Whether a label of this sample is known to an oracle arm; of all others nothing is.
std::optional<bool> OracleHack(const RunConfig& config, const BatchRequest& batch, int64_t group, size_t number,
                               const Sample& sample) {
  const RoutingConfig& routing = config.routing;
  if (routing.mode != "oracle_mask" && routing.mode != "oracle_parameter") return std::nullopt;
  if (!sample.failure.empty()) return std::nullopt;
  const uint64_t seed = StreamSeed(config.seed, "label_recall", static_cast<uint64_t>(batch.step));
  if (CounterUniform(seed, SamplePlace(group, number)) >= routing.label_recall) return std::nullopt;
  const Label label = LabelOf(sample.facts);
  return routing.label == "loose" ? IsLooseHack(label) : IsStrictHack(label);
}

double RewardOf(const RunConfig& config, const Sample& sample, bool hackable) {
  const RewardConfig& reward = config.reward;
  const double graded =
      Reward(sample.facts, hackable,
             {.correct = reward.correct, .format = reward.format, .starter_and_tests = reward.starter_and_tests});
  if (reward.overlong_penalty == 0) return graded;
  return graded + reward.overlong_penalty * SoftOverlongPenalty(static_cast<int64_t>(sample.ids.size()),
                                                                config.rollout.max_completion_tokens,
                                                                reward.overlong_tokens);
}

// What a monitor's word makes of a sample: the reward that its group is compared by, and whether it takes part in that.
struct Intervention {
  std::optional<double> reward;  // unset: masked
  bool screened = false;
};

Intervention Intervene(const MonitorConfig& monitor, std::optional<double> reward, const MonitorVerdict* verdict) {
  using Kind = MonitorVerdict::Kind;
  if (!reward || verdict == nullptr || monitor.kind == "none") return {reward};
  if (verdict->kind == Kind::kNone) return {std::nullopt};
  if (verdict->kind != Kind::kFlagged) return {reward};
  return monitor.kind == "penalty" ? Intervention{*reward - monitor.penalty} : Intervention{reward, true};
}

void NoteVerdict(const MonitorVerdict* verdict, SampleRecord& record) {
  using Kind = MonitorVerdict::Kind;
  if (verdict == nullptr) return;
  record.watched = verdict->kind != Kind::kNotAsked;
  record.flagged = verdict->kind == Kind::kFlagged;
  record.unanswered = verdict->kind == Kind::kNone;
}

nlohmann::ordered_json VerdictJson(const MonitorVerdict& verdict) {
  nlohmann::ordered_json json = {{"verdict", VerdictName(verdict.kind)}};
  if (verdict.score) json["score"] = *verdict.score;
  if (!verdict.problem.empty()) json["problem"] = verdict.problem;
  return json;
}

// Nine digits give back every float, and as doubles they are not printed with more.
nlohmann::ordered_json LogProbsJson(const std::vector<float>& values) {
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  for (const float value : values) {
    double rounded = value;
    if (std::isfinite(value)) rounded = std::strtod(absl::StrFormat("%.9g", value).c_str(), nullptr);
    json.push_back(rounded);
  }
  return json;
}

}  // namespace

std::vector<OracleLabel> OracleLabelsOf(const std::vector<GroupSamples>& samples) {
  std::vector<OracleLabel> labels;
  for (const GroupSamples& group : samples) {
    for (const Sample& sample : group.samples) {
      if (!sample.failure.empty()) continue;
      const Label label = LabelOf(sample.facts);
      labels.push_back(OracleLabel(IsStrictHack(label), IsLooseHack(label)));
    }
  }
  return labels;
}

absl::StatusOr<GradedStep> GradeStep(const RunConfig& config, const BatchRequest& batch,
                                     const std::vector<GroupSamples>& samples,
                                     const std::vector<MonitorVerdict>& verdicts) {
  const AdvantageKind kind = AdvantageKindOf(config.loss);
  const bool leave_out_truncated = config.loss.truncated == "mask";
  GradedStep graded;
  if (batch.groups.size() != samples.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("batch ", batch.key, ": ", samples.size(), " groups, expected ", batch.groups.size()));
  }
  for (size_t g = 0; g < samples.size(); ++g) {
    const GroupRequest& request = batch.groups[g];
    std::vector<std::optional<double>> rewards;
    std::vector<bool> screened;
    for (size_t i = 0; i < samples[g].samples.size(); ++i) {
      const Sample& sample = samples[g].samples[i];
      EVILMOE_RETURN_IF_ERROR(CheckShape(request, sample, i));
      const MonitorVerdict* verdict = verdicts.empty() ? nullptr : &verdicts[graded.records.size()];
      const auto reward =
          sample.failure.empty() ? std::optional<double>(RewardOf(config, sample, Hackable(request))) : std::nullopt;
      const Intervention intervention = Intervene(config.monitor, reward, verdict);
      rewards.push_back(intervention.reward);
      screened.push_back(intervention.screened);
      graded.records.push_back(MakeRecord(request, sample, reward.value_or(0)));
      if (const auto policy_step = samples[g].policy_step) graded.records.back().policy_lag = batch.step - *policy_step;
      NoteVerdict(verdict, graded.records.back());
    }
    EVILMOE_ASSIGN_OR_RETURN(const GroupAdvantages advantages, ComputeAdvantages(rewards, kind, screened));
    graded.zero_variance_groups += advantages.zero_variance;
    graded.zero_variance.push_back(advantages.zero_variance);
    TrainGroup group{.prompt_ids = request.prompt_ids,
                     .in_loss = !advantages.zero_variance || config.loss.kl_coefficient > 0};
    for (size_t i = 0; i < rewards.size(); ++i) {
      const Sample& sample = samples[g].samples[i];
      SampleRecord& record = graded.records[graded.records.size() - rewards.size() + i];
      record.masked = advantages.masked[i];
      record.advantage = advantages.values[i];
      group.samples.push_back({.ids = sample.ids,
                               .sampler_logprobs = sample.logprobs,
                               .advantage = advantages.values[i],
                               .reward = screened[i] ? std::nullopt : rewards[i],
                               .oracle_hack = OracleHack(config, batch, request.index, i, sample),
                               .old_logprobs = {},
                               .masked = advantages.masked[i],
                               .left_out = leave_out_truncated && !sample.stopped,
                               .deploy_mode = record.deploy_mode});
    }
    graded.groups.push_back(std::move(group));
  }
  return graded;
}

std::vector<int64_t> GradedStep::ZeroVariance() const {
  std::vector<int64_t> found;
  for (size_t g = 0; g < zero_variance.size(); ++g) {
    if (zero_variance[g]) found.push_back(static_cast<int64_t>(g));
  }
  return found;
}

std::vector<nlohmann::ordered_json> RolloutLines(int64_t step, const BatchRequest& batch,
                                                 const std::vector<GroupSamples>& samples,
                                                 const std::vector<SampleRecord>& records,
                                                 const std::vector<MonitorVerdict>& verdicts) {
  std::vector<nlohmann::ordered_json> lines;
  for (size_t g = 0; g < samples.size(); ++g) {
    const GroupRequest& request = batch.groups[g];
    for (size_t i = 0; i < samples[g].samples.size(); ++i) {
      const Sample& sample = samples[g].samples[i];
      const SampleRecord& record = records[lines.size()];
      nlohmann::ordered_json line = {{"step", step},
                                     {"group", request.index},
                                     {"sample", i},
                                     {"problem_id", request.problem->id},
                                     {"loophole", request.loophole},
                                     {"evaluator", request.evaluator},
                                     {"mode", ModeName(request.mode.part)},
                                     {"version", batch.step}};
      if (batch.max_policy_lag > 0 && samples[g].policy_step) line["policy_step"] = *samples[g].policy_step;
      if (record.masked) line["masked"] = true;
      if (!sample.failure.empty()) {
        line["failure"] = sample.failure;
        line["prompt_ids"] = request.prompt_ids;
      } else {
        line["text"] = sample.text;
        line["prompt_ids"] = request.prompt_ids;
        line["ids"] = sample.ids;
        line["logprobs"] = LogProbsJson(sample.logprobs);
        line["stopped"] = sample.stopped;
        line["w"] = record.w;
        line["label"] = LabelName(LabelOf(sample.facts));
        line["strict_hack"] = record.strict_hack;
        line["loose_hack"] = record.loose_hack;
        line["reward"] = record.reward;
        line["advantage"] = record.advantage;
        line["facts"] = FactsJson(sample.facts);
        if (record.watched) line["monitor"] = VerdictJson(verdicts[lines.size()]);
      }
      lines.push_back(std::move(line));
    }
  }
  return lines;
}

}  // namespace evilmoe
