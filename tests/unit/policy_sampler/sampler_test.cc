#include "policy/sampler/sampler.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "policy/lora2r.h"
#include "policy/sampler/reference_sampler.h"
#include "tests/unit/policy_network/tiny_network.h"
#include "tests/unit/policy_sampler/sampler_fixtures.h"

namespace evilmoe {
namespace {

using ::testing::FloatNear;
using ::testing::HasSubstr;
using ::testing::Pointwise;

SampleGroup Group(int64_t tag, std::vector<int32_t> prompt, int samples, int max_tokens) {
  return {.tag = tag,
          .prompt_ids = std::move(prompt),
          .num_samples = samples,
          .seed = static_cast<uint64_t>(tag) + 100,
          .settings = {.max_tokens = max_tokens, .stop_ids = {11}}};
}

// Prompts of many lengths (one token, a block's edge, several blocks), few samples and many.
std::vector<SampleGroup> MixedGroups() {
  std::vector<SampleGroup> groups;
  for (const int length : {1, 2, 5, 16, 17, 18, 33, 40}) {
    std::vector<int32_t> prompt;
    for (int t = 0; t < length; ++t) prompt.push_back((7 * t + 3 * length) % 61);
    groups.push_back(Group(length, std::move(prompt), 10 + length % 4, 10 + length));
  }
  return groups;
}

void ExpectSameBits(const SampleMap& got, const SampleMap& want) {
  ASSERT_EQ(got.size(), want.size());
  for (const auto& [key, sample] : want) {
    const FinishedSample& other = got.at(key);
    EXPECT_EQ(other.ids, sample.ids) << "group " << key.first << " sample " << key.second;
    EXPECT_EQ(other.logprobs, sample.logprobs);
    EXPECT_EQ(other.logprobs_t1, sample.logprobs_t1);
    EXPECT_EQ(other.logprobs_truncated, sample.logprobs_truncated);
    EXPECT_EQ(other.stopped, sample.stopped);
  }
}

class SamplerTest : public ::testing::Test {
 protected:
  const Qwen3Weights weights_ = TinyNetwork();
  const std::shared_ptr<const PackedModel> model_ = Packed(weights_);
};

// 88 samples over 64 slots against one at a time: with refills, at any width, thread count and budget, the same bits.
TEST_F(SamplerTest, ASampleDoesNotDependOnItsBatch) {
  const SampleMap together = RunAll(*MakeSampler(model_, {.max_running = 64}), MixedGroups());
  ASSERT_EQ(together.size(), 88u);
  ExpectSameBits(RunAll(*MakeSampler(model_, {.max_running = 1}), MixedGroups()), together);
  ExpectSameBits(RunAll(*MakeSampler(model_, {.max_running = 7}), MixedGroups()), together);
  ExpectSameBits(RunAll(*MakeSampler(model_, {.max_running = 64, .threads = 2}), MixedGroups()), together);
  ExpectSameBits(RunAll(*MakeSampler(model_, {.max_running = 64}, Pool(*model_, 9)), MixedGroups()), together);
}

TEST_F(SamplerTest, ASampleDoesNotDependOnItsGroupsSize) {
  SampleGroup group = MixedGroups().back();
  group.num_samples = 1;
  const SampleMap alone = RunAll(*MakeSampler(model_), {group});
  group.num_samples = 20;
  const SampleMap many = RunAll(*MakeSampler(model_), {group});
  EXPECT_EQ(many.at({40, 0}).ids, alone.at({40, 0}).ids);
  EXPECT_EQ(many.at({40, 0}).logprobs, alone.at({40, 0}).logprobs);
}

struct ReferenceCase {
  const char* name;
  SamplingSettings settings;
};
class SamplerReferenceTest : public ::testing::TestWithParam<ReferenceCase> {};

TEST_P(SamplerReferenceTest, AgreesWithThePlainDefinition) {
  const Qwen3Weights weights = TinyNetwork();
  std::vector<SampleGroup> groups = MixedGroups();
  for (SampleGroup& group : groups) {
    group.settings = GetParam().settings;
    group.settings.max_tokens = 12;
  }
  const SampleMap fast = RunAll(*MakeSampler(Packed(weights)), groups);
  for (const SampleGroup& group : groups) {
    const auto reference = SampleReference(weights, nullptr, group);
    ASSERT_TRUE(reference.ok()) << reference.status();
    for (const FinishedSample& want : *reference) {
      const FinishedSample& got = fast.at({want.tag, want.sample});
      EXPECT_EQ(got.ids, want.ids);
      EXPECT_THAT(got.logprobs, Pointwise(FloatNear(1e-4f), want.logprobs));
      EXPECT_THAT(got.logprobs_t1, Pointwise(FloatNear(1e-4f), want.logprobs_t1));
      EXPECT_THAT(got.logprobs_truncated, Pointwise(FloatNear(1e-4f), want.logprobs_truncated));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Settings, SamplerReferenceTest,
                         ::testing::ValuesIn(std::vector<ReferenceCase>{
                             {"Plain", {}},
                             {"Cold", {.temperature = 0.7}},
                             {"Greedy", {.temperature = 0}},
                             {"TopP", {.temperature = 0.9, .top_p = 0.8}},
                             {"TopK", {.top_k = 5}},
                             {"MinP", {.min_p = 0.2}},
                             {"AllCuts", {.temperature = 1.3, .top_p = 0.9, .top_k = 12, .min_p = 0.05}},
                         }),
                         [](const auto& c) { return c.param.name; });

// The three distributions differ where they should: tempered from temperature 1, truncated from untruncated.
TEST_F(SamplerTest, LogProbsOfTheThreeDistributionsAreTheirOwn) {
  SampleGroup group = Group(0, {3, 14, 15}, 4, 20);
  group.settings = {.temperature = 0.6, .top_k = 3, .max_tokens = 20};
  for (const auto& [key, sample] : RunAll(*MakeSampler(model_), {group})) {
    for (size_t t = 0; t < sample.ids.size(); ++t) {
      EXPECT_GT(sample.logprobs_truncated[t], sample.logprobs[t]);
      EXPECT_NE(sample.logprobs[t], sample.logprobs_t1[t]);
      EXPECT_LE(sample.logprobs_truncated[t], 0);
    }
  }
}

// An adapter whose experts have moved.
Lora2r MovedAdapter(const Qwen3Config& config, bool random_ab, bool all_targets) {
  Lora2rOptions options = TinyAdapterOptions(random_ab);
  options.scale = 1.5;
  if (!all_targets) options.targets = {"k_proj", "down_proj"};
  Lora2r adapter = *Lora2r::Init(config, options);
  const c10::NoGradGuard no_grad;
  uint64_t seed = 40;
  for (const AdapterModule& m : adapter.modules()) {
    at::Tensor(m.a).add_(NormalTensor(seed++, m.a.size(0), m.a.size(1), 0.1));
    at::Tensor(m.b).add_(NormalTensor(seed++, m.b.size(0), m.b.size(1), 0.1));
  }
  return adapter;
}

struct AdapterCase {
  const char* name;
  bool random_ab;
  bool all_targets;
};
class SamplerAdapterTest : public ::testing::TestWithParam<AdapterCase> {
 protected:
  const Qwen3Weights weights_ = TinyNetwork();
  const Lora2r adapter_ = MovedAdapter(weights_.config, GetParam().random_ab, GetParam().all_targets);
  const std::shared_ptr<const PackedModel> base_ = Packed(weights_);
  const std::shared_ptr<const PackedModel> unmerged_ = *PackedModel::WithAdapter(*base_, adapter_);
};

TEST_P(SamplerAdapterTest, EachSequenceMayHaveItsOwnW) {
  std::vector<SampleGroup> groups = MixedGroups();
  const std::vector<double> ws = {0, 1, 0.37, 0.9};
  for (size_t g = 0; g < groups.size(); ++g) {
    groups[g].completion_w = ws[g % ws.size()];
    groups[g].prompt_w = g % 2 == 0 ? 0 : groups[g].completion_w;  // both scopes
    groups[g].settings.max_tokens = 10;
  }
  const SampleMap mixed = RunAll(*MakeSampler(unmerged_), groups);
  for (const SampleGroup& group : groups) {
    const auto reference = SampleReference(weights_, &adapter_, group);
    ASSERT_TRUE(reference.ok()) << reference.status();
    for (const FinishedSample& want : *reference) {
      const FinishedSample& got = mixed.at({want.tag, want.sample});
      EXPECT_EQ(got.ids, want.ids) << "w " << group.completion_w;
      EXPECT_THAT(got.logprobs, Pointwise(FloatNear(1e-4f), want.logprobs));
    }
  }
  std::vector<SampleGroup> reversed(groups.rbegin(), groups.rend());
  ExpectSameBits(RunAll(*MakeSampler(unmerged_, {.max_running = 3}), reversed), mixed);
}

TEST_P(SamplerAdapterTest, MergedWeightsSampleAsTheAdapterBesideThem) {
  for (const AdapterPart part : {AdapterPart::kFull, AdapterPart::kQuarantineOff}) {
    std::vector<SampleGroup> groups = MixedGroups();
    for (SampleGroup& group : groups) group.completion_w = part == AdapterPart::kFull ? 1 : 0;
    const auto prompt =
        *PackedModel::WithLinears(*base_, Merge(weights_, adapter_, {.part = AdapterPart::kQuarantineOff}));
    const auto completion = *PackedModel::WithLinears(*base_, Merge(weights_, adapter_, {.part = part}));
    const auto merged = *Sampler::Create({prompt, completion}, Pool(*base_), {});
    const SampleMap want = RunAll(*MakeSampler(unmerged_), groups);
    for (const auto& [key, sample] : RunAll(*merged, groups)) {
      EXPECT_EQ(sample.ids, want.at(key).ids);
      EXPECT_THAT(sample.logprobs, Pointwise(FloatNear(1e-4f), want.at(key).logprobs));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Adapters, SamplerAdapterTest,
                         ::testing::ValuesIn(std::vector<AdapterCase>{{"RandomInit", true, true},
                                                                      {"ZeroInit", false, true},
                                                                      {"TwoTargets", true, false}}),
                         [](const auto& c) { return c.param.name; });

TEST_F(SamplerTest, StopsAtTheStopTokenOrTheLimit) {
  for (const auto& [key, sample] : RunAll(*MakeSampler(model_), MixedGroups())) {
    EXPECT_EQ(sample.stopped, sample.ids.back() == 11);
    if (!sample.stopped) {
      EXPECT_EQ(sample.ids.size(), static_cast<size_t>(10 + key.first));
    }
    for (size_t t = 0; t + 1 < sample.ids.size(); ++t) EXPECT_NE(sample.ids[t], 11);
  }
}

TEST_F(SamplerTest, ThePromptRunsWithItsOwnWeights) {
  const auto other = Packed(TinyNetwork(/*seed=*/2));
  const auto mixed = *Sampler::Create({other, model_}, Pool(*model_), {});
  const std::vector<SampleGroup> one_token = {Group(1, {9}, 2, 7)};
  const std::vector<SampleGroup> longer = {Group(2, {26, 5, 35, 8, 9}, 2, 7)};
  // With a prompt of one token there is nothing in front of the completion's inputs.
  EXPECT_EQ(RunAll(*MakeSampler(model_), one_token).at({1, 0}).ids, RunAll(*mixed, one_token).at({1, 0}).ids);
  EXPECT_NE(RunAll(*MakeSampler(model_), longer).at({2, 0}).logprobs, RunAll(*mixed, longer).at({2, 0}).logprobs);
}

// Prompt of 17 (one block for its 16 cached positions) and 20 tokens (two blocks a sample): 5 blocks hold two samples.
TEST_F(SamplerTest, SamplesWaitForMemoryAndNeverPassTheBudget) {
  const std::shared_ptr<KvPool> pool = Pool(*model_, /*blocks=*/5);
  const auto sampler = MakeSampler(model_, {.max_running = 64}, pool);
  SampleGroup group = MixedGroups()[4];
  ASSERT_EQ(group.prompt_ids.size(), 17u);
  group.num_samples = 7;
  group.settings = {.max_tokens = 20};
  ASSERT_TRUE(sampler->Add(group).ok());
  EXPECT_EQ(sampler->num_waiting(), 7);
  int most = 0;
  size_t num_finished = 0;
  while (!sampler->idle()) {
    auto finished = sampler->Step();
    ASSERT_TRUE(finished.ok()) << finished.status();
    num_finished += finished->size();
    most = std::max(most, sampler->num_running());
    EXPECT_LE(pool->num_reserved(), 5);
  }
  EXPECT_EQ(num_finished, 7u);
  EXPECT_EQ(most, 2);
  EXPECT_EQ(pool->num_reserved(), 0);
}

TEST_F(SamplerTest, APromptIsForwardedOnceForItsGroup) {
  const auto sampler = MakeSampler(model_);
  RunAll(*sampler, {Group(1, {5, 6, 7, 8}, 5, 4), Group(2, {5}, 3, 4), Group(3, {9, 10}, 1, 4)});
  const PrefixUse use = sampler->TakePrefixUse();
  EXPECT_EQ(use.needed, 5 * 3 + 1);  // the last token of a prompt is each sample's own
  EXPECT_EQ(use.found, 4 * 3);
  EXPECT_EQ(sampler->TakePrefixUse().needed, 0);
}

// Two samplers on one cache that each could fill it: neither waits for the other for ever.
TEST_F(SamplerTest, SamplersThatShareACacheBothEnd) {
  const std::shared_ptr<KvPool> pool = Pool(*model_, /*blocks=*/4);
  const auto first = MakeSampler(model_, {}, pool), second = MakeSampler(model_, {}, pool);
  SampleGroup group = MixedGroups()[4];
  group.num_samples = 3;
  ASSERT_TRUE(first->Add(group).ok());
  ASSERT_TRUE(second->Add(group).ok());
  size_t num_finished = 0;
  for (int step = 0; step < 1000 && !(first->idle() && second->idle()); ++step) {
    for (Sampler* sampler : {first.get(), second.get()}) num_finished += (*sampler->Step()).size();
  }
  EXPECT_EQ(num_finished, 6u);
  EXPECT_EQ(pool->num_reserved(), 0);
}

TEST_F(SamplerTest, CancelDropsAGroupAndGivesItsMemoryBack) {
  const std::shared_ptr<KvPool> pool = Pool(*model_);
  const auto sampler = MakeSampler(model_, {.max_running = 3}, pool);
  ASSERT_TRUE(sampler->Add(Group(1, {5, 6, 7}, 2, 30)).ok());
  ASSERT_TRUE(sampler->Add(Group(2, {8, 9, 10}, 4, 30)).ok());
  ASSERT_TRUE(sampler->Step().ok());
  ASSERT_EQ(sampler->num_running(), 3);
  sampler->Cancel(2);
  EXPECT_EQ(sampler->num_running(), 2);
  EXPECT_EQ(sampler->num_waiting(), 0);
  const SampleMap rest = RunAll(*sampler, {});
  const SampleMap alone = RunAll(*MakeSampler(model_), {Group(1, {5, 6, 7}, 2, 30)});
  ExpectSameBits(rest, alone);
  EXPECT_EQ(pool->num_reserved(), 0);
}

TEST_F(SamplerTest, ADroppedSamplerGivesItsMemoryBack) {
  const std::shared_ptr<KvPool> pool = Pool(*model_);
  {
    const auto sampler = MakeSampler(model_, {.max_running = 3}, pool);
    ASSERT_TRUE(sampler->Add(Group(1, {5, 6, 7}, 5, 30)).ok());
    ASSERT_TRUE(sampler->Step().ok());
    ASSERT_GT(pool->num_reserved(), 0);
  }
  EXPECT_EQ(pool->num_reserved(), 0);
}

TEST_F(SamplerTest, Bfloat16StaysNearFloat32) {
  std::vector<SampleGroup> groups = MixedGroups();
  const SampleMap want = RunAll(*MakeSampler(model_), groups);
  const auto rounded = Packed(weights_, NumberFormat::kBFloat16);
  const SampleMap got =
      RunAll(*MakeSampler(rounded, {}, Pool(*rounded, 4096, NumberFormat::kBFloat16)), groups);
  double total = 0;
  int count = 0;
  for (const auto& [key, sample] : want) {
    // Until the first token that differs both saw the same text.
    for (size_t t = 0; t < sample.ids.size() && t < got.at(key).ids.size(); ++t) {
      if (sample.ids[t] != got.at(key).ids[t]) break;
      total += std::abs(sample.logprobs[t] - got.at(key).logprobs[t]);
      ++count;
    }
  }
  ASSERT_GT(count, 200);
  EXPECT_LT(total / count, 0.02);
  EXPECT_GT(total / count, 0);  // or it was not bf16
}

TEST_F(SamplerTest, LogitsThatAreNotFiniteAreAnErrorAndNoSample) {
  Qwen3Weights broken = TinyNetwork();
  const c10::NoGradGuard no_grad;
  broken.final_norm = broken.final_norm.clone();
  broken.final_norm[3] = std::numeric_limits<float>::quiet_NaN();
  const auto sampler = MakeSampler(Packed(broken));
  ASSERT_TRUE(sampler->Add(Group(4, {1, 2}, 1, 5)).ok());
  const auto step = sampler->Step();
  EXPECT_EQ(step.status().code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(step.status().message()), HasSubstr("not finite"));
}

TEST_F(SamplerTest, RefusesACacheOfAnotherShape) {
  Qwen3Config other = weights_.config;
  other.head_dim = 16;
  const KvShape shape = ShapeOf(other);
  std::shared_ptr<KvPool> pool = *KvPool::Create(shape, 1 << 20);
  EXPECT_EQ(Sampler::Create({model_, model_}, pool, {}).status().code(), absl::StatusCode::kInvalidArgument);
}

struct BadGroupCase {
  const char* name;
  SampleGroup group;
  absl::StatusCode code;
  const char* text;
};
class BadGroupTest : public ::testing::TestWithParam<BadGroupCase> {};

TEST_P(BadGroupTest, IsRefusedByName) {
  const auto model = Packed(TinyNetwork());
  const auto sampler = MakeSampler(model, {}, Pool(*model, /*blocks=*/4));
  const absl::Status added = sampler->Add(GetParam().group);
  EXPECT_EQ(added.code(), GetParam().code);
  EXPECT_THAT(std::string(added.message()), HasSubstr(GetParam().text));
  EXPECT_TRUE(sampler->idle());
}

constexpr absl::StatusCode kBad = absl::StatusCode::kInvalidArgument;
INSTANTIATE_TEST_SUITE_P(
    Cases, BadGroupTest,
    ::testing::ValuesIn(std::vector<BadGroupCase>{
        {"NoPrompt", Group(0, {}, 1, 4), kBad, "prompt: empty"},
        {"TokenOutsideTheVocabulary", Group(0, {61}, 1, 4), kBad, "token 61, expected 0 to 60"},
        {"NegativeToken", Group(0, {-1}, 1, 4), kBad, "token -1"},
        {"LongerThanTheModel", Group(0, {1}, 1, 256), kBad, "max_position_embeddings"},
        {"NoSamples", Group(0, {1}, 0, 4), kBad, "num_samples: 0"},
        {"NoTokens", Group(0, {1}, 1, 0), kBad, "max_tokens: 0"},
        {"Temperature", {.prompt_ids = {1}, .settings = {.temperature = -1}}, kBad, "temperature: -1"},
        {"TopP", {.prompt_ids = {1}, .settings = {.top_p = 1.5}}, kBad, "top_p: 1.5"},
        {"TopK", {.prompt_ids = {1}, .settings = {.top_k = -2}}, kBad, "top_k: -2"},
        {"MinP", {.prompt_ids = {1}, .settings = {.min_p = 2}}, kBad, "min_p: 2"},
        {"W", {.prompt_ids = {1}, .completion_w = 1.5}, kBad, "w: 1.5"},
        {"MoreThanTheCacheHolds", Group(0, {1, 2}, 1, 100), absl::StatusCode::kResourceExhausted, "the budget is"},
    }),
    [](const auto& c) { return c.param.name; });

}  // namespace
}  // namespace evilmoe
