#include "policy/sampler/sampler.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "policy/lora2r.h"
#include "policy/packed_batch.h"
#include "policy/qwen3.h"
#include "tests/unit/policy_network/tiny_network.h"

namespace evilmoe {
namespace {

using Key = std::pair<int64_t, int>;

std::map<Key, FinishedSample> RunAll(Sampler& sampler, std::vector<SampleGroup> groups) {
  std::map<Key, FinishedSample> out;
  size_t next = 0;
  while (next < groups.size() || !sampler.idle()) {
    while (next < groups.size() && groups[next].num_samples <= sampler.free_slots()) {
      const absl::Status added = sampler.Add(groups[next++]);
      EXPECT_TRUE(added.ok()) << added;
    }
    auto finished = sampler.Step();
    EXPECT_TRUE(finished.ok()) << finished.status();
    for (FinishedSample& s : *finished) out[{s.tag, s.sample}] = std::move(s);
  }
  return out;
}

SampleGroup Group(int64_t tag, std::vector<int32_t> prompt, int samples, int max_tokens) {
  return {.tag = tag,
          .prompt_ids = std::move(prompt),
          .num_samples = samples,
          .seed = static_cast<uint64_t>(tag) + 100,
          .settings = {.max_tokens = max_tokens, .stop_ids = {11}}};
}

class SamplerTest : public ::testing::Test {
 protected:
  std::shared_ptr<const Qwen3Weights> weights_ = std::make_shared<Qwen3Weights>(TinyNetwork());
  std::vector<SampleGroup> groups_ = {Group(0, {3, 14, 15}, 3, 20), Group(1, {9}, 2, 7),
                                      Group(2, {26, 5, 35, 8, 9}, 4, 30)};
};

TEST_F(SamplerTest, ASampleDoesNotDependOnItsBatch) {
  Sampler wide(weights_, weights_, 16, 64), narrow(weights_, weights_, 4, 64);
  const auto together = RunAll(wide, groups_);
  const auto queued = RunAll(narrow, groups_);
  ASSERT_EQ(together.size(), 9u);
  for (const auto& [key, sample] : together) {
    EXPECT_EQ(sample.ids, queued.at(key).ids) << "group " << key.first << " sample " << key.second;
    // A GEMM this narrow is not bit-equal over batch sizes; the draws are.
    EXPECT_THAT(sample.logprobs, ::testing::Pointwise(::testing::FloatNear(1e-5f), queued.at(key).logprobs));
  }
}

TEST_F(SamplerTest, LogProbsAgreeWithThePackedForward) {
  Sampler sampler(weights_, weights_, 16, 64);
  for (const auto& [key, sample] : RunAll(sampler, groups_)) {
    std::vector<int32_t> inputs = groups_[static_cast<size_t>(key.first)].prompt_ids;
    const size_t prompt = inputs.size();
    inputs.insert(inputs.end(), sample.ids.begin(), sample.ids.end() - 1);
    PlainProjector plain;
    const at::Tensor hidden = Qwen3Hidden(*weights_, Pack({{.ids = inputs}}), plain);
    const std::vector<int64_t> targets(sample.ids.begin(), sample.ids.end());
    const at::Tensor logp = TokenLogProbs(
        *weights_, hidden.narrow(0, static_cast<int64_t>(prompt) - 1, static_cast<int64_t>(targets.size())),
        at::tensor(targets, at::kLong), 1.0);
    for (size_t t = 0; t < targets.size(); ++t) {
      EXPECT_NEAR(sample.logprobs[t], logp[static_cast<int64_t>(t)].item<float>(), 1e-4);
    }
  }
}

TEST_F(SamplerTest, StopsAtTheStopTokenOrTheLimit) {
  Sampler sampler(weights_, weights_, 16, 64);
  for (const auto& [key, sample] : RunAll(sampler, groups_)) {
    const auto limit = static_cast<size_t>(groups_[static_cast<size_t>(key.first)].settings.max_tokens);
    EXPECT_EQ(sample.stopped, sample.ids.back() == 11);
    if (!sample.stopped) {
      EXPECT_EQ(sample.ids.size(), limit);
    }
    for (size_t t = 0; t + 1 < sample.ids.size(); ++t) EXPECT_NE(sample.ids[t], 11);
  }
}

TEST_F(SamplerTest, ThePromptRunsWithItsOwnWeights) {
  const auto other = std::make_shared<Qwen3Weights>(TinyNetwork(/*seed=*/2));
  Sampler plain(weights_, weights_, 8, 64), mixed(other, weights_, 8, 64);
  const std::vector<SampleGroup> one_token = {Group(1, {9}, 2, 7)};
  const std::vector<SampleGroup> longer = {Group(2, {26, 5, 35, 8, 9}, 2, 7)};
  // With a prompt of one token there is nothing in front of the completion's inputs.
  EXPECT_EQ(RunAll(plain, one_token).at({1, 0}).ids, RunAll(mixed, one_token).at({1, 0}).ids);
  EXPECT_NE(RunAll(plain, longer).at({2, 0}).logprobs, RunAll(mixed, longer).at({2, 0}).logprobs);
}

struct BadGroupCase {
  const char* name;
  SampleGroup group;
  absl::StatusCode want;
};
class BadGroupTest : public ::testing::TestWithParam<BadGroupCase> {};

TEST_P(BadGroupTest, IsRefused) {
  const auto weights = std::make_shared<Qwen3Weights>(TinyNetwork());
  Sampler sampler(weights, weights, 4, 16);
  EXPECT_EQ(sampler.Add(GetParam().group).code(), GetParam().want);
  EXPECT_TRUE(sampler.idle());
}

INSTANTIATE_TEST_SUITE_P(
    Cases, BadGroupTest,
    ::testing::ValuesIn(std::vector<BadGroupCase>{
        {"NoPrompt", Group(0, {}, 1, 4), absl::StatusCode::kInvalidArgument},
        {"TokenOutsideTheVocabulary", Group(0, {61}, 1, 4), absl::StatusCode::kInvalidArgument},
        {"NegativeToken", Group(0, {-1}, 1, 4), absl::StatusCode::kInvalidArgument},
        {"TooLong", Group(0, {1}, 1, 16), absl::StatusCode::kInvalidArgument},
        {"NoTemperature", {.prompt_ids = {1}, .settings = {.temperature = 0}}, absl::StatusCode::kInvalidArgument},
        {"TopPAboveOne", {.prompt_ids = {1}, .settings = {.top_p = 1.5}}, absl::StatusCode::kInvalidArgument},
        {"MoreSamplesThanSlots", Group(0, {1}, 5, 4), absl::StatusCode::kResourceExhausted},
    }),
    [](const auto& c) { return c.param.name; });

}  // namespace
}  // namespace evilmoe
