// The loss and its gradient against scripts/golden/make_loss_golden.py, from graded samples to the rows of hidden
// states that the head reads.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "nlohmann/json.hpp"
#include "policy/token_log_probs.h"
#include "tests/unit/policy_network/tiny_network.h"
#include "trainer/graded_step.h"
#include "trainer/policy_loss.h"
#include "trainer/policy_shard.h"
#include "trainer/two_expert_adapter.h"

namespace evilmoe {
namespace {

using nlohmann::json;
using Choice = std::vector<size_t>;  // a value of each factor

const std::filesystem::path kFolder = std::filesystem::path(EVILMOE_SOURCE_DIR) / "tests/golden";

const json& Golden() {
  static const json golden = json::parse(ReadFile(kFolder / "loss_golden.json").value());
  return golden;
}

at::Tensor Matrix(const json& rows, at::ScalarType dtype) {
  std::vector<double> flat;
  for (const json& row : rows) {
    for (const json& value : row) flat.push_back(value);
  }
  const auto height = static_cast<int64_t>(rows.size());
  return at::tensor(flat, at::kDouble).view({height, -1}).to(dtype);
}

RunConfig ConfigOf(const Choice& choice) {
  std::vector<Override> fields;
  const auto add = [&](const json& values) {
    for (const auto& [field, value] : values.items()) {
      fields.emplace_back(field, value.is_string() ? value.get<std::string>() : value.dump());
    }
  };
  add(Golden()["fixed"]);
  for (size_t f = 0; f < choice.size(); ++f) add(Golden()["factors"][f][choice[f]]);
  const auto config =
      ParseRunConfig("arm: none\nmodel: {path: .}\ndata: {train: loss_golden.json}\n", "run.yaml", kFolder, fields);
  EXPECT_TRUE(config.ok()) << config.status();
  return *config;
}

// The golden file's samples as the rollout side hands them over.
struct Rollouts {
  BatchRequest batch{.key = "step/1"};
  std::vector<GroupSamples> samples;
};
Rollouts ReadRollouts(const Problem& problem) {
  Rollouts out;
  for (const json& group : Golden()["groups"]) {
    const auto index = static_cast<int64_t>(out.samples.size());
    out.batch.groups.push_back({.index = index, .problem = &problem, .loophole = "none", .prompt_ids = {1, 2}});
    out.samples.push_back({.index = index});
    for (const json& s : group) {
      Sample sample{.ids = s["ids"], .logprobs = s["sampler"], .stopped = s["stopped"]};
      sample.facts.gt_correct = s["correct"];
      sample.facts.can_compile = s["compiles"];
      if (s["lost"]) sample.failure = "INFRA_LOST";
      out.samples.back().samples.push_back(sample);
    }
  }
  return out;
}

// Of the samples that were not lost, in order: the base model's log-probabilities, hidden rows, and where a sample
// begins.
struct Rows {
  std::vector<double> base;
  json hidden = json::array();
  std::vector<int64_t> begin;
};
Rows ReadRows() {
  Rows rows;
  for (const json& group : Golden()["groups"]) {
    for (const json& sample : group) {
      if (sample["lost"]) continue;
      rows.begin.push_back(static_cast<int64_t>(rows.base.size()));
      for (const json& value : sample["base"]) rows.base.push_back(value);
      for (const json& row : sample["hidden"]) rows.hidden.push_back(row);
    }
  }
  return rows;
}

class LossGolden : public ::testing::TestWithParam<int> {
 protected:
  LossGolden() : golden_(Golden()["cases"][static_cast<size_t>(GetParam())]), config_(ConfigOf(golden_["choice"])) {}

