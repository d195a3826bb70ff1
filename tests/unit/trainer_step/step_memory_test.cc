#include "trainer/step_memory.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "policy/memory_watch.h"
#include "trainer/make_gate.h"
#include "trainer/policy_step.h"
#include "trainer/two_expert_adapter.h"

namespace evilmoe {
namespace {

constexpr int64_t kVocabulary = 20000;
constexpr int kGroups = 2, kSamples = 8, kPrompt = 40, kCompletion = 150;

Qwen3Weights WideVocabulary() {
  Qwen3Config config;
  config.vocab_size = kVocabulary;
  config.hidden_size = 64;
  config.num_layers = 3;
  config.num_heads = 4;
  config.num_kv_heads = 2;
  config.head_dim = 32;
  config.intermediate_size = 96;
  config.max_position_embeddings = 256;
  config.rope_theta = 10000;
  config.rms_norm_eps = 1e-6;
  config.tie_word_embeddings = true;
  return InitQwen3(config, 1);
}

std::vector<int32_t> Ids(int count, int first) {
  std::vector<int32_t> ids;
  for (int i = 0; i < count; ++i) ids.push_back((first + 7919 * i) % static_cast<int>(kVocabulary));
  return ids;
}

std::vector<TrainGroup> Groups() {
  std::vector<TrainGroup> groups(kGroups);
  for (int g = 0; g < kGroups; ++g) {
    groups[static_cast<size_t>(g)].prompt_ids = Ids(kPrompt, g);
    for (int i = 0; i < kSamples; ++i) {
      TrainSample sample{.ids = Ids(kCompletion, 31 * g + i), .advantage = i % 2 == 0 ? 1.0 : -1.0};
      sample.sampler_logprobs.assign(sample.ids.size(), -9.0F);
      sample.deploy_mode = g == 1;
      groups[static_cast<size_t>(g)].samples.push_back(std::move(sample));
    }
  }
  return groups;
}

// A step over a wide vocabulary takes what the formula says, a small part of what all logits would.
TEST(StepMemoryTest, IsTheFormulasAndHasNoTokensByVocabularyTensor) {
  const Qwen3Weights base = WideVocabulary();
  const Lora2rOptions options{.rank = 4,
                              .targets = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}};
  const Lora2r adapter = *Lora2r::Init(base.config, options);
  RunConfig config;
  config.rollout.temperature = 1.0;
  config.adapter.rank = options.rank;
  SingleRank alone;
  const std::vector<PairIds> pairs = {{.prompt_ids = Ids(9, 1), .hack_ids = Ids(5, 2), .clean_ids = Ids(6, 3)}};
  const TwoExpertAdapter trained(adapter);
  const PolicyStep step(config, base, trained, pairs, /*threads=*/1, alone);
  const auto features = step.ReadPairs(FeaturesOf(config));
  ASSERT_TRUE(features.ok()) << features.status();
  const auto gate = MakeGate(config, features->hack.size(1), *features);
  ASSERT_TRUE(gate.ok()) << gate.status();
  const std::vector<TrainGroup> groups = Groups();
  StepGradients gradients;
  int64_t peak = 0, largest = 0;
  {
    const MemoryWatch watch;
    const auto stats = step.Run(groups, **gate, gradients);
    ASSERT_TRUE(stats.ok()) << stats.status();
    peak = watch.peak_bytes();
    largest = watch.largest_bytes();
  }
  const int64_t tokens = kGroups * kSamples * kCompletion, rows = kPrompt - 1 + kSamples * kCompletion;
  ASSERT_GT(2 * rows, kPartRows) << "a group is a part";
  const int64_t all_logits = tokens * kVocabulary * int64_t{sizeof(float)};
  const int64_t formula = StepPeakBytes(
      base.config,
      {.rank = options.rank, .random_ab = options.random_ab, .num_targets = std::ssize(options.targets)}, rows);
  EXPECT_LT(peak, formula * 11 / 10);
  EXPECT_GT(peak, formula * 7 / 10);
  EXPECT_LT(formula, all_logits * 9 / 10) << "the formula itself would not notice";
  EXPECT_LT(largest, all_logits / 2);
}

}  // namespace
}  // namespace evilmoe
