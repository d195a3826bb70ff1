// A whole step of every arm against scripts/golden/make_step_golden.py: from a graded batch to the gradients of adapter
// and router, with everything that decides on the way.

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "policy/router.h"
#include "tests/golden/step_golden.h"
#include "trainer/advantages.h"
#include "trainer/collective.h"
#include "trainer/make_gate.h"
#include "trainer/policy_loss.h"
#include "trainer/policy_step.h"
#include "trainer/two_expert_adapter.h"

namespace evilmoe {
namespace {

using nlohmann::json;

Lora2r AdapterOf(const Qwen3Config& network, const AdapterConfig& config, at::ScalarType dtype) {
  const Lora2r adapter = Lora2r::Init(network, {.rank = config.rank,
                                                .random_ab = config.init == "random_ab",
                                                .scale = config.alpha.value_or(config.rank) / config.rank,
                                                .scope_completion = config.scope == "completion",
                                                .targets = config.targets})
                             .value();
  for (size_t m = 0; m < adapter.modules().size(); ++m) {
    const AdapterModule& module = adapter.modules()[m];
    const auto read = [&](const char* part, const at::Tensor& into) {
      const at::Tensor stored = StoredDouble(absl::StrCat(config.init, "/", part, ".", m));
      ASSERT_EQ(stored.sizes(), into.sizes());
      into.set_data(stored.to(dtype));
    };
    read("a", module.a);
    read("b", module.b);
    read("a0", module.a0);
    read("b0", module.b0);
  }
  return adapter;
}

std::vector<PairIds> Pairs() {
  std::vector<PairIds> pairs;
  for (const json& pair : StepGolden()["pairs"]) pairs.push_back({pair["prompt"], pair["hack"], pair["clean"]});
  return pairs;
}

// The gate under test, noting what the backward pass hands it.
class NotingGate final : public RolloutGate {
 public:
  explicit NotingGate(RolloutGate& gate) : gate_(gate) {}

  RolloutFeatures reads() const override { return gate_.reads(); }
  bool learns() const override { return gate_.learns(); }
  Routing Route(const std::vector<const TrainSample*>& samples, const at::Tensor& features_SD,
                bool first_pass) override {
    return gate_.Route(samples, features_SD, first_pass);
  }
  void Backward(const at::Tensor& dl_dw_S, const PairFeatures& pairs, StepGradients& gradients,
                StepStats& stats) override {
    for (int64_t i = 0; i < dl_dw_S.numel(); ++i) dl_dw_.push_back(dl_dw_S[i].item<double>());
    gate_.Backward(dl_dw_S, pairs, gradients, stats);
  }

  const std::vector<double>& dl_dw() const { return dl_dw_; }

 private:
  RolloutGate& gate_;
  std::vector<double> dl_dw_;
};

class ArmGolden : public ::testing::TestWithParam<int> {
 protected:
  ArmGolden()
      : golden_(StepGolden()["cases"][static_cast<size_t>(GetParam())]), config_(StepConfig(golden_["fields"])) {}

  void Compare(const Precision& precision) const {
    const Qwen3Weights base = ConvertQwen3(LoadQwen3(StepGoldenFolder()).value(), precision.dtype);
    const TwoExpertAdapter adapter(AdapterOf(base.config, config_.adapter, precision.dtype));
    SingleRank alone;
    const PolicyStep step(config_, base, adapter, Pairs(), precision.threads, alone);
    const std::unique_ptr<RolloutGate> gate = MakeTheGate(step, precision);
    ASSERT_NE(gate, nullptr);
    NotingGate noting(*gate);
    StepGradients gradients;
    const bool later_pass = golden_["later_pass"];
    const auto stats =
        step.Run(StepGroups(config_.loss, golden_["screened"], later_pass), noting, gradients, {.first = !later_pass});
    ASSERT_TRUE(stats.ok()) << stats.status();
    if (Learned()) ExpectNear(noting.dl_dw(), "dl_dw", precision.tolerance);
    CompareNumbers(*stats, precision.tolerance);
    CompareGradients(gradients, precision.tolerance);
  }

