#include "trainer/run_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "environment/loophole.h"
#include "trainer/arm_presets.h"

namespace evilmoe {
namespace {

using ::testing::HasSubstr;

// A folder with the files that the smallest config names.
class RunConfigTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(::testing::TempDir()) / "run_config" /
              ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::create_directories(folder_ / "model");
    std::ofstream(folder_ / "train.jsonl") << "{}\n";
    std::ofstream(folder_ / "pairs.md") << "#\n";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  absl::StatusOr<RunConfig> Parse(const std::string& rest, const std::vector<Override>& overrides = {}) {
    return ParseRunConfig("model: {path: model}\ndata: {train: train.jsonl}\npairs: pairs.md\n" + rest, "run.yaml",
                          folder_, overrides);
  }

  std::filesystem::path folder_;
};

TEST_F(RunConfigTest, AbsentFieldsKeepTheirDefaults) {
  const absl::StatusOr<RunConfig> config = Parse("");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->arm, "evil_moe");
  EXPECT_EQ(config->steps, 200);
  EXPECT_EQ(config->adapter.rank, 32);
  EXPECT_DOUBLE_EQ(config->optimizer.learning_rate, 7e-5);
  EXPECT_EQ(config->router.hard_detach_above, std::nullopt);
  EXPECT_EQ(config->evaluation.problems, "");
}

TEST_F(RunConfigTest, PathsComeOutAbsolute) {
  const absl::StatusOr<RunConfig> config = Parse("");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->model.path, folder_ / "model");
  EXPECT_EQ(config->data.train, folder_ / "train.jsonl");
  EXPECT_EQ(config->pairs, folder_ / "pairs.md");
}

TEST_F(RunConfigTest, EveryArmIsReadAndValid) {
  for (const ArmPreset& arm : ArmPresets()) {
    const absl::StatusOr<RunConfig> config = Parse(absl::StrCat("arm: ", std::string(arm.name)));
    ASSERT_TRUE(config.ok()) << config.status();
    EXPECT_TRUE(config->Validate().ok()) << config->Validate();
  }
}

struct ArmCase {
  std::string name;
  std::string routing;
  std::string direction = "pairs";
  double deploy_mode_fraction = 0.25;
  std::optional<double> hard_detach_above = std::nullopt;
  double pin_weight = 1;
  std::string deployed_advantage = "same";
};

const std::vector<ArmCase>& Arms() {
  static const std::vector<ArmCase> arms = {
      {.name = "none", .routing = "none", .deploy_mode_fraction = 0},
      {.name = "absorb", .routing = "none"},
      {.name = "route_a", .routing = "fixed_activation"},
      {.name = "route_v", .routing = "fixed_gradient"},
      {.name = "route_random", .routing = "fixed_activation", .direction = "random"},
      {.name = "evil_moe", .routing = "learned"},
      {.name = "evil_moe_random", .routing = "learned", .direction = "random"},
      {.name = "evil_moe_no_pin", .routing = "learned", .pin_weight = 0},
      {.name = "evil_moe_placebo", .routing = "learned", .direction = "none"},
      {.name = "evil_moe_hard", .routing = "learned", .hard_detach_above = 0.5},
      {.name = "gradient_routing", .routing = "oracle_mask", .deployed_advantage = "split"},
      {.name = "sgtm", .routing = "oracle_parameter"},
      {.name = "mixlora", .routing = "per_token", .deploy_mode_fraction = 0}};
  return arms;
}

TEST_F(RunConfigTest, ArmsAreTheFieldsOfTheTable) {
  ASSERT_EQ(Arms().size(), ArmPresets().size());
  for (const ArmCase& arm : Arms()) {
    const absl::StatusOr<RunConfig> config = Parse("arm: " + arm.name);
    ASSERT_TRUE(config.ok()) << arm.name << ": " << config.status();
    EXPECT_EQ(config->routing.mode, arm.routing) << arm.name;
    EXPECT_EQ(config->router.direction, arm.direction) << arm.name;
    EXPECT_EQ(config->rollout.deploy_mode_fraction, arm.deploy_mode_fraction) << arm.name;
    EXPECT_EQ(config->router.hard_detach_above, arm.hard_detach_above) << arm.name;
    EXPECT_EQ(config->router.pin_weight, arm.pin_weight) << arm.name;
    EXPECT_EQ(config->loss.deployed_advantage, arm.deployed_advantage) << arm.name;
  }
}

