#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>

#include "network_fixtures.h"
#include "nlohmann/json.hpp"
#include "policy/packed_batch.h"
#include "policy/qwen3.h"
#include "tests/unit/policy_sampler/sampler_fixtures.h"
#include "policy/token_log_probs.h"

namespace evilmoe {
namespace {

// Against Hugging Face transformers on four tiny random models: scripts/golden/make_qwen3_golden.py.
class Qwen3Golden : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    folder_ = std::string(EVILMOE_SOURCE_DIR) + "/tests/golden/" + GetParam();
    auto weights = LoadQwen3(folder_);
    ASSERT_TRUE(weights.ok()) << weights.status();
    weights_ = std::make_shared<Qwen3Weights>(*std::move(weights));
    golden_ = nlohmann::json::parse(std::ifstream(folder_ + "/golden.json"));
    for (const auto& sequence : golden_["sequences"]) {
      segments_.push_back({.ids = sequence["ids"].get<std::vector<int32_t>>()});
    }
  }

  // Log-probabilities of each sequence's tokens from the second on, all sequences in one pack, one after another.
  at::Tensor LogProbs(const Qwen3Weights& weights) const {
    const PackedBatch batch = Pack(segments_);
    std::vector<int64_t> rows, targets;
    for (size_t s = 0; s < segments_.size(); ++s) {
      for (size_t t = 1; t < segments_[s].ids.size(); ++t) {
        rows.push_back(batch.segment_begin(static_cast<int>(s)) + static_cast<int64_t>(t) - 1);
        targets.push_back(segments_[s].ids[t]);
      }
    }
    PlainProjector plain;
    const at::Tensor hidden = Qwen3Hidden(weights, batch, plain).index_select(0, at::tensor(rows, at::kLong));
    return ScoreTokens(hidden, weights.head, at::tensor(targets, at::kLong), {.chunk_rows = 50}).logp_N;
  }

  at::Tensor WantedLogProbs() const {
    std::vector<double> all;
    for (const auto& sequence : golden_["sequences"]) {
      for (const double logp : sequence["logprobs"]) all.push_back(logp);
    }
    return at::tensor(all, at::kDouble);
  }

  std::string folder_;
  std::shared_ptr<const Qwen3Weights> weights_;
  nlohmann::json golden_;
  std::vector<Segment> segments_;
};

TEST_P(Qwen3Golden, LogProbsOfPackedSequencesAgree) {
  const c10::NoGradGuard no_grad;
  EXPECT_LT(MaxDifference(LogProbs(*weights_), WantedLogProbs()), 1e-4);
}

TEST_P(Qwen3Golden, LogitsOfPackedSequencesAgree) {
  const PackedBatch batch = Pack(segments_);
  PlainProjector plain;
  const at::Tensor logits = at::linear(Qwen3Hidden(*weights_, batch, plain), weights_->head);
  int compared = 0;
  for (size_t s = 0; s < segments_.size(); ++s) {
    if (!golden_["sequences"][s].contains("logits")) continue;
    const auto rows = golden_["sequences"][s]["logits"].get<std::vector<std::vector<float>>>();
    for (size_t t = 0; t < rows.size(); ++t, ++compared) {
      const at::Tensor want = at::tensor(rows[t], at::kFloat);
      const at::Tensor got = logits[batch.segment_begin(static_cast<int>(s)) + static_cast<int64_t>(t)];
      EXPECT_LT(MaxDifference(got, want), 2e-4) << "sequence " << s << " position " << t;
    }
  }
  EXPECT_EQ(compared, 22);
}

// Of −Σ log p, with respect to every weight: norms, and samples of each gradient, to 1e-4 of their size.
TEST_P(Qwen3Golden, GradientsOfEveryWeightAgree) {
  const Qwen3Weights leaves = WithLeaves(*weights_);
  (-LogProbs(leaves).sum()).backward();
  const auto named = leaves.Named();
  ASSERT_EQ(named.size(), golden_["gradients"].size());
  for (const auto& [name, leaf] : named) {
    const auto& want = golden_["gradients"][name];
    const double norm = want["norm"].get<double>();
    EXPECT_NEAR(leaf.grad().norm().item<double>(), norm, 1e-4 * norm) << name;
    const at::Tensor samples = at::tensor(want["samples"].get<std::vector<double>>(), at::kDouble);
    const at::Tensor got = leaf.grad().flatten().slice(0, 0, std::nullopt, want["stride"].get<int64_t>());
    EXPECT_LT(RelativeDifference({got.narrow(0, 0, samples.numel())}, {samples}), 1e-4) << name;
  }
}

TEST_P(Qwen3Golden, GreedyTokensAgree) {
  const auto want = golden_["greedy"]["ids"].get<std::vector<int32_t>>();
  SampleGroup group{.prompt_ids = golden_["greedy"]["prompt"].get<std::vector<int32_t>>()};
  group.settings.temperature = 0;
  group.settings.max_tokens = static_cast<int>(want.size());
  const SampleMap samples = RunAll(*MakeSampler(Packed(*weights_)), {group});
  ASSERT_EQ(samples.size(), 1u);
  const std::vector<int32_t>& got = samples.begin()->second.ids;
  EXPECT_EQ(got, want);
}

INSTANTIATE_TEST_SUITE_P(Models, Qwen3Golden,
                         ::testing::Values("tiny_qwen3_tied", "tiny_qwen3_untied", "tiny_qwen3_tied_bf16",
                                           "tiny_qwen3_untied_bf16"),
                         [](const auto& c) { return std::string(c.param); });

class Qwen3GoldenBf16 : public Qwen3Golden {};

// The criterion: transformers in bf16 is so far from transformers in fp32 on the same weights, on the mean and at most
// over all tokens; this network in bf16 must be at most 1.1 times as far on the mean and 1.5 times at most (seen: 0.98
// and 1.02; the bits of a bf16 product are the processor's).
TEST_P(Qwen3GoldenBf16, LogProbsAreAsCloseToFp32AsTransformersAre) {
  const auto weights = LoadQwen3(folder_, {.dtype = at::kBFloat16});
  ASSERT_TRUE(weights.ok()) << weights.status();
  std::vector<double> theirs_bf16;
  for (const auto& sequence : golden_["bf16_logprobs"]) {
    for (const double logp : sequence) theirs_bf16.push_back(logp);
  }
  const c10::NoGradGuard no_grad;
  const at::Tensor want = WantedLogProbs();
  const at::Tensor theirs = (at::tensor(theirs_bf16, at::kDouble) - want).abs();
  const at::Tensor ours = (LogProbs(*weights).to(at::kDouble) - want).abs();
  RecordProperty("mean_ratio", std::to_string((ours.mean() / theirs.mean()).item<double>()));
  RecordProperty("max_ratio", std::to_string((ours.max() / theirs.max()).item<double>()));
  EXPECT_LE(ours.mean().item<double>(), 1.1 * theirs.mean().item<double>());
  EXPECT_LE(ours.max().item<double>(), 1.5 * theirs.max().item<double>());
  EXPECT_GT(ours.mean().item<double>(), 1e-4) << "this was not bf16";
}

INSTANTIATE_TEST_SUITE_P(Models, Qwen3GoldenBf16, ::testing::Values("tiny_qwen3_tied_bf16", "tiny_qwen3_untied_bf16"),
                         [](const auto& c) { return std::string(c.param); });

}  // namespace
}  // namespace evilmoe