  // A and D's own, the latter by the golden w.
  void CompareAdvantages() const {
    std::vector<double> plain, deployed;
    for (const TrainGroup& group : StepGroups(config_.loss, golden_["screened"])) {
      std::vector<std::optional<double>> rewards;
      std::vector<double> weights;
      for (const TrainSample& sample : group.samples) {
        const json& w = golden_["w"][plain.size()];
        plain.push_back(sample.advantage);
        rewards.push_back(sample.reward);
        weights.push_back(w.is_null() ? 0 : 1 - w.get<double>());
      }
      const std::vector<double> own =
          config_.loss.deployed_advantage == "split"
              ? DeployedAdvantages(rewards, weights, AdvantageKindOf(config_.loss))
              : std::vector<double>(plain.end() - static_cast<ptrdiff_t>(rewards.size()), plain.end());
      deployed.insert(deployed.end(), own.begin(), own.end());
    }
    ExpectNear(plain, "advantages", 1e-12);
    ExpectNear(deployed, "deployed_advantages", 1e-12);
  }

  bool Learned() const { return config_.routing.mode == "learned"; }

  // As a run makes it, and then with the state that earlier steps left behind.
  std::unique_ptr<RolloutGate> MakeTheGate(const PolicyStep& step, const Precision& precision) const {
    PairFeatures pairs;
    if (NeedsPairs(config_)) {
      const auto read = step.ReadPairs(FeaturesOf(config_));
      EXPECT_TRUE(read.ok()) << read.status();
      pairs = *read;
    }
    auto gate = MakeGate(config_, StoredDouble("direction/activation").numel(), pairs);
    EXPECT_TRUE(gate.ok()) << gate.status();
    if (!gate.ok()) return nullptr;
    const c10::NoGradGuard no_grad;
    for (const auto& [name, tensor] : (*gate)->tensors()) SetState(name, tensor, precision);
    return *std::move(gate);
  }

  void SetState(const std::string& name, const at::Tensor& tensor, const Precision& precision) const {
    if (name.starts_with("router.") && name != "router.v_act") {
      tensor.set_data(StoredDouble(absl::StrCat("router/", name.substr(7))).to(precision.dtype));
      return;
    }
    if (!name.starts_with("gate.")) return;
    const auto kind = golden_["direction"].get<std::string>();
    const auto earlier = StepGolden()["earlier"][kind].get<std::vector<double>>();
    const auto count = static_cast<int64_t>(earlier.size());
    if (name == "gate.count") tensor.fill_(count);
    if (name == "gate.scores") tensor.narrow(0, tensor.numel() - count, count).copy_(at::tensor(earlier, at::kDouble));
    if (name != "gate.direction") return;
    const at::Tensor want = StoredDouble(absl::StrCat("direction/", kind));
    if (kind == "random") {
      tensor.set_data(want.to(precision.dtype));
    } else {
      EXPECT_LE(RelativeDifference({tensor}, {want}), precision.tolerance);
    }
  }

  void ExpectNear(double got, const char* name, double tolerance) const {
    const double want = golden_[name].get<double>();
    EXPECT_NEAR(got, want, tolerance * std::max(1.0, std::abs(want))) << name;
  }

  void ExpectNear(const std::vector<double>& got, const char* name, double tolerance) const {
    const json& want = golden_[name];
    ASSERT_EQ(got.size(), want.size());
    for (size_t i = 0; i < want.size(); ++i) {
      if (want[i].is_null()) continue;  // lost
      EXPECT_NEAR(got[i], want[i].get<double>(), tolerance) << name << " of sample " << i;
    }
  }

  void CompareNumbers(const StepStats& stats, double tolerance) const {
    ExpectNear(stats.loss, "loss", tolerance);
    ExpectNear(stats.kl.value(), "kl", tolerance);
    ExpectNear(stats.entropy, "entropy", tolerance);
    ExpectNear(stats.ratio_mean, "ratio_mean", tolerance);
    ExpectNear(stats.ratio_max, "ratio_max", tolerance);
    if (golden_["later_pass"]) {
      ExpectNear(stats.clip_low, "clip_low", tolerance);
      ExpectNear(stats.clip_high, "clip_high", tolerance);
    }
    ExpectNear(stats.w, "w", tolerance);
    ExpectNear(stats.deployed_factor, "deployed_factor", tolerance);
    if (!Learned()) return;
    ExpectNear(stats.pin_loss, "pin_loss", tolerance);
    ExpectNear(stats.pair_separation, "pair_separation", tolerance);
  }

