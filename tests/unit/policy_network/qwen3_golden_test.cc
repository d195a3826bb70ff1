#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <fstream>

#include "nlohmann/json.hpp"
#include "policy/packed_batch.h"
#include "policy/qwen3.h"
#include "policy/sampler/sampler.h"

namespace evilmoe {
namespace {

// Against Hugging Face transformers on two tiny random models: scripts/golden/make_qwen3_golden.py.
class Qwen3Golden : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const std::string folder = std::string(EVILMOE_SOURCE_DIR) + "/tests/golden/" + GetParam();
    auto weights = LoadQwen3(folder);
    ASSERT_TRUE(weights.ok()) << weights.status();
    weights_ = std::make_shared<Qwen3Weights>(*std::move(weights));
    golden_ = nlohmann::json::parse(std::ifstream(folder + "/golden.json"));
  }

  std::shared_ptr<const Qwen3Weights> weights_;
  nlohmann::json golden_;
};

TEST_P(Qwen3Golden, LogitsOfPackedSequencesAgree) {
  std::vector<Segment> segments;
  for (const auto& sequence : golden_["sequences"])
    segments.push_back({.ids = sequence["ids"].get<std::vector<int32_t>>()});
  const PackedBatch batch = Pack(segments);
  PlainProjector plain;
  const at::Tensor logits = at::linear(Qwen3Hidden(*weights_, batch, plain), weights_->head);
  for (size_t s = 0; s < segments.size(); ++s) {
    const auto rows = golden_["sequences"][s]["logits"].get<std::vector<std::vector<float>>>();
    for (size_t t = 0; t < rows.size(); ++t) {
      const at::Tensor want = at::tensor(rows[t], at::kFloat);
      const at::Tensor got = logits[batch.segment_begin(static_cast<int>(s)) + static_cast<int64_t>(t)];
      EXPECT_LT((got - want).abs().max().item<double>(), 2e-4) << "sequence " << s << " position " << t;
    }
  }
}

TEST_P(Qwen3Golden, GreedyTokensAgree) {
  Sampler sampler(weights_, weights_, 4, 128);
  const auto want = golden_["greedy"]["ids"].get<std::vector<int32_t>>();
  SampleGroup group{.prompt_ids = golden_["greedy"]["prompt"].get<std::vector<int32_t>>()};
  group.settings.top_k = 1;
  group.settings.max_tokens = static_cast<int>(want.size());
  ASSERT_TRUE(sampler.Add(group).ok());
  std::vector<int32_t> got;
  while (!sampler.idle()) {
    const auto finished = sampler.Step();
    ASSERT_TRUE(finished.ok()) << finished.status();
    for (const FinishedSample& sample : *finished) got = sample.ids;
  }
  EXPECT_EQ(got, want);
}

INSTANTIATE_TEST_SUITE_P(Models, Qwen3Golden, ::testing::Values("tiny_qwen3_tied", "tiny_qwen3_untied"),
                         [](const auto& c) { return std::string(c.param); });

}  // namespace
}  // namespace evilmoe
