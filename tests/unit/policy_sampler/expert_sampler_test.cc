#include "policy/sampler/expert_sampler.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "policy/mixlora_forward.h"
#include "policy/packed_batch.h"
#include "policy/qwen3.h"
#include "policy/sampler/reference_sampler.h"
#include "sampler_fixtures.h"
#include "tests/unit/policy_network/tiny_experts.h"
#include "tests/unit/policy_network/tiny_network.h"

namespace evilmoe {
namespace {

using ::testing::FloatNear;
using ::testing::HasSubstr;
using ::testing::Pointwise;

SampleGroup Group(int64_t tag, int length, int samples, int max_tokens) {
  SampleGroup group{.tag = tag,
                    .num_samples = samples,
                    .seed = static_cast<uint64_t>(100 + tag),
                    .settings = {.max_tokens = max_tokens, .stop_ids = {11}}};
  for (int t = 0; t < length; ++t) group.prompt_ids.push_back((7 * t + 3 * length) % 61);
  return group;
}

std::vector<SampleGroup> Groups() {
  return {Group(1, 1, 5, 20), Group(2, 2, 1, 1), Group(3, 17, 6, 25), Group(4, 40, 4, 12)};
}

class ExpertSamplerTest : public ::testing::Test {
 protected:
  ExpertSamplerTest() { at::set_num_threads(1); }

  std::unique_ptr<ExpertSampler> Make(const ExpertSamplerOptions& options = {}) const {
    auto sampler = ExpertSampler::Create(model_, options);
    EXPECT_TRUE(sampler.ok()) << sampler.status();
    return *std::move(sampler);
  }
  static void ExpectSameBits(const SampleMap& got, const SampleMap& want) {
    ASSERT_EQ(got.size(), want.size());
    for (const auto& [key, sample] : want) {
      EXPECT_EQ(got.at(key).ids, sample.ids) << "group " << key.first << " sample " << key.second;
      EXPECT_EQ(got.at(key).logprobs, sample.logprobs);
    }
  }
  // Of keys and values of one sample of the longest group: 40 + 12 − 1 positions.
  static constexpr int64_t kSampleBytes = 51 * 2 * 2 * 2 * 8 * 4;

