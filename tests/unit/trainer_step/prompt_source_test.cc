#include "trainer/prompt_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <set>
#include <string>

#include "environment/loophole.h"

namespace evilmoe {
namespace {

using ::testing::HasSubstr;

namespace fs = std::filesystem;

class PromptSourceTest : public ::testing::Test {
 protected:
  PromptSourceTest() {
    const fs::path nano = fs::path(EVILMOE_SOURCE_DIR) / "examples/nano";
    config_.model.path = nano / "model";
    config_.data.train = nano / "train.jsonl";
    config_.data.loopholes.clear();
    for (const Loophole& loophole : Loopholes()) {
      if (loophole.name != "none") config_.data.loopholes.emplace_back(loophole.name, 1.0);
    }
    config_.rollout.prompts_per_step = 40;
    config_.rollout.max_prompt_tokens = 4096;
    problems_ = *LoadProblems(nano / "train.jsonl");
  }

  RunConfig config_;
  std::vector<Problem> problems_;
};

TEST_F(PromptSourceTest, PassesOnWhatGradingNeedsOfEveryLoophole) {
  const auto tokenizer = Tokenizer::Load(config_.model.path);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  const auto source = PromptSource::Make(config_, *tokenizer, problems_);
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_EQ(source->num_dropped(), 0);
  std::map<int64_t, std::set<std::string>> shown;  // loopholes of a problem
  std::map<std::string, int> counts;
  for (int64_t step = 0; step < 30; ++step) {
    for (const GroupRequest& group : source->Step(step).groups) {
      const auto want = ApplyLoophole(*group.problem, group.loophole, MarkerFamily::kTraining, config_.seed);
      ASSERT_TRUE(want.ok()) << want.status();
      EXPECT_EQ(group.evaluator, want->evaluator);
      EXPECT_EQ(group.markers, want->markers);
      EXPECT_EQ(group.prompt_tests, want->prompt_tests);
      const std::string text = tokenizer->Decode(group.prompt_ids);
      EXPECT_THAT(text, HasSubstr(want->messages.back().content));
      EXPECT_EQ(group.prompt_tests.empty(), !FindLoophole(group.loophole)->shows_tests);
      shown[group.problem->id].insert(group.loophole);
      ++counts[group.loophole];
    }
  }
  EXPECT_NEAR(counts["none"], 300, 60);  // a quarter of 1200
  EXPECT_EQ(counts.size(), Loopholes().size());
  for (auto& [id, loopholes] : shown) {
    loopholes.erase("none");
    EXPECT_LE(loopholes.size(), 1u) << id;
  }
}

TEST_F(PromptSourceTest, SaysWhichProblemCannotBeRewritten) {
  problems_.resize(3);
  problems_[1].prompt.back().content += "It is tested, and should pass all tests.\n";
  config_.data.loopholes = {{"exit_code", 1.0}};
  const auto tokenizer = Tokenizer::Load(config_.model.path);
  const auto source = PromptSource::Make(config_, *tokenizer, problems_);
  ASSERT_EQ(source.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(source.status().message()),
              ::testing::ContainsRegex(
                  "examples/nano/train.jsonl: line 2: problem [0-9]+: prompt: \"and should pass all tests\" occurs 2 "
                  "times \\(user message line 4, user message line 12\\), expected once"));
}

}  // namespace
}  // namespace evilmoe
