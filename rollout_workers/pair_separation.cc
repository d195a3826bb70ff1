#include "rollout_workers/pair_separation.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "policy/chat_template.h"
#include "policy/lora2r.h"
#include "policy/qwen3_weights.h"
#include "policy/router.h"
#include "policy/torch_guard.h"
#include "trainer/policy_step.h"
#include "trainer/run_config.h"
#include "trainer/step_metrics.h"
#include "trainer/two_expert_adapter.h"

namespace evilmoe {
namespace {

at::Tensor Without(const at::Tensor& rows_PD, int64_t row) {
  return at::cat({rows_PD.narrow(0, 0, row), rows_PD.narrow(0, row + 1, rows_PD.size(0) - row - 1)});
}

at::Tensor Cosine(const at::Tensor& rows_PD, const at::Tensor& u_D) {
  return at::cosine_similarity(rows_PD, u_D.unsqueeze(0), /*dim=*/1);
}

HeldOutPair Judge(const Router& router, const at::Tensor& hack_1D, const at::Tensor& clean_1D) {
  return {.cos_hack = Cosine(hack_1D, router.u()).item<double>(),
          .cos_clean = Cosine(clean_1D, router.u()).item<double>(),
          .w_hack = router.Weights(hack_1D).item<double>(),
          .w_clean = router.Weights(clean_1D).item<double>()};
}

void Summarise(PairSeparation& result) {
  std::vector<double> scores;
  std::vector<bool> is_hack;
  for (const HeldOutPair& pair : result.held_out) {
    scores.insert(scores.end(), {pair.cos_hack, pair.cos_clean});
    is_hack.insert(is_hack.end(), {true, false});
    result.ordered += pair.cos_hack > pair.cos_clean ? 1 : 0;
  }
  result.ordered /= static_cast<double>(result.held_out.size());
  result.auroc = Auroc(scores, is_hack).value_or(0.5);
}

absl::Status CheckIds(const std::vector<PairIds>& pairs, const Qwen3Config& config) {
  for (size_t i = 0; i < pairs.size(); ++i) {
    const PairIds& pair = pairs[i];
    const size_t longest = pair.prompt_ids.size() + std::max(pair.hack_ids.size(), pair.clean_ids.size());
    if (static_cast<int64_t>(longest) > config.max_position_embeddings) {
      return absl::InvalidArgumentError(absl::StrCat("pair ", i + 1, ": ", longest,
                                                     " tokens, expected at most the model's ",
                                                     config.max_position_embeddings, " positions"));
    }
    for (const std::vector<int32_t>* ids : {&pair.prompt_ids, &pair.hack_ids, &pair.clean_ids}) {
      if (*std::ranges::max_element(*ids) < config.vocab_size) continue;
      return absl::InvalidArgumentError(absl::StrCat("pair ", i + 1, ": a token beyond the model's ", config.vocab_size,
                                                     ", expected the model's own tokenizer"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<PairSeparation> SeparatePairs(const at::Tensor& hack_PD, const at::Tensor& clean_PD, int64_t rank,
                                             double separation) {
  const c10::NoGradGuard no_grad;
  const RouterOptions options{.separation = separation};
  EVILMOE_ASSIGN_OR_RETURN(const Router all, Router::Seed(hack_PD, clean_PD, rank, options));
  const int64_t num_pairs = hack_PD.size(0);
  if (num_pairs < 2) return absl::InvalidArgumentError("pairs: one, expected at least two to hold one out");
  PairSeparation result;
  for (int64_t p = 0; p < num_pairs; ++p) {
    const absl::StatusOr<Router> others = Router::Seed(Without(hack_PD, p), Without(clean_PD, p), rank, options);
    if (!others.ok()) return Annotate(others.status(), absl::StrCat("without pair ", p + 1));
    result.held_out.push_back(Judge(*others, hack_PD.narrow(0, p, 1), clean_PD.narrow(0, p, 1)));
  }
  Summarise(result);
  result.gap = (Cosine(hack_PD, all.u()).mean() - Cosine(clean_PD, all.u()).mean()).item<double>();
  result.scale = all.log_scale().exp().item<double>();
  result.bias = all.bias().item<double>();
  return result;
}

absl::StatusOr<std::vector<PairIds>> TokenisePairs(std::span<const ContrastivePair> pairs, const Tokenizer& tokenizer,
                                                   bool thinking) {
  const std::optional<int32_t> end_of_turn = tokenizer.IdOf("<|im_end|>");
  const auto side = [&](const std::string& text) -> absl::StatusOr<std::vector<int32_t>> {
    EVILMOE_ASSIGN_OR_RETURN(std::vector<int32_t> ids, tokenizer.Encode(text));
    if (end_of_turn) ids.push_back(*end_of_turn);
    return ids;
  };
  std::vector<PairIds> out;
  for (const ContrastivePair& pair : pairs) {
    EVILMOE_ASSIGN_OR_RETURN(const std::string prompt, RenderChat(pair.prompt, {.thinking = thinking}));
    PairIds ids;
    EVILMOE_ASSIGN_OR_RETURN(ids.prompt_ids, tokenizer.Encode(prompt));
    EVILMOE_ASSIGN_OR_RETURN(ids.hack_ids, side(pair.hack));
    EVILMOE_ASSIGN_OR_RETURN(ids.clean_ids, side(pair.clean));
    out.push_back(std::move(ids));
  }
  return out;
}

absl::StatusOr<std::vector<PairSeparation>> MeasureSeparation(const SeparationOptions& options,
                                                              const std::vector<PairIds>& pairs) {
  at::set_num_threads(options.threads);
  EVILMOE_ASSIGN_OR_RETURN(const Qwen3Weights base, LoadQwen3(options.model));
  EVILMOE_RETURN_IF_ERROR(CheckIds(pairs, base.config));
  const RunConfig config;
  std::vector<PairSeparation> results;
  for (int s = 0; s < options.num_seeds; ++s) {
    const Lora2rOptions adapter_options{
        .rank = options.rank, .seed = options.seed + static_cast<uint64_t>(s), .targets = config.adapter.targets};
    EVILMOE_ASSIGN_OR_RETURN(const Lora2r adapter, Lora2r::Init(base.config, adapter_options));
    SingleRank alone;
    const TwoExpertAdapter trained(adapter);
    const PolicyStep step(config, base, trained, pairs, /*threads=*/1, alone);
    EVILMOE_ASSIGN_OR_RETURN(const PairFeatures features, step.ReadPairs(RolloutFeatures::kActivations));
    absl::StatusOr<PairSeparation> result = absl::InternalError("separation: not measured");
    EVILMOE_RETURN_IF_ERROR(TorchGuard("separation", [&] {
                              result = SeparatePairs(features.hack, features.clean, options.rank, options.separation);
                              return true;
                            }).status());
    if (!result.ok()) return Annotate(result.status(), absl::StrCat("adapter of seed ", adapter_options.seed));
    results.push_back(*std::move(result));
  }
  return results;
}

}  // namespace evilmoe