  const Qwen3Weights weights_ = TinyNetwork();
  const std::shared_ptr<const ExpertModel> model_ =
      std::make_shared<const ExpertModel>(ExpertModel{weights_, MovedExperts(weights_.config)});
};

struct SettingsCase {
  const char* name;
  SamplingSettings settings;
};
class ExpertSamplerReferenceTest : public ExpertSamplerTest, public ::testing::WithParamInterface<SettingsCase> {};

TEST_P(ExpertSamplerReferenceTest, AgreesWithThePlainDefinition) {
  std::vector<SampleGroup> groups = Groups();
  for (SampleGroup& group : groups) {
    const SamplingSettings own = group.settings;
    group.settings = GetParam().settings;
    group.settings.max_tokens = own.max_tokens;
    group.settings.stop_ids = own.stop_ids;
  }
  const SampleMap got = RunAll(*Make(), groups);
  ASSERT_EQ(got.size(), 16u);
  for (const SampleGroup& group : groups) {
    const auto reference = SampleReference(weights_, model_->adapter, group);
    ASSERT_TRUE(reference.ok()) << reference.status();
    for (const FinishedSample& want : *reference) {
      const FinishedSample& mine = got.at({want.tag, want.sample});
      EXPECT_EQ(mine.ids, want.ids);
      EXPECT_EQ(mine.stopped, want.stopped);
      EXPECT_THAT(mine.logprobs, Pointwise(FloatNear(1e-5f), want.logprobs));
      EXPECT_THAT(mine.logprobs_t1, Pointwise(FloatNear(1e-5f), want.logprobs_t1));
      EXPECT_THAT(mine.logprobs_truncated, Pointwise(FloatNear(1e-5f), want.logprobs_truncated));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Settings, ExpertSamplerReferenceTest,
                         ::testing::ValuesIn(std::vector<SettingsCase>{
                             {"Plain", {}},
                             {"Greedy", {.temperature = 0}},
                             {"Cuts", {.temperature = 1.3, .top_p = 0.9, .top_k = 12, .min_p = 0.05}},
                         }),
                         [](const auto& c) { return c.param.name; });

TEST_F(ExpertSamplerTest, TheExpertsAct) {
  const auto base = std::make_shared<const ExpertModel>(ExpertModel{weights_, MovedExperts(weights_.config, 0.0)});
  const auto plain = *ExpertSampler::Create(base, {});
  EXPECT_NE(RunAll(*plain, {Group(3, 17, 6, 25)}).at({3, 0}).logprobs,
            RunAll(*Make(), {Group(3, 17, 6, 25)}).at({3, 0}).logprobs);
}

// With whole groups in every run, whatever else is on its way: the same bits.
TEST_F(ExpertSamplerTest, ASampleDoesNotDependOnOtherGroups) {
  const SampleMap together = RunAll(*Make(), Groups());
  std::vector<SampleGroup> reversed = Groups();
  std::reverse(reversed.begin(), reversed.end());
  ExpectSameBits(RunAll(*Make({.max_running = 6}), reversed), together);
  SampleMap alone;
  for (const SampleGroup& group : Groups()) alone.merge(RunAll(*Make(), {group}));
  ExpectSameBits(alone, together);
}

TEST_F(ExpertSamplerTest, MoreSamplesThanOptionsAllowTakeTurns) {
  const SampleMap want = RunAll(*Make(), {Group(4, 40, 4, 12)});
  for (const ExpertSamplerOptions& options :
       {ExpertSamplerOptions{.max_running = 3}, ExpertSamplerOptions{.kv_budget_bytes = 3 * kSampleBytes + 5}}) {
    const auto sampler = Make(options);
    ASSERT_TRUE(sampler->Add(Group(4, 40, 4, 12)).ok());
    EXPECT_EQ(sampler->num_waiting(), 4);
    ASSERT_TRUE(sampler->Step().ok());
    EXPECT_EQ(sampler->num_running(), 3);
    EXPECT_EQ(sampler->num_waiting(), 1);
    EXPECT_EQ(sampler->TakePrefixUse().found, 2 * 39);
    const SampleMap got = RunAll(*sampler, {});
    ASSERT_EQ(got.size(), want.size());
    for (const auto& [key, sample] : want) EXPECT_EQ(got.at(key).ids, sample.ids);
  }
  const auto small = Make({.kv_budget_bytes = kSampleBytes - 1});
  EXPECT_EQ(small->Add(Group(4, 40, 4, 12)).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ExpertSampler::Create(model_, {.max_running = 0}).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(ExpertSamplerTest, CancelDropsAGroup) {
  const auto sampler = Make({.max_running = 6});
  ASSERT_TRUE(sampler->Add(Group(3, 17, 6, 25)).ok());
  ASSERT_TRUE(sampler->Add(Group(4, 40, 4, 12)).ok());
  ASSERT_TRUE(sampler->Step().ok());
  sampler->Cancel(3);
  EXPECT_EQ(sampler->num_running(), 0);
  ExpectSameBits(RunAll(*sampler, {}), RunAll(*Make(), {Group(4, 40, 4, 12)}));
}

TEST_F(ExpertSamplerTest, LogitsThatAreNotFiniteAreAnErrorAndNoSample) {
  Qwen3Weights broken = TinyNetwork();
  broken.final_norm = broken.final_norm.clone();
  broken.final_norm[3] = std::numeric_limits<float>::quiet_NaN();
  const auto sampler =
      *ExpertSampler::Create(std::make_shared<const ExpertModel>(ExpertModel{broken, MovedExperts(broken.config)}), {});
  ASSERT_TRUE(sampler->Add(Group(1, 2, 1, 5)).ok());
  const auto step = sampler->Step();
  EXPECT_EQ(step.status().code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(step.status().message()), HasSubstr("not finite"));
}

}  // namespace
}  // namespace evilmoe
