// A step with per-token experts against scripts/golden/make_step_golden.py.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "policy/mixlora_forward.h"
#include "policy/token_log_probs.h"
#include "tests/golden/step_golden.h"
#include "trainer/policy_batch.h"
#include "trainer/policy_loss.h"

namespace evilmoe {
namespace {

using nlohmann::json;

class MixLoraGolden : public ::testing::TestWithParam<Precision> {};

// GRPO over the network with per-token experts, the balance loss over all rows of the batch.
TEST_P(MixLoraGolden, LossesAndGradientsAgree) {
  const json& golden = StepGolden()["mixlora"];
  const RunConfig config = StepConfig({{"arm", "none"}});
  const Qwen3Weights base = ConvertQwen3(LoadQwen3(StepGoldenFolder()).value(), GetParam().dtype);
  const MixLora adapter = MixLora::Init(base.config, {.rank = golden["rank"],
                                                      .experts = golden["experts"],
                                                      .top_k = golden["top_k"],
                                                      .scale = golden["scale"],
                                                      .targets = config.adapter.targets})
                              .value();
  for (const auto& [name, tensor] : adapter.Named()) {
    tensor.set_data(StoredDouble(absl::StrCat("mixlora/", name)).to(GetParam().dtype));
  }
  const std::vector<TrainGroup> groups = StepGroups(config.loss, nullptr);
  std::vector<PromptCompletions> prompts;
  std::vector<double> advantages;
  for (const TrainGroup& group : groups) {
    prompts.push_back({.prompt = &group.prompt_ids});
    for (const TrainSample& sample : group.samples) {
      if (sample.masked) continue;
      prompts.back().completions.push_back(&sample.ids);
      advantages.push_back(sample.advantage);
    }
  }
  const PolicyBatch batch = MakePolicyBatch(prompts, /*share_prompt=*/true);
  const auto log_probs = [&](Projector& projector) {
    const at::Tensor hidden = Qwen3Hidden(base, batch.packed, projector).index_select(0, batch.completion_rows_C);
    return ScoreTokens(hidden, base.head, batch.targets_C, {.temperature = config.rollout.temperature}).logp_N;
  };
  PlainProjector plain;
  const MixLora leaves = adapter.Leaves();
  MixLoraProjector projector(leaves, golden["balance_weight"].get<double>());
  const at::Tensor logp = log_probs(projector);
  const PolicyLoss got = ComputePolicyLoss(config.loss,
                                           {.logp_C = logp,
                                            .sampler_logp_C = logp.detach(),
                                            .base_logp_C = log_probs(plain),
                                            .advantage_S = at::tensor(advantages, at::kDouble).to(logp.scalar_type()),
                                            .completion_of_C = batch.completion_of_C,
                                            .lengths_S = batch.lengths_S},
                                           TotalsOf(groups, config.rollout));
  got.loss.backward();

  EXPECT_EQ(got.loss.scalar_type(), GetParam().dtype);
  EXPECT_NEAR(got.loss.item<double>(), golden["loss"].get<double>(), GetParam().tolerance);
  EXPECT_NEAR(projector.BalanceLoss(), golden["balance"].get<double>(), GetParam().tolerance);
  for (const char* part : {"router", "lora_A", "lora_B"}) {
    std::vector<at::Tensor> mine, want;
    for (const auto& [name, leaf] : leaves.Named()) {
      if (!name.ends_with(part)) continue;
      mine.push_back(leaf.grad());
      want.push_back(StoredDouble(absl::StrCat("mixlora_gradient/", name)));
    }
    const double difference = RelativeDifference(mine, want);
    EXPECT_LE(difference, GetParam().tolerance) << part;
    RecordProperty(part, absl::StrCat(difference));
  }
}

INSTANTIATE_TEST_SUITE_P(Precisions, MixLoraGolden, ::testing::Values(kSinglePrecision, kDoublePrecision),
                         PrecisionName);

}  // namespace
}  // namespace evilmoe