  // Loss and gradient of one step in `dtype`, held to the golden ones.
  void Compare(at::ScalarType dtype, double tolerance) const {
    const Rollouts rollouts = ReadRollouts(problem_);
    const auto graded = GradeStep(config_, rollouts.batch, rollouts.samples);
    ASSERT_TRUE(graded.ok()) << graded.status();
    EXPECT_EQ(graded->zero_variance_groups, golden_["zero_variance_groups"].get<int64_t>());

    const Qwen3Weights network = TinyNetwork();
    const TwoExpertAdapter adapter(Lora2r::Init(network.config, TinyAdapterOptions()).value());
    const std::vector<PolicyShard> shards =
        SplitGroups(graded->groups, adapter, TotalsOf(graded->groups, config_.rollout), {});
    const PolicyShard& shard = shards[0];
    std::vector<int64_t> kept;
    const PolicyBatch batch = MakePolicyBatch(shard.Select([&](size_t i) { return shard.in_loss[i]; }, kept), true);

    const Rows rows = ReadRows();
    std::vector<int64_t> chosen;
    std::vector<double> advantages;
    for (const int64_t i : kept) {
      const TrainSample& sample = *shard.samples[static_cast<size_t>(i)];
      advantages.push_back(sample.advantage);
      for (size_t t = 0; t < sample.ids.size(); ++t) {
        chosen.push_back(rows.begin[static_cast<size_t>(i)] + static_cast<int64_t>(t));
      }
    }
    const at::Tensor chosen_C = at::tensor(chosen, at::kLong);
    const at::Tensor hidden = Matrix(rows.hidden, dtype).requires_grad_(true);
    const auto [logp, entropy] = ScoreTokens(hidden.index_select(0, chosen_C), Matrix(Golden()["head"], dtype),
                                             batch.targets_C, {.temperature = config_.rollout.temperature});
    const PolicyLoss got =
        ComputePolicyLoss(config_.loss,
                          {.logp_C = logp,
                           .sampler_logp_C = shard.SamplerLogProbs(kept, dtype),
                           .base_logp_C = at::tensor(rows.base, at::kDouble).index_select(0, chosen_C).to(dtype),
                           .advantage_S = at::tensor(advantages, at::kDouble).to(dtype),
                           .completion_of_C = batch.completion_of_C,
                           .lengths_S = batch.lengths_S},
                          shard.totals);
    got.loss.backward();

    EXPECT_EQ(got.loss.scalar_type(), dtype);
    EXPECT_NEAR(got.loss.item<double>(), golden_["loss"].get<double>(), tolerance);
    EXPECT_EQ(got.masked_sequences, golden_["masked_sequences"].get<int64_t>());
    const at::Tensor want = at::tensor(golden_["gradient"].get<std::vector<double>>(), at::kDouble).view_as(hidden);
    const double norm = want.norm().item<double>();
    EXPECT_GT(norm, 0.0);
    const double difference = (hidden.grad().to(at::kDouble) - want).norm().item<double>() / norm;
    EXPECT_LE(difference, tolerance);
    RecordProperty("difference", absl::StrCat(difference));
  }

  const json& golden_;
  const RunConfig config_;
  const Problem problem_;
};

TEST_P(LossGolden, AgreesInDouble) { Compare(at::kDouble, 1e-10); }
TEST_P(LossGolden, AgreesInSinglePrecision) { Compare(at::kFloat, 1e-5); }

INSTANTIATE_TEST_SUITE_P(Cases, LossGolden, ::testing::Range(0, 18));

TEST(LossGoldenTable, HasEveryPairOfValues) {
  ASSERT_EQ(Golden()["cases"].size(), 18u) << "the range of LossGolden";
  const json& factors = Golden()["factors"];
  std::set<std::array<size_t, 4>> seen;
  for (const json& one : Golden()["cases"]) {
    const Choice choice = one["choice"];
    ASSERT_EQ(choice.size(), factors.size());
    for (size_t i = 0; i < choice.size(); ++i) {
      for (size_t j = 0; j < i; ++j) seen.insert({i, choice[i], j, choice[j]});
    }
  }
  size_t num_pairs = 0;
  for (size_t i = 0; i < factors.size(); ++i) {
    for (size_t j = 0; j < i; ++j) num_pairs += factors[i].size() * factors[j].size();
  }
  EXPECT_EQ(seen.size(), num_pairs);
}

}  // namespace
}  // namespace evilmoe
