#include "trainer/probe_features.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include "policy/packed_batch.h"
#include "policy/qwen3.h"
#include "tests/unit/policy_network/tiny_network.h"

namespace evilmoe {
namespace {

const std::vector<int32_t> kPromptA = {3, 9, 4, 1}, kPromptB = {7};
const std::vector<int32_t> kResponses[] = {{5, 6, 7}, {8}, {9, 10, 11, 12, 13}, {14, 15}};

// The definition: the sequence alone, the rows that predict the response.
at::Tensor MeanAlone(const Qwen3Weights& base, int layer, const std::vector<int32_t>& prompt,
                     const std::vector<int32_t>& response) {
  const c10::NoGradGuard no_grad;
  std::vector<int32_t> ids = prompt;
  ids.insert(ids.end(), response.begin(), response.end() - 1);
  PlainProjector plain;
  const at::Tensor hidden = Qwen3Hidden(base, Pack({{.ids = ids}}), plain, {.num_layers = layer});
  return hidden.narrow(0, static_cast<int64_t>(prompt.size()) - 1, static_cast<int64_t>(response.size())).mean(0);
}

TEST(ResponseMeans, EqualTheSequencesOneByOne) {
  const Qwen3Weights base = TinyNetwork();
  const std::vector<PromptCompletions> groups = {{&kPromptA, {&kResponses[0], &kResponses[1], &kResponses[2]}},
                                                 {&kPromptB, {&kResponses[3]}}};
  for (const int layer : {1, 2}) {
    const auto means = ResponseMeans(base, layer, groups);
    ASSERT_TRUE(means.ok()) << means.status();
    ASSERT_EQ(means->sizes(), (at::IntArrayRef{4, base.config.hidden_size}));
    for (int i = 0; i < 4; ++i) {
      const at::Tensor want = MeanAlone(base, layer, i < 3 ? kPromptA : kPromptB, kResponses[i]);
      EXPECT_LT(((*means)[i] - want).abs().max().item<double>(), 1e-5 * want.abs().max().item<double>()) << layer;
    }
  }
}

TEST(ResponseMeans, TheLastLayerIsWhatTheFinalNormGets) {
  const c10::NoGradGuard no_grad;
  const Qwen3Weights base = TinyNetwork();
  const PackedBatch batch = Pack({{.ids = kPromptA}});
  PlainProjector plain;
  const at::Tensor stream = Qwen3Hidden(base, batch, plain, {.num_layers = 2});
  const at::Tensor scale = at::rsqrt(stream.square().mean(-1, true) + base.config.rms_norm_eps);
  EXPECT_TRUE(at::allclose(stream * scale * base.final_norm, Qwen3Hidden(base, batch, plain), 1e-5, 1e-6));
}

TEST(ResponseMeans, RefusesALayerThatTheModelLacks) {
  const Qwen3Weights base = TinyNetwork();
  for (const int layer : {0, 3}) {
    EXPECT_EQ(ResponseMeans(base, layer, {{&kPromptA, {&kResponses[0]}}}).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace evilmoe