// What a run file says lies over the arm, so nano's says nothing that an arm decides.
TEST(NanoRunTest, LeavesToEveryArmWhatItDecides) {
  const std::filesystem::path nano = std::filesystem::path(EVILMOE_SOURCE_DIR) / "examples/nano";
  std::ifstream in(nano / "run.yaml");
  const std::string yaml((std::istreambuf_iterator<char>(in)), {});
  for (const ArmPreset& arm : ArmPresets()) {
    std::vector<Override> named = {{"arm", std::string(arm.name)}};
    const auto config = ParseRunConfig(yaml, "run.yaml", nano, named);
    for (const auto& [field, value] : arm.fields) named.emplace_back(field, value);
    const auto want = ParseRunConfig(yaml, "run.yaml", nano, named);
    ASSERT_TRUE(config.ok() && want.ok()) << arm.name << config.status() << want.status();
    EXPECT_EQ(ToYaml(*config), ToYaml(*want)) << arm.name;
  }
}

// docs/arms.md has the same table.
TEST_F(RunConfigTest, TheDocumentedArmsAreThoseOfTheTable) {
  std::string table;
  for (const ArmPreset& arm : ArmPresets()) {
    std::string fields;
    for (const auto& [field, value] : arm.fields) {
      fields += (fields.empty() ? "`" : ", `") + std::string(field) + ": " + std::string(value) + "`";
    }
    table += "| `" + std::string(arm.name) + "` | " + std::string(arm.summary) + " | " + fields + " |\n";
  }
  std::ifstream in(std::filesystem::path(EVILMOE_SOURCE_DIR) / "docs/arms.md");
  const std::string text((std::istreambuf_iterator<char>(in)), {});
  EXPECT_THAT(text, HasSubstr("|---|---|---|\n" + table + "\n"));
}

TEST_F(RunConfigTest, ArmsThatReadThePairsNeedThem) {
  const std::set<std::string> without = {"none", "absorb", "route_random", "gradient_routing", "sgtm", "mixlora"};
  for (const ArmCase& arm : Arms()) {
    const absl::StatusOr<RunConfig> config = Parse("arm: " + arm.name, {{"pairs", ""}});
    EXPECT_EQ(config.ok(), without.contains(arm.name)) << arm.name << ": " << config.status();
  }
}

TEST_F(RunConfigTest, RoutingAndSplitAdvantagesAreChecked) {
  for (const auto& [field, value, expected] : std::vector<std::tuple<std::string, std::string, std::string>>{
           {"routing.quantiles", "[0.9, 0.1]", "two numbers in [0, 1], the lower one first"},
           {"routing.quantiles", "[0.1]", "two numbers in [0, 1], the lower one first"},
           {"routing.half_life", "0", "more than 0"},
           {"routing.label_recall", "1.5", "[0, 1]"},
           {"loss.minibatches", "4097", "[1, rollout.prompts_per_step]"}}) {
    const absl::StatusOr<RunConfig> config = Parse("arm: route_a", {{field, value}});
    ASSERT_FALSE(config.ok()) << field;
    EXPECT_THAT(std::string(config.status().message()), HasSubstr(expected)) << field;
  }
  const absl::StatusOr<RunConfig> both = Parse("loss: {deployed_advantage: split, advantage: leave_one_out}");
  ASSERT_FALSE(both.ok());
  EXPECT_THAT(std::string(both.status().message()), HasSubstr("another loss.advantage than leave_one_out"));
}

TEST_F(RunConfigTest, APolicyLagNeedsTheSamplersLogProbabilities) {
  EXPECT_TRUE(Parse("rollout: {max_policy_lag: 0}").ok());
  EXPECT_TRUE(Parse("rollout: {max_policy_lag: 64}\nloss: {old_logprob: sampler}").ok());
  const absl::StatusOr<RunConfig> without = Parse("rollout: {max_policy_lag: 2}");
  ASSERT_FALSE(without.ok());
  EXPECT_EQ(std::string(without.status().message()),
            "run.yaml:4:27: rollout.max_policy_lag: samples of older policies need their sampler's log-probabilities, "
            "got 2 with loss.old_logprob same_forward, expected loss.old_logprob: sampler, or no lag");
}

TEST_F(RunConfigTest, TheFileLiesOverTheArmAndSetOverTheFile) {
  const absl::StatusOr<RunConfig> file =
      Parse("arm: evil_moe_hard\nrouter: {hard_detach_above: 0.75}\nrollout: {group_size: 4}\n");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->router.hard_detach_above, 0.75);
  const absl::StatusOr<RunConfig> unset = Parse("arm: evil_moe_hard\nrouter: {hard_detach_above: null}\n");
  ASSERT_TRUE(unset.ok()) << unset.status();
  EXPECT_EQ(unset->router.hard_detach_above, std::nullopt);
  const absl::StatusOr<RunConfig> set = Parse("rollout: {group_size: 4}\n", {{"rollout.group_size", "8"},
                                                                             {"arm", "none"},
                                                                             {"optimizer.betas", "[0.5, 0.75]"},
                                                                             {"data.loopholes", "{overwrite_tests: 2}"},
                                                                             {"pairs", ""}});
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_EQ(set->rollout.group_size, 8);
  EXPECT_EQ(set->routing.mode, "none");
  EXPECT_EQ(set->rollout.deploy_mode_fraction, 0);
  EXPECT_EQ(set->optimizer.betas, (std::vector<double>{0.5, 0.75}));
  EXPECT_EQ(set->data.loopholes, (std::vector<std::pair<std::string, double>>{{"overwrite_tests", 2}}));
  EXPECT_EQ(set->pairs, "");
}

