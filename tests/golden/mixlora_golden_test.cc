// A step with per-token experts against scripts/golden/make_step_golden.py.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "policy/mixlora.h"
#include "tests/golden/step_golden.h"
#include "trainer/collective.h"
#include "trainer/policy_step.h"
#include "trainer/token_expert_adapter.h"

namespace evilmoe {
namespace {

using nlohmann::json;

class MixLoraGolden : public ::testing::TestWithParam<Precision> {
 protected:
  const json& golden_ = StepGolden()["mixlora"];
  const RunConfig config_ = StepConfig({{"arm", "mixlora"},
                                        {"routing.experts", golden_["experts"]},
                                        {"routing.top_k", golden_["top_k"]},
                                        {"routing.balance_weight", golden_["balance_weight"]}});
  const Qwen3Weights base_ = ConvertQwen3(LoadQwen3(StepGoldenFolder()).value(), GetParam().dtype);

  TokenExpertAdapter Adapter() const {
    const MixLora adapter = MixLora::Init(base_.config, {.rank = golden_["rank"],
                                                         .experts = config_.routing.experts,
                                                         .top_k = config_.routing.top_k,
                                                         .scale = golden_["scale"],
                                                         .targets = config_.adapter.targets})
                                .value();
    for (const auto& [name, tensor] : adapter.Named()) {
      tensor.set_data(StoredDouble(absl::StrCat("mixlora/", name)).to(GetParam().dtype));
    }
    return TokenExpertAdapter(adapter, config_.routing.balance_weight);
  }
};

// GRPO over the network with per-token experts, each group balanced for itself.
TEST_P(MixLoraGolden, LossesLoadAndGradientsAgree) {
  const TokenExpertAdapter adapter = Adapter();
  SingleRank alone;
  const PolicyStep step(config_, base_, adapter, {}, GetParam().threads, alone);
  OpenGate gate;
  StepGradients gradients;
  const auto stats = step.Run(StepGroups(config_.loss, nullptr), gate, gradients);
  ASSERT_TRUE(stats.ok()) << stats.status();

  EXPECT_NEAR(stats->loss, golden_["loss"].get<double>(), GetParam().tolerance);
  EXPECT_NEAR(stats->balance_loss, golden_["balance"].get<double>(), GetParam().tolerance);
  const json& load = golden_["load"];
  ASSERT_EQ(stats->expert_load.size(), load.size());
  for (size_t e = 0; e < load.size(); ++e) EXPECT_NEAR(stats->expert_load[e], load[e].get<double>(), 1e-12) << e;
  for (const char* part : {"router", "lora_A", "lora_B"}) {
    std::vector<at::Tensor> mine, want;
    for (size_t i = 0; i < adapter.parameters().size(); ++i) {
      const std::string& name = adapter.parameters()[i].name;
      if (!name.ends_with(part)) continue;
      mine.push_back(gradients.adapter[i]);
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
