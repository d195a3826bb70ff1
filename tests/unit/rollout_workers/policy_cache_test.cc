#include "rollout_workers/policy_cache.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "common/hash.h"
#include "rollout_workers/group_runner.h"

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

}  // namespace
}  // namespace evilmoe