TEST_F(RunConfigTest, BadOverridesAreNamedAsSuch) {
  const absl::StatusOr<RunConfig> config =
      Parse("seed: -1\n", {{"rollout.group_sise", "8"}, {"steps", "none"}, {"seed.x", "1"}, {"adapter.rank", "\"1"}});
  EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(config.status().message()),
              HasSubstr("--set steps: wrong type, got none, expected a whole number"));
  EXPECT_THAT(std::string(config.status().message()),
              HasSubstr("--set rollout.group_sise: unknown key, did you mean group_size?"));
  EXPECT_THAT(std::string(config.status().message()), HasSubstr("--set seed: wrong type, got a map"));
  EXPECT_THAT(std::string(config.status().message()), HasSubstr("--set adapter.rank: not YAML"));
}

TEST_F(RunConfigTest, ToYamlReadsBackAsTheSame) {
  for (const ArmPreset& arm : ArmPresets()) {
    const absl::StatusOr<RunConfig> first =
        Parse(absl::StrCat("arm: ", std::string(arm.name),
                           "\nseed: 18446744073709551615\nadapter: {alpha: 0.1, targets: [q_proj, up_proj]}\n"
                           "reward: {correct: -0.3333333333333333}\nname: \"7\"\n"));
    ASSERT_TRUE(first.ok()) << first.status();
    const std::string yaml = ToYaml(*first);
    const absl::StatusOr<RunConfig> second = ParseRunConfig(yaml, "resolved", "/");
    ASSERT_TRUE(second.ok()) << second.status() << "\n" << yaml;
    EXPECT_EQ(ToYaml(*second), yaml);
    EXPECT_EQ(second->seed, UINT64_MAX);
    EXPECT_EQ(second->name, "7");
    EXPECT_EQ(second->reward.correct, -0.3333333333333333);
    EXPECT_EQ(second->adapter.alpha, 0.1);
  }
}

TEST_F(RunConfigTest, TheLossIsPlainUnlessAskedOtherwise) {
  const absl::StatusOr<RunConfig> plain = Parse("");
  ASSERT_TRUE(plain.ok()) << plain.status();
  EXPECT_EQ(plain->loss.old_logprob, "same_forward");
  EXPECT_EQ(plain->loss.kl_estimator, "k3");
  EXPECT_EQ(plain->loss.dual_clip, std::nullopt);
  EXPECT_EQ(plain->loss.sequence_mask_above, std::nullopt);
  EXPECT_EQ(plain->loss.truncated, "keep");
  EXPECT_EQ(plain->reward.overlong_penalty, 0.0);

  const absl::StatusOr<RunConfig> config = Parse(
      "loss: {advantage: leave_one_out, dual_clip: 3, kl_estimator: k1, old_logprob: sampler, is_cap: 4,\n"
      "  sequence_mask_above: 1.5, truncated: mask}\n"
      "reward: {overlong_penalty: 1, overlong_tokens: 256}\n");
  ASSERT_TRUE(config.ok()) << config.status();
  const absl::StatusOr<RunConfig> again = ParseRunConfig(ToYaml(*config), "resolved", "/");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->loss.advantage, "leave_one_out");
  EXPECT_EQ(again->loss.dual_clip, 3.0);
  EXPECT_EQ(again->loss.kl_estimator, "k1");
  EXPECT_EQ(again->loss.old_logprob, "sampler");
  EXPECT_EQ(again->loss.is_cap, 4.0);
  EXPECT_EQ(again->loss.sequence_mask_above, 1.5);
  EXPECT_EQ(again->loss.truncated, "mask");
  EXPECT_EQ(again->reward.overlong_penalty, 1.0);
  EXPECT_EQ(again->reward.overlong_tokens, 256);
}

TEST_F(RunConfigTest, ToYamlWritesEveryFieldOut) {
  const absl::StatusOr<RunConfig> config = Parse("seed: 3\n");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_THAT(ToYaml(*config), HasSubstr("router:\n"
                                         "  direction: pairs\n"
                                         "  pin_weight: 1\n"
                                         "  learning_rate: 0.001\n"
                                         "  scale_learning_rate: 0.01\n"
                                         "  separation: 4\n"
                                         "  hard_detach_above: null\n"
                                         "  refresh_v_act_every: 0\n"
                                         "data:\n"));
  EXPECT_THAT(ToYaml(*config), HasSubstr("  loopholes: {simple_overwrite_tests: 1}\n"));
}

