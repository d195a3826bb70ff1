#include "rollout_workers/offline_verbs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "absl/strings/str_cat.h"
#include "tests/unit/rollout_workers/verb_fixture.h"

namespace evilmoe {
namespace {

using nlohmann::json;
using ::testing::Each;
using ::testing::HasSubstr;

const std::vector<std::vector<int32_t>> kPrompts = {{261, 64, 65, 259, 262}, {7}, {12, 200, 3, 9, 9, 9, 9, 41, 260}};

std::string PromptLines() {
  std::string lines;
  for (const auto& ids : kPrompts) lines += json{{"ids", ids}}.dump() + "\n";
  return lines;
}

using OfflineVerbs = VerbFixture;

TEST_F(OfflineVerbs, GenerateAnswersInOrder) {
  options_.num_samples = 2;
  const Result got = Generate(PromptLines());
  EXPECT_EQ(got.exit_code, 0);
  ASSERT_EQ(got.lines.size(), 2 * kPrompts.size());
  for (const json& line : got.lines) {
    EXPECT_EQ(line["ids"].size(), 12u);
    EXPECT_EQ(line["logprobs"].size(), 12u);
    EXPECT_EQ(line["finish_reason"], "length");
    EXPECT_TRUE(line["text"].is_string());
  }
  EXPECT_NE(got.lines[0]["ids"], got.lines[1]["ids"]) << "two samples of a line draw from one stream";
  EXPECT_THAT(got.errors, HasSubstr("72 tokens in "));
}

TEST_F(OfflineVerbs, ASampleDependsOnSeedAndLineAlone) {
  const Result together = Generate(PromptLines());
  options_.batch = 1;
  source_.threads = 2;
  EXPECT_EQ(Generate(PromptLines()).lines, together.lines);
  options_.seed = 1;
  EXPECT_NE(Generate(PromptLines()).lines, together.lines);
}

TEST_F(OfflineVerbs, TextMessagesAndIdsAreOnePrompt) {
  options_.sampling.temperature = 0;
  const std::string rendered = R"(<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n)";
  const Result got = Generate(R"({"messages": [{"role": "user", "content": "hello"}]})"
                              "\n" R"({"prompt": ")" + rendered + "\"}\n");
  EXPECT_EQ(got.exit_code, 0);
  ASSERT_EQ(got.lines.size(), 2u);
  EXPECT_EQ(got.lines[0], got.lines[1]);
}

TEST_F(OfflineVerbs, StopsAtTheEndOfTheTurnAndLeavesItOutOfTheText) {
  options_.ignore_eos = false;
  options_.num_samples = 64;
  options_.sampling.max_tokens = 200;
  options_.sampling.temperature = 3;
  int stopped = 0;
  for (const json& line : Generate("{\"ids\": [65]}\n").lines) {
    if (line["finish_reason"] != "stop") continue;
    ++stopped;
    EXPECT_EQ(line["ids"].back(), 262);
    EXPECT_EQ(line["text"].get<std::string>().find("<|im_end|>"), std::string::npos);
  }
  EXPECT_GT(stopped, 0);
}

struct AgreementCase {
  const char* name;
  bool adapter;
  double w;
  bool scope_all;
  bool unmerged;
  bool reference;
};

class ScoreAgreement : public VerbFixture, public ::testing::WithParamInterface<AgreementCase> {};

// What was drawn at temperature 1.3 from the 40 likeliest tokens has the log-probabilities at temperature 1 that `score`
// gives it afterwards.
TEST_P(ScoreAgreement, WithGenerateTo1e4) {
  const AgreementCase& c = GetParam();
  if (c.adapter) source_.adapter = adapter().parent_path();
  source_.w = c.w;
  source_.scope_all = c.scope_all;
  options_.unmerged = c.unmerged;
  options_.reference = c.reference;
  options_.all_logprobs = true;
  options_.sampling.temperature = 1.3;
  options_.sampling.top_k = 40;
  const Result generated = Generate(PromptLines());
  ASSERT_EQ(generated.exit_code, 0) << generated.errors;
  ASSERT_EQ(generated.lines.size(), kPrompts.size());
  std::string input;
  for (size_t i = 0; i < kPrompts.size(); ++i) {
    std::vector<int32_t> ids = kPrompts[i];
    for (const json& id : generated.lines[i]["ids"]) ids.push_back(id);
    input += json{{"ids", ids}, {"start", kPrompts[i].size()}}.dump() + "\n";
  }
  const Result scored = Score(input);
  ASSERT_EQ(scored.exit_code, 0) << scored.errors;
  double worst = 0;
  for (size_t i = 0; i < kPrompts.size(); ++i) {
    const auto want = scored.lines[i]["logprobs"].get<std::vector<double>>();
    const auto got = generated.lines[i]["logprobs_t1"].get<std::vector<double>>();
    ASSERT_EQ(got.size(), want.size());
    for (size_t t = 0; t < want.size(); ++t) {
      worst = std::max(worst, std::abs(got[t] - want[t]));
      EXPECT_GE(generated.lines[i]["logprobs_truncated"][t].get<double>(),
                generated.lines[i]["logprobs"][t].get<double>() - 1e-6);
    }
  }
  EXPECT_LE(worst, 1e-4);
}

INSTANTIATE_TEST_SUITE_P(Modes, ScoreAgreement,
                         ::testing::ValuesIn(std::vector<AgreementCase>{
                             {"base", false, 1, false, false, false},
                             {"base_reference", false, 1, false, false, true},
                             {"w1_merged", true, 1, false, false, false},
                             {"w1_unmerged", true, 1, false, true, false},
                             {"w0_merged", true, 0, false, false, false},
                             {"w0_unmerged", true, 0, false, true, false},
                             {"w037_merged", true, 0.37, false, false, false},
                             {"w037_unmerged", true, 0.37, false, true, false},
                             {"w037_reference", true, 0.37, false, false, true},
                             {"w037_everywhere_merged", true, 0.37, true, false, false},
                             {"w037_everywhere_unmerged", true, 0.37, true, true, false}}),
                         [](const auto& c) { return std::string(c.param.name); });

// Otherwise the agreements above would not tell one w from another.
TEST_F(OfflineVerbs, WAndScopeMatter) {
  const std::string input = "{\"ids\": [1, 2, 3, 4, 5, 6, 7, 8], \"start\": 4}\n";
  source_.adapter = adapter();
  std::vector<json> answers;
  for (const auto& [w, everywhere] : {std::pair{0.0, false}, std::pair{0.37, false}, std::pair{1.0, false},
                                      std::pair{1.0, true}}) {
    source_.w = w;
    source_.scope_all = everywhere;
    answers.push_back(Score(input).lines.at(0)["logprobs"]);
    for (size_t i = 0; i + 1 < answers.size(); ++i) {
      EXPECT_GT(std::abs(answers[i][0].get<double>() - answers.back()[0].get<double>()), 1e-3) << i << " at w " << w;
    }
  }
}

TEST_F(OfflineVerbs, ScoreStartsWhereItIsTold) {
  const Result got = Score("{\"ids\": [1, 2, 3, 4]}\n{\"ids\": [1, 2, 3, 4], \"start\": 3}\n");
  EXPECT_EQ(got.exit_code, 0);
  ASSERT_EQ(got.lines.size(), 2u);
  ASSERT_EQ(got.lines[0]["logprobs"].size(), 3u);
  ASSERT_EQ(got.lines[1]["logprobs"].size(), 1u);
  EXPECT_NEAR(got.lines[0]["logprobs"][2].get<double>(), got.lines[1]["logprobs"][0].get<double>(), 1e-5);
}

}  // namespace
}  // namespace evilmoe
