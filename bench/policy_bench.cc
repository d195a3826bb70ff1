// How long the policy's two hot paths take on the nano shape: a decode step of 64 samples, and the features and
// gradients of one training step. Absolute times say little across machines; ratios against a peer come with the
// speed work.

#include <ATen/Parallel.h>
#include <benchmark/benchmark.h>

#include <memory>

#include "policy/sampler/sampler.h"
#include "trainer/learned_gate.h"
#include "trainer/policy_step.h"
#include "trainer/two_expert_adapter.h"

namespace evilmoe {
namespace {

Qwen3Config NanoShape() {
  Qwen3Config config;
  config.vocab_size = 1088;
  config.hidden_size = 128;
  config.num_layers = 5;
  config.num_heads = 4;
  config.num_kv_heads = 2;
  config.head_dim = 32;
  config.intermediate_size = 352;
  config.max_position_embeddings = 1024;
  config.rope_theta = 10000;
  config.rms_norm_eps = 1e-6;
  config.tie_word_embeddings = true;
  return config;
}

std::vector<int32_t> Ids(int count, int first) {
  std::vector<int32_t> ids;
  for (int i = 0; i < count; ++i) ids.push_back(300 + (first + 7 * i) % 700);
  return ids;
}

void BM_DecodeStep(benchmark::State& state) {
  at::set_num_threads(1);
  const auto model = PackedModel::Create(InitQwen3(NanoShape(), 1), NumberFormat::kFloat32);
  if (!model.ok()) return state.SkipWithError("packing failed");
  const Qwen3Config& c = (*model)->config();
  const int samples = static_cast<int>(state.range(0));
  constexpr int kTokens = 60;
  int64_t tokens = 0;
  for (auto _ : state) {
    state.PauseTiming();
    auto pool = KvPool::Create({static_cast<int>(c.num_layers), c.num_kv_heads, c.head_dim}, int64_t{1} << 28);
    if (!pool.ok()) return state.SkipWithError("no memory");
    const auto sampler = Sampler::Create({*model, *model}, *std::move(pool), {.max_running = samples});
    SampleGroup group{.prompt_ids = Ids(80, 0), .num_samples = samples, .settings = {.max_tokens = kTokens}};
    if (!sampler.ok() || !(*sampler)->Add(group).ok()) return state.SkipWithError("Add failed");
    state.ResumeTiming();
    while (!(*sampler)->idle()) {
      if (!(*sampler)->Step().ok()) return state.SkipWithError("Step failed");
    }
    tokens += int64_t{samples} * kTokens;
  }
  state.counters["tokens/s"] = benchmark::Counter(static_cast<double>(tokens), benchmark::Counter::kIsRate);
}
BENCHMARK(BM_DecodeStep)->Arg(1)->Arg(8)->Arg(64)->Unit(benchmark::kMillisecond);

void BM_TrainingStep(benchmark::State& state) {
  at::set_num_threads(1);
  const Qwen3Weights base = InitQwen3(NanoShape(), 1);
  const Lora2r adapter = *Lora2r::Init(
      base.config,
      {.rank = 4, .targets = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}});
  RunConfig config;
  config.adapter.rank = 4;
  config.rollout.temperature = 1.0;
  config.loss.kl_coefficient = 0.0;
  std::vector<PairIds> pairs;
  for (int i = 0; i < 12; ++i) pairs.push_back({Ids(80, i), Ids(30, 11 * i), Ids(25, 5 * i)});
  std::vector<TrainGroup> groups(10);
  for (size_t g = 0; g < groups.size(); ++g) {
    groups[g].prompt_ids = Ids(80, static_cast<int>(g));
    for (int i = 0; i < 8; ++i) {
      TrainSample sample{.ids = Ids(30, 3 * i), .advantage = i % 2 == 0 ? 1.0 : -1.0};
      sample.sampler_logprobs.assign(sample.ids.size(), -5.0f);
      groups[g].samples.push_back(std::move(sample));
    }
  }
  SingleRank alone;
  const TwoExpertAdapter trained(adapter);
  const PolicyStep step(config, base, trained, pairs, static_cast<int>(state.range(0)), alone);
  const auto features = step.ReadPairs(RolloutFeatures::kActivations);
  const auto gate = LearnedGate::Seed(config, *features);
  if (!gate.ok()) return state.SkipWithError("the router has no direction");
  for (auto _ : state) {
    StepGradients gradients;
    if (!step.Run(groups, **gate, gradients).ok()) state.SkipWithError("step failed");
  }
}
BENCHMARK(BM_TrainingStep)->Arg(1)->Arg(2)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace evilmoe

BENCHMARK_MAIN();
