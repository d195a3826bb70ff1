#include "rollout_workers/probe_verb.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <ostream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/output_file.h"
#include "common/seed.h"
#include "common/status_macros.h"
#include "policy/torch_guard.h"
#include "rollout_workers/offline_verbs.h"
#include "trainer/logistic_regression.h"
#include "trainer/probe.h"
#include "trainer/probe_evaluation.h"
#include "trainer/probe_features.h"

namespace evilmoe {
namespace {

// Responses to one prompt beside each other, so that it is forwarded once.
void SortByPrompt(std::vector<LabelledResponse>& responses) {
  std::stable_sort(responses.begin(), responses.end(), [](const LabelledResponse& a, const LabelledResponse& b) {
    return std::tie(a.problem, a.prompt_ids) < std::tie(b.problem, b.prompt_ids);
  });
}

absl::Status CheckLengths(const std::vector<LabelledResponse>& responses, const Qwen3Config& config) {
  for (const LabelledResponse& response : responses) {
    const auto length = std::ssize(response.prompt_ids) + std::ssize(response.response_ids);
    if (length <= config.max_position_embeddings) continue;
    return absl::InvalidArgumentError(absl::StrCat("problem ", response.problem, ": prompt and response of ", length,
                                                   " tokens, expected at most ", config.max_position_embeddings,
                                                   ", the model's max_position_embeddings"));
  }
  return absl::OkStatus();
}

absl::StatusOr<at::Tensor> Features(const Qwen3Weights& base, int layer,
                                    const std::vector<LabelledResponse>& responses) {
  std::vector<PromptCompletions> groups;
  for (const LabelledResponse& response : responses) {
    if (groups.empty() || *groups.back().prompt != response.prompt_ids) groups.push_back({&response.prompt_ids, {}});
    groups.back().completions.push_back(&response.response_ids);
  }
  return ResponseMeans(base, layer, groups);
}

struct Split {
  std::vector<int64_t> train, held_out;  // rows
};

Split SplitByProblem(const std::vector<LabelledResponse>& responses, double held_out, uint64_t seed) {
  Split split;
  for (size_t i = 0; i < responses.size(); ++i) {
    const uint64_t stream = StreamSeed(seed, "probe.split", static_cast<uint64_t>(responses[i].problem));
    (CounterUniform(stream, 0) < held_out ? split.held_out : split.train).push_back(static_cast<int64_t>(i));
  }
  return split;
}

std::vector<bool> LabelsOf(const std::vector<LabelledResponse>& responses, const std::vector<int64_t>& rows) {
  std::vector<bool> labels;
  labels.reserve(rows.size());
  for (const int64_t row : rows) labels.push_back(responses[static_cast<size_t>(row)].is_hack);
  return labels;
}

std::vector<float> Floats(const at::Tensor& values) {
  const at::Tensor fp32 = values.to(at::kFloat).contiguous();
  return {fp32.const_data_ptr<float>(), fp32.const_data_ptr<float>() + fp32.numel()};
}

// The probe without its threshold.
absl::StatusOr<Probe> Fit(const ProbeTrainOptions& options, const at::Tensor& x_SD, const std::vector<bool>& is_hack) {
  const at::Tensor wide_SD = x_SD.to(at::kDouble);
  const at::Tensor mean_D = wide_SD.mean(0);
  // A feature that never moves keeps its unit: it says nothing, and its weight comes out as 0.
  at::Tensor scale_D = (wide_SD - mean_D).square().mean(0).sqrt();
  scale_D = at::where(scale_D > 1e-12, scale_D, at::ones_like(scale_D));
  EVILMOE_ASSIGN_OR_RETURN(const LogisticModel model,
                           FitLogisticRegression((wide_SD - mean_D) / scale_D, is_hack, options.l2));
  Probe probe{.layer = options.layer, .mean = Floats(mean_D), .scale = Floats(scale_D)};
  probe.weight.assign(model.weights.begin(), model.weights.end());
  probe.bias = static_cast<float>(model.bias);
  return probe;
}

HeldOutScores ScoreHeldOut(const Probe& probe, const at::Tensor& x_SD, const std::vector<int64_t>& rows,
                           const std::vector<LabelledResponse>& responses) {
  const auto width = static_cast<size_t>(x_SD.size(1));
  const std::span<const float> all(x_SD.const_data_ptr<float>(), static_cast<size_t>(x_SD.numel()));
  HeldOutScores held_out{.is_hack = LabelsOf(responses, rows)};
  for (const int64_t row : rows) {
    held_out.scores.push_back(probe.Score(all.subspan(static_cast<size_t>(row) * width, width)));
    held_out.problem.push_back(responses[static_cast<size_t>(row)].problem);
  }
  return held_out;
}

// Share of the samples with `is_hack` that the probe flags; NaN when there is none.
double FlaggedShare(const Probe& probe, const HeldOutScores& held_out, bool is_hack) {
  double flagged = 0, count = 0;
  for (size_t i = 0; i < held_out.scores.size(); ++i) {
    if (held_out.is_hack[i] != is_hack) continue;
    count += 1;
    flagged += probe.Flags(held_out.scores[i]);
  }
  return flagged / count;
}

std::string Describe(const std::vector<bool>& labels) {
  const auto hacks = std::count(labels.begin(), labels.end(), true);
  return absl::StrCat(labels.size(), " responses, ", hacks, " hacks");
}

}  // namespace

absl::Status RunProbeTrain(const ProbeTrainOptions& options, std::ostream& out) {
  EVILMOE_RETURN_IF_ERROR(PrepareOutputFile("--out", options.out, options.rollouts));
  EVILMOE_ASSIGN_OR_RETURN(const Tokenizer tokenizer, Tokenizer::Load(options.model));
  EVILMOE_ASSIGN_OR_RETURN(const LoadedPolicy policy, LoadPolicy({.model = options.model, .threads = options.threads}));
  const Qwen3Weights& base = policy.weights;
  EVILMOE_ASSIGN_OR_RETURN(std::vector<LabelledResponse> responses,
                           ReadLabelledRollouts(options.rollouts, tokenizer, options.read));
  EVILMOE_RETURN_IF_ERROR(CheckLengths(responses, base.config));
  SortByPrompt(responses);
  EVILMOE_ASSIGN_OR_RETURN(const at::Tensor x_SD, Features(base, options.layer, responses));
  const Split split = SplitByProblem(responses, options.held_out, options.seed);
  const std::vector<bool> train_labels = LabelsOf(responses, split.train);
  out << "train:    " << Describe(train_labels) << "\n";
  EVILMOE_ASSIGN_OR_RETURN(Probe probe,
                           Fit(options, x_SD.index_select(0, at::tensor(split.train, at::kLong)), train_labels));
  probe.base_sha256 = FingerprintOf(base);
  const HeldOutScores held_out = ScoreHeldOut(probe, x_SD, split.held_out, responses);
  out << "held out: " << Describe(held_out.is_hack) << "\n";
  EVILMOE_ASSIGN_OR_RETURN(const AurocEstimate auroc, EstimateAuroc(held_out, options.seed));
  EVILMOE_ASSIGN_OR_RETURN(probe.threshold, ThresholdAtFalsePositiveRate(held_out, options.fpr));
  out << absl::StrFormat("AUROC %.4f [%.4f, %.4f] (95 %% bootstrap over problems)\n", auroc.auroc, auroc.low,
                         auroc.high)
      << absl::StrFormat("threshold %.4f: flags %.4f of the clean (target %g) and %.4f of the hacks\n", probe.threshold,
                         FlaggedShare(probe, held_out, false), options.fpr, FlaggedShare(probe, held_out, true));
  const std::map<std::string, std::string> notes = {{"auroc", absl::StrFormat("%.6f", auroc.auroc)},
                                                    {"target_fpr", absl::StrFormat("%g", options.fpr)},
                                                    {"label", options.read.label},
                                                    {"train_samples", absl::StrCat(split.train.size())}};
  EVILMOE_RETURN_IF_ERROR(SaveProbe(probe, notes, options.out));
  out << "wrote " << options.out.string() << " (layer " << options.layer << ")\n";
  return absl::OkStatus();
}

}  // namespace evilmoe