  at::Tensor Want(const std::string& part) const {
    return StoredDouble(absl::StrCat(golden_["gradients"].get<std::string>(), "/", part));
  }

  void CompareGradients(const StepGradients& got, double tolerance) const {
    const auto expect_near = [&](const char* what, const std::vector<at::Tensor>& mine,
                                 const std::vector<at::Tensor>& want) {
      const double difference = RelativeDifference(mine, want);
      EXPECT_LE(difference, tolerance) << what;
      RecordProperty(what, absl::StrCat(difference));
    };
    // The two experts apart: the smaller gradient is not to hide behind the larger one.
    std::vector<at::Tensor> deployed, quarantine, want_deployed, want_quarantine;
    const int64_t r = config_.adapter.rank;
    for (size_t m = 0; m < got.adapter.size() / 2; ++m) {
      const at::Tensor a = got.adapter[2 * m], b = got.adapter[2 * m + 1];
      const at::Tensor want_a = Want(absl::StrCat("a.", m)), want_b = Want(absl::StrCat("b.", m));
      ASSERT_EQ(a.sizes(), want_a.sizes());
      ASSERT_EQ(b.sizes(), want_b.sizes());
      deployed.insert(deployed.end(), {a.narrow(0, 0, r), b.narrow(1, 0, r)});
      want_deployed.insert(want_deployed.end(), {want_a.narrow(0, 0, r), want_b.narrow(1, 0, r)});
      quarantine.insert(quarantine.end(), {a.narrow(0, r, r), b.narrow(1, r, r)});
      want_quarantine.insert(want_quarantine.end(), {want_a.narrow(0, r, r), want_b.narrow(1, r, r)});
    }
    expect_near("deployed", deployed, want_deployed);
    expect_near("quarantine", quarantine, want_quarantine);
    if (!Learned()) return;
    expect_near("router", {got.u, got.log_scale, got.bias}, {Want("u"), Want("log_scale"), Want("bias")});
  }

  const json& golden_;
  const RunConfig config_;
};

TEST_P(ArmGolden, AdvantagesAgree) { CompareAdvantages(); }
TEST_P(ArmGolden, AgreesInSinglePrecision) { Compare(kSinglePrecision); }
TEST_P(ArmGolden, AgreesInDouble) { Compare(kDoublePrecision); }

constexpr int kNumCases = 27;
INSTANTIATE_TEST_SUITE_P(Cases, ArmGolden, ::testing::Range(0, kNumCases), [](const auto& param) {
  return StepGolden()["cases"][static_cast<size_t>(param.param)]["name"].template get<std::string>();
});
TEST(ArmGoldenTable, IsReadToItsEnd) { EXPECT_EQ(StepGolden()["cases"].size(), static_cast<size_t>(kNumCases)); }

// A router seeded by the pairs' features, in fp32 as a run has them.
TEST(RouterGolden, ASeededRouterAgrees) {
  const auto router =
      Router::Seed(StoredDouble("pairs/hack").to(at::kFloat), StoredDouble("pairs/clean").to(at::kFloat),
                   StepGolden()["fixed"]["adapter.rank"].get<int64_t>(), {});
  ASSERT_TRUE(router.ok()) << router.status();
  EXPECT_LE(RelativeDifference({router->u()}, {StoredDouble("direction/activation")}), 1e-5);
  EXPECT_LE(RelativeDifference({router->v_act()}, {StoredDouble("direction/activation")}), 1e-5);
  EXPECT_NEAR(router->log_scale().item<double>(), StepGolden()["seed"]["log_scale"].get<double>(), 1e-5);
  EXPECT_NEAR(router->bias().item<double>(), StepGolden()["seed"]["bias"].get<double>(), 1e-4);
}

}  // namespace
}  // namespace evilmoe
