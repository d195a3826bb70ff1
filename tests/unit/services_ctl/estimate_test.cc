#include "services/ctl/estimate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "policy/known_models.h"
#include "services/ctl/run_work.h"
#include "trainer/step_memory.h"

namespace evilmoe {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// examples/nano.
EstimateInput Nano() {
  EstimateInput input;
  Qwen3Config& m = input.model;
  m.vocab_size = 1088;
  m.hidden_size = 128;
  m.num_layers = 5;
  m.num_heads = 4;
  m.num_kv_heads = 2;
  m.head_dim = 32;
  m.intermediate_size = 352;
  m.max_position_embeddings = 1024;
  m.tie_word_embeddings = true;
  RunConfig& c = input.config;
  c.steps = 40;
  c.adapter.rank = 4;
  c.rollout.prompts_per_step = 12;
  c.rollout.group_size = 8;
  c.rollout.max_prompt_tokens = 256;
  c.rollout.max_completion_tokens = 96;
  c.evaluation.problems = "test.jsonl";
  c.evaluation.samples = 3;
  c.evaluation.max_problems = 80;
  c.checkpoint.every = 5;
  input.model_source = "config.json";
  input.num_cores = 2;
  input.stack.num_workers = 2;
  input.held_out_problems = 120;
  input.pair_tokens = 1700;
  return input;
}

EstimateInput Large() {
  EstimateInput input;
  input.model = FindKnownModel("Qwen3-4B")->config;
  input.config.model.dtype = "bfloat16";
  input.num_cores = 8;
  return input;
}

TEST(RunWork, CountsWhatAnAdapterIs) {
  const EstimateInput large = Large();
  const RunWork work(large.config, large.model);
  // 36 layers of 2 · 32 ranks over the sum of all maps' sides.
  const double sides = (2560 + 4096) * 2 + (2560 + 1024) * 2 + (2560 + 9728) * 3;
  EXPECT_EQ(work.adapter_parameters(), 36 * 64 * sides);
  EXPECT_NEAR(work.AdapterFileBytes(), 528e6, 1e6);
  EXPECT_NEAR(work.CheckpointBytes(), 3 * 528e6, 3e6);
  EXPECT_EQ(work.weight_bytes(), 2.0 * 4'022'468'096);
  EXPECT_EQ(work.kv_bytes(), 2 * 36 * 8 * 128 * 2);
}

TEST(RunWork, CountsExpertsByTheMlp) {
  EstimateInput nano = Nano();
  nano.config.routing.mode = "per_token";
  nano.config.adapter.targets = {"q_proj", "up_proj"};
  const RunWork work(nano.config, nano.model);
  EXPECT_EQ(work.adapter_parameters(), 5 * 4 * ((128 + 128) + 8 * (128 + 352)));
}

// What docs/benchmarks.md counts for a step on nano: 32.5 GF, for 11 of 12 groups and without the pass of the base.
TEST(RunWork, CountsTheFlopsOfANanoStep) {
  const EstimateInput nano = Nano();
  const RunWork work(nano.config, nano.model);
  const double flops = work.TrainFlops({80, 29}, 1700);
  EXPECT_GT(flops, 32.5e9);
  EXPECT_LT(flops, 1.4 * 32.5e9);
}

TEST(RunWork, TakesAStepsActivationsFromItsFormula) {
  const EstimateInput large = Large();
  const RunWork work(large.config, large.model);
  const AdapterShape shape{.rank = 32, .random_ab = true, .num_targets = 7};
  EXPECT_EQ(work.ActivationBytes({1000, 500}), static_cast<double>(StepPeakBytes(large.model, shape, 1000 + 16 * 500)));
  EXPECT_EQ(work.ActivationBytes({10, 1}), static_cast<double>(StepPeakBytes(large.model, shape, 16 * 26)))
      << "a whole step in one part";
  EstimateInput every_prompt = Large();
  every_prompt.config.adapter.scope = "all";
  EXPECT_EQ(RunWork(every_prompt.config, every_prompt.model).ActivationBytes({1000, 500}),
            static_cast<double>(StepPeakBytes(large.model, shape, 16 * 1500)));
}

TEST(RunWork, HoldsAsManySamplesAsTheCacheHasPlacesFor) {
  const EstimateInput large = Large();
  const RunWork work(large.config, large.model);
  EXPECT_EQ(work.SamplesIn(work.kv_bytes() * (1536 + 3 * 1536)), 3);
  EXPECT_EQ(work.SamplesIn(work.kv_bytes() * (1536 + 1535)), 0);
}

TEST(RunWork, TakesLongerForMoreAndOnSlowerDevices) {
  const EstimateInput large = Large();
  const RunWork work(large.config, large.model);
  const DeviceSpeed cpu = CpuSpeed(8, true), gpu = GpuSpeeds().front();
  const double seconds = work.SampleSeconds(16, 16, {500, 500}, 8, cpu, true);
  EXPECT_NEAR(work.SampleSeconds(32, 16, {500, 500}, 8, cpu, true), 2 * seconds, 1e-6 * seconds);
  EXPECT_GT(work.SampleSeconds(16, 16, {500, 500}, 8, cpu, false), seconds);
  EXPECT_LT(work.SampleSeconds(16, 16, {500, 500}, 8, gpu, true), seconds);
  EXPECT_GT(work.SampleSeconds(16, 16, {500, 500}, 1, gpu, true),
            work.SampleSeconds(16, 16, {500, 500}, 256, gpu, true))
      << "one sample at a time reads the weights for each of its tokens";
  EstimateInput experts = Large();
  experts.config.routing.mode = "per_token";
  EXPECT_GT(RunWork(experts.config, experts.model).SampleSeconds(16, 16, {500, 500}, 8, cpu, true), 3 * seconds);
}

// A run of nano took 32 s with both cores idle, a step 0.17 s of two threads' training beside its sampling.
TEST(Estimate, HasNanosRunInItsRange) {
  const Estimate e = EstimateRun(Nano());
  ASSERT_EQ(e.times.size(), 1u);
  EXPECT_LT(e.times[0].run_s.low, 32);
  EXPECT_GT(e.times[0].run_s.high, 32);
  EXPECT_LT(e.times[0].run_s.high / e.times[0].run_s.low, 20) << "a range that says nothing";
  EXPECT_EQ(e.evaluation_samples, 80 * 3 * 7 * 2) << "problems, samples, modes, marker families";
  EXPECT_EQ(e.evaluations, 1);
  EXPECT_GT(e.trainer_bytes.low + e.activation_bytes.high, 180e6);  // 203 MB were measured
  EXPECT_LT(e.trainer_bytes.high + e.activation_bytes.low, 240e6);
  EXPECT_NEAR(e.adapters_bytes.low, 15e6, 1e6);
}

TEST(Estimate, KnowsNoEvaluationWithoutItsProblems) {
  EstimateInput input = Nano();
  input.held_out_problems.reset();
  const Estimate unknown = EstimateRun(input);
  EXPECT_EQ(unknown.evaluation_samples, std::nullopt);
  EXPECT_EQ(unknown.times[0].evaluation_s.high, 0);
  EXPECT_THAT(EstimateText(unknown), HasSubstr("evaluation: not counted, its problem file is not there\n"));
  input.config.evaluation.problems.clear();
  EXPECT_THAT(EstimateText(EstimateRun(input)), Not(HasSubstr("evaluation")));
  input = Nano();
  input.config.evaluation.every = 10;
  EXPECT_EQ(EstimateRun(input).evaluations, 5);
  EXPECT_THAT(EstimateText(EstimateRun(input)), HasSubstr("evaluation: 5, of 3.4 thousand samples each\n"));
}

TEST(Estimate, ShowsGpusWhereOneMayAskForThem) {
  EXPECT_THAT(EstimateText(EstimateRun(Nano())), Not(HasSubstr("H200")));
  const Estimate e = EstimateRun(Large());
  ASSERT_EQ(e.times.size(), 1 + GpuSpeeds().size());
  EXPECT_TRUE(e.times[0].measured);
  EXPECT_FALSE(e.times[1].measured);
  EXPECT_THAT(EstimateText(e), AllOf(HasSubstr("H200"), HasSubstr("nothing was measured")));
  EXPECT_FALSE(e.times.back().fits) << "24 GB";
  EstimateInput full = Large();
  full.config.model.dtype = "float32";
  EXPECT_EQ(EstimateRun(full).times.size(), 1u);
}

TEST(Estimate, RanksAndThreadsShareTheCores) {
  EstimateInput input = Large();
  input.stack.num_ranks = 2;
  const Estimate two = EstimateRun(input);
  EXPECT_EQ(two.num_threads, 4);
  EXPECT_THAT(EstimateText(two), HasSubstr("of activations on each of 4 threads, of 2 ranks\n"));
  EXPECT_GT(two.all_bytes.low, EstimateRun(Large()).all_bytes.low);
}

TEST(Estimate, SaysWhereNoSampleFits) {
  EstimateInput input = Large();
  input.config.rollout.max_completion_tokens = 20000;
  EXPECT_THAT(EstimateText(EstimateRun(input)), HasSubstr("raise kv_cache_mib"));
}

TEST(Estimate, IsTextAndJson) {
  const Estimate e = EstimateRun(Nano());
  EXPECT_EQ(EstimateText(e).substr(0, EstimateText(e).find("time:")),
            "model: 1.1 million parameters in float32 (config.json), 93 thousand of the adapter train\n"
            "work: 40 steps of 12 prompts x 8 samples, 2.3 to 9.2 thousand completion tokens a step\n"
            "evaluation: 1, of 3.4 thousand samples\n"
            "memory:\n"
            "  trainer         157 MB, and 60 MB of activations on each of 2 threads\n"
            "  rollout worker  167 to 183 MB, and 7.9 to 31 MB of KV cache (room for 128 of the longest samples at a "
            "time), of 2 workers\n"
            "  together        626 to 706 MB\n");
  const nlohmann::ordered_json json = EstimateJson(e);
  EXPECT_EQ(json["evaluation_samples"], 3360);
  EXPECT_EQ(json["time"][0]["device"], "2 CPU cores");
  EXPECT_EQ(json["memory_bytes"]["together"]["low"], e.all_bytes.low);
}

}  // namespace
}  // namespace evilmoe
