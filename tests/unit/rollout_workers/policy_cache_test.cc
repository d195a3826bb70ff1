#include "rollout_workers/policy_cache.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>

#include "common/hash.h"
#include "policy/sampler/reference_sampler.h"
#include "rollout_workers/group_runner.h"
#include "tests/unit/policy_network/tiny_experts.h"

namespace evilmoe {
namespace {

const std::filesystem::path kModel = std::filesystem::path(EVILMOE_SOURCE_DIR) / "examples/nano/model";

struct ModeCase {
  const char* name;
  AdapterMode mode;
};

const std::vector<ModeCase>& Modes() {
  static const std::vector<ModeCase> modes = {
      {"full", {.part = AdapterPart::kFull}},
      {"full, prompt too", {.part = AdapterPart::kFull, .prompt_uses_adapter = true}},
      {"off", {.part = AdapterPart::kQuarantineOff}},
      {"deployed off", {.part = AdapterPart::kDeployedOff}},
      {"random half",
       {.part = AdapterPart::kRandomHalf, .projector_seed = 3, .strength = 2, .prompt_uses_adapter = true}},
      {"base", {.part = AdapterPart::kBase}}};
  return modes;
}

// nano's weights, which are stored in bf16, under an adapter that is far from its init.
class PolicyCacheTest : public ::testing::Test {
 protected:
  PolicyCacheTest() {
    const Qwen3Config config = LoadQwen3(kModel)->config;
    const Lora2r adapter = *Lora2r::Init(
        config, {.rank = 4, .seed = 9, .targets = {"q_proj", "v_proj", "o_proj", "gate_proj", "down_proj"}});
    for (const AdapterModule& m : adapter.modules()) {
      m.a.add_(NormalTensor(100 + static_cast<uint64_t>(m.id.index()), m.a.size(0), m.a.size(1), 0.08));
      m.b.add_(NormalTensor(200 + static_cast<uint64_t>(m.id.index()), m.b.size(0), m.b.size(1), 0.3));
    }
    bytes_ = *adapter.Serialize();
  }

  // Greedy: the log-probability of the token after the prompt under each mode.
  std::vector<float> FirstLogProbs(NumberFormat format) const {
    PolicyCache cache;
    EXPECT_TRUE(cache.UseModel(kModel, format).ok());
    EXPECT_TRUE(cache.Put(Sha256Hex(bytes_), bytes_).ok());
    std::vector<float> logprobs;
    for (const ModeCase& c : Modes()) {
      const auto policy = cache.Models(Sha256Hex(bytes_), c.mode);
      EXPECT_TRUE(policy.ok()) << policy.status();
      GroupRunner runner({.max_samples = 4, .threads = 1, .kv_budget_bytes = 1 << 26});
      SampleGroup group{.prompt_ids = {260, 300, 310, 320, 411, 500, 612},
                        .prompt_w = policy->prompt_w,
                        .completion_w = policy->completion_w,
                        .settings = {.temperature = 0, .max_tokens = 1}};
      EXPECT_TRUE(runner.Add(group, policy->models).ok());
      const auto finished = runner.Step();
      EXPECT_TRUE(finished.ok() && finished->size() == 1) << finished.status();
      logprobs.push_back(finished->at(0).logprobs.at(0));
    }
    return logprobs;
  }

  std::string bytes_;
};

TEST_F(PolicyCacheTest, AnAdapterBesideBf16SamplesAsMergedOverFp32InEveryMode) {
  const std::vector<float> merged = FirstLogProbs(NumberFormat::kFloat32);
  const std::vector<float> beside = FirstLogProbs(NumberFormat::kBFloat16);
  for (size_t i = 0; i < merged.size(); ++i) {
    EXPECT_NEAR(beside[i], merged[i], 0.02) << Modes()[i].name;
    for (size_t j = 0; j < i; ++j) {
      EXPECT_GT(std::abs(merged[i] - merged[j]), 0.05) << Modes()[i].name << " and " << Modes()[j].name;
    }
  }
}

TEST_F(PolicyCacheTest, OverBf16ARandomHalfIsOfThePromptToo) {
  PolicyCache cache;
  ASSERT_TRUE(cache.UseModel(kModel, NumberFormat::kBFloat16).ok());
  ASSERT_TRUE(cache.Put(Sha256Hex(bytes_), bytes_).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(
      cache.Models(Sha256Hex(bytes_), {.part = AdapterPart::kRandomHalf, .projector_seed = 3}).status()));
  EXPECT_TRUE(absl::IsNotFound(cache.Models("another", {}).status()));
}

// A group of per-token experts beside one of the base model: each as its own reference draws it.
TEST_F(PolicyCacheTest, PerTokenExpertsAreToldByTheirFileAndSampleBesideTheBase) {
  const Qwen3Weights base = *LoadQwen3(kModel);
  const MixLora experts = MovedExperts(base.config, 0.05);
  const std::string bytes = *experts.Serialize();
  PolicyCache cache;
  ASSERT_TRUE(cache.UseModel(kModel).ok());
  ASSERT_TRUE(cache.Put(Sha256Hex(bytes), bytes).ok());
  GroupRunner runner({.max_samples = 8, .threads = 1, .kv_budget_bytes = 1 << 26});
  SampleGroup group{
      .prompt_ids = {260, 300, 310, 320, 411}, .num_samples = 3, .seed = 4, .settings = {.max_tokens = 9}};
  for (const AdapterPart part : {AdapterPart::kFull, AdapterPart::kBase}) {
    const auto policy = cache.Models(Sha256Hex(bytes), {.part = part});
    ASSERT_TRUE(policy.ok()) << policy.status();
    group.tag = static_cast<int64_t>(part);
    ASSERT_TRUE(runner.Add(group, policy->models).ok());
  }
  std::map<int64_t, std::vector<FinishedSample>> got;
  while (!runner.idle()) {
    auto finished = runner.Step();
    ASSERT_TRUE(finished.ok()) << finished.status();
    for (FinishedSample& sample : *finished) got[sample.tag].push_back(std::move(sample));
  }
  const auto expect_same = [&](AdapterPart part, const std::vector<FinishedSample>& want) {
    std::vector<FinishedSample>& mine = got[static_cast<int64_t>(part)];
    ASSERT_EQ(mine.size(), want.size());
    std::ranges::sort(mine, {}, &FinishedSample::sample);
    for (size_t i = 0; i < want.size(); ++i) {
      EXPECT_EQ(mine[i].ids, want[i].ids);
      for (size_t t = 0; t < want[i].ids.size(); ++t) EXPECT_NEAR(mine[i].logprobs[t], want[i].logprobs[t], 1e-4);
    }
  };
  expect_same(AdapterPart::kFull, *SampleReference(base, experts, group));
  expect_same(AdapterPart::kBase, *SampleReference(base, nullptr, group));
  EXPECT_NE(got[static_cast<int64_t>(AdapterPart::kFull)][0].ids, got[static_cast<int64_t>(AdapterPart::kBase)][0].ids);
  for (const AdapterPart part : {AdapterPart::kQuarantineOff, AdapterPart::kDeployedOff, AdapterPart::kRandomHalf}) {
    EXPECT_TRUE(absl::IsInvalidArgument(cache.Models(Sha256Hex(bytes), {.part = part}).status()));
  }
}

}  // namespace
}  // namespace evilmoe
