#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <fstream>

#include "common/hash.h"
#include "nlohmann/json.hpp"
#include "policy/lora2r_forward.h"
#include "policy/packed_batch.h"
#include "policy/qwen3.h"
#include "tests/golden/peft_cases.h"

namespace evilmoe {
namespace {

const std::string kGolden = std::string(EVILMOE_SOURCE_DIR) + "/tests/golden/";

nlohmann::json Cases() { return nlohmann::json::parse(std::ifstream(kGolden + "peft/golden.json")); }

// What peft computed from an export, against our own forward of the adapter that was exported.
class PeftGolden : public ::testing::TestWithParam<int> {
 protected:
  PeftGolden()
      : golden_(Cases()[static_cast<size_t>(GetParam())]),
        weights_(LoadQwen3(kGolden + kPeftBase).value()),
        adapter_(PeftAdapter(weights_.config, golden_["init"] == "random_ab")),
        choice_{golden_["block"] == "full" ? ExportBlock::kFull : ExportBlock::kDeployed, golden_["w"]} {}

  double DifferenceOf(const Qwen3Weights& weights, Projector& projector) const {
    const PackedBatch batch = Pack({{.ids = golden_["ids"].get<std::vector<int32_t>>()}});
    const at::Tensor logits = at::mm(Qwen3Hidden(weights, batch, projector), weights.head.t());
    double worst = 0;
    for (int64_t t = 0; t < logits.size(0); ++t) {
      const auto row = golden_["logits"][static_cast<size_t>(t)].get<std::vector<double>>();
      worst = std::max(worst, (logits[t] - at::tensor(row, at::kDouble)).abs().max().item<double>());
    }
    return worst;
  }

  const c10::NoGradGuard no_grad_;
  const nlohmann::json golden_;
  const Qwen3Weights weights_;
  const Lora2r adapter_;
  const ExportChoice choice_;
};

TEST_P(PeftGolden, TheExportIsTheOneThatPeftOpened) {
  std::string bytes;
  for (const auto& [name, tensor] : PeftTensors(adapter_, choice_)) {
    const at::Tensor contiguous = tensor.contiguous();
    bytes += name + std::string(1, '\0');
    bytes.append(static_cast<const char*>(contiguous.const_data_ptr()), contiguous.nbytes());
  }
  EXPECT_EQ(Sha256Hex(bytes), golden_["tensors_sha256"].get<std::string>());
  const nlohmann::ordered_json config = PeftConfig(adapter_.options(), choice_.block, "base");
  EXPECT_EQ(config["r"], golden_["rank"]);
  EXPECT_EQ(config["r"].get<int>(), 3 * (choice_.block == ExportBlock::kFull ? 2 : 1) *
                                        (adapter_.options().random_ab ? 2 : 1));
  EXPECT_EQ(config["lora_alpha"].get<double>() / config["r"].get<double>(), adapter_.options().scale);
}

TEST_P(PeftGolden, PeftsLogitsAreOurs) {
  const AdapterLeaves leaves = MakeLeaves(adapter_);
  const auto rows = static_cast<int64_t>(golden_["ids"].size());
  RoutedProjector routed(adapter_, leaves, RouteByWeight(at::full({rows, 1}, choice_.w)));
  EXPECT_LE(DifferenceOf(weights_, routed), 1e-4);
}

TEST_P(PeftGolden, SoAreTheMergedExports) {
  Qwen3Weights merged = weights_;
  for (const AdapterModule& m : adapter_.modules()) {
    at::Tensor& weight = merged.layers[static_cast<size_t>(m.id.layer)].linears[static_cast<size_t>(m.id.linear)];
    weight = weight + ExportDelta(adapter_, m, choice_);
  }
  PlainProjector plain;
  EXPECT_LE(DifferenceOf(merged, plain), 1e-4);
  EXPECT_GT(DifferenceOf(weights_, plain), 1e-2) << "the adapter does something";
}

INSTANTIATE_TEST_SUITE_P(Cases, PeftGolden, ::testing::Range(0, 6));

}  // namespace
}  // namespace evilmoe