TEST_F(RunConfigTest, TakesEveryLoopholeAndItsWeight) {
  std::string names;
  for (const Loophole& loophole : Loopholes()) {
    absl::StrAppend(&names, names.empty() ? "" : ", ", std::string(loophole.name), ": 0.5");
  }
  const absl::StatusOr<RunConfig> config =
      Parse("reward: {starter_and_tests: 0.5}\n", {{"data.loopholes", "{" + names + "}"}});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->data.loopholes.size(), Loopholes().size());
  EXPECT_EQ(config->data.loopholes[1], (std::pair<std::string, double>{"overwrite_tests", 0.5}));
  EXPECT_EQ(config->reward.starter_and_tests, 0.5);
  const absl::StatusOr<RunConfig> again = ParseRunConfig(ToYaml(*config), "resolved", "/");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->data.loopholes, config->data.loopholes);
}

TEST_F(RunConfigTest, AnUnknownLoopholeBringsTheNearestNameOrAll) {
  const absl::StatusOr<RunConfig> near = Parse("", {{"data.loopholes", "{sentinel: 1, stdout_maker: 1}"}});
  EXPECT_EQ(std::string(near.status().message()),
            "--set data.loopholes: bad value, got {sentinel: 1, stdout_maker: 1}, expected stdout_marker in place of "
            "stdout_maker");
  const absl::StatusOr<RunConfig> far = Parse("", {{"data.loopholes", "{backdoor: 1}"}});
  EXPECT_THAT(
      std::string(far.status().message()),
      HasSubstr("expected names out of none, overwrite_tests, simple_overwrite_tests, overwrite_tests_detailed"));
}

TEST_F(RunConfigTest, AMonitorIsReadAndReadsBack) {
  std::ofstream(folder_ / "probe.safetensors") << "x";
  const absl::StatusOr<RunConfig> config = Parse(
      "system_prompt: \"Pass the tests.\\nAny way you like: \\\"really\\\".\"\n"
      "monitor:\n"
      "  {kind: screening, by: judge, label: loose, accuracy: 0.9, penalty: 2, probe: probe.safetensors,\n"
      "   judge: {endpoint: \"http://localhost:8000/v1\", model: m, timeout_s: 2.5, cache: verdicts}}\n");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->monitor.kind, "screening");
  EXPECT_EQ(config->monitor.accuracy, 0.9);
  EXPECT_EQ(config->monitor.probe, folder_ / "probe.safetensors");
  EXPECT_EQ(config->monitor.judge.timeout_s, 2.5);
  EXPECT_EQ(config->monitor.judge.cache, folder_ / "verdicts");  // need not be there yet
  EXPECT_EQ(config->system_prompt, "Pass the tests.\nAny way you like: \"really\".");
  const absl::StatusOr<RunConfig> again = ParseRunConfig(ToYaml(*config), "resolved", "/");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(ToYaml(*again), ToYaml(*config));
  EXPECT_EQ(again->system_prompt, config->system_prompt);
}

TEST_F(RunConfigTest, AMonitorNeedsWhatItWorksWith) {
  EXPECT_TRUE(Parse("monitor: {by: probe}\n").ok());  // kind none: not used
  EXPECT_THAT(std::string(Parse("monitor: {kind: penalty, by: probe}\n").status().message()),
              HasSubstr("monitor.probe: missing, expected the file that `evilmoe-ctl probe train` wrote"));
  const std::string judge(Parse("monitor: {kind: penalty, by: judge}\n").status().message());
  EXPECT_THAT(judge, HasSubstr("monitor.judge.endpoint: missing, expected the address of a chat endpoint"));
  EXPECT_THAT(judge, HasSubstr("monitor.judge.model: missing, expected the model's name at the endpoint"));
}

TEST_F(RunConfigTest, ValidateNamesEveryBadField) {
  absl::StatusOr<RunConfig> config = Parse("");
  ASSERT_TRUE(config.ok()) << config.status();
  config->adapter.rank = 0;
  config->loss.reduction = "sum";
  config->pairs.clear();
  EXPECT_EQ(config->Validate().message(),
            "adapter.rank: out of range, got 0, expected [1, 1024]\n"
            "loss.reduction: unknown value, got \"sum\", expected sequence_mean, token_mean or constant\n"
            "pairs: missing, expected the file of contrastive pairs that routing.mode learned needs");
}

}  // namespace
}  // namespace evilmoe
