#include "trainer/rank_messages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

namespace evilmoe {
namespace {

using ::testing::HasSubstr;

RankMessage StepMessage() {
  RankMessage message = {.kind = RankMessageKind::kStep, .run_yaml = "", .step = 7, .groups = {}};
  TrainGroup& group = message.groups.emplace_back();
  group.prompt_ids = {1, 2, 3};
  group.in_loss = false;
  TrainSample& sample = group.samples.emplace_back();
  sample.ids = {4, 5};
  sample.sampler_logprobs = {-0.5f, -1.25f};
  sample.advantage = -0.1;
  sample.reward = 3.5;
  sample.oracle_hack = false;
  sample.left_out = true;
  sample.deploy_mode = true;
  group.samples.emplace_back().masked = true;  // lost: nothing came of it
  message.groups.push_back({.prompt_ids = {9}, .samples = {}, .in_loss = true});
  return message;
}

TEST(RankMessages, ComeBackAsTheyWere) {
  const std::string bytes = EncodeRankMessage(StepMessage());
  const absl::StatusOr<RankMessage> back = DecodeRankMessage(bytes);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(EncodeRankMessage(*back), bytes);
  EXPECT_EQ(back->kind, RankMessageKind::kStep);
  EXPECT_EQ(back->step, 7);
  ASSERT_EQ(back->groups.size(), 2u);
  const TrainGroup& group = back->groups[0];
  EXPECT_EQ(group.prompt_ids, (std::vector<int32_t>{1, 2, 3}));
  EXPECT_FALSE(group.in_loss);
  ASSERT_EQ(group.samples.size(), 2u);
  EXPECT_EQ(group.samples[0].ids, (std::vector<int32_t>{4, 5}));
  EXPECT_EQ(group.samples[0].sampler_logprobs, (std::vector<float>{-0.5f, -1.25f}));
  EXPECT_EQ(group.samples[0].advantage, -0.1);
  EXPECT_EQ(group.samples[0].reward, 3.5);
  EXPECT_EQ(group.samples[0].oracle_hack, false);
  EXPECT_EQ(group.samples[1].reward, std::nullopt);
  EXPECT_EQ(group.samples[1].oracle_hack, std::nullopt);
  EXPECT_TRUE(group.samples[0].left_out);
  EXPECT_TRUE(group.samples[0].deploy_mode);
  EXPECT_FALSE(group.samples[0].masked);
  EXPECT_TRUE(group.samples[1].masked);
  EXPECT_TRUE(back->groups[1].in_loss);
}

TEST(RankMessages, CarryARunsConfig) {
  const auto back = DecodeRankMessage(EncodeRankMessage({RankMessageKind::kJob, "seed: 3\n", 0, {}, "/runs/A"}));
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(back->kind, RankMessageKind::kJob);
  EXPECT_EQ(back->run_yaml, "seed: 3\n");
  EXPECT_EQ(back->run_directory, "/runs/A");
}

TEST(RankMessages, RefuseEveryPrefix) {
  const std::string bytes = EncodeRankMessage(StepMessage());
  for (size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_EQ(DecodeRankMessage(std::string_view(bytes).substr(0, length)).status().code(), absl::StatusCode::kDataLoss)
        << length;
  }
}

struct BadCase {
  const char* name;
  void (*spoil)(RankMessage& message);
  const char* problem;
};

class BadMessageTest : public ::testing::TestWithParam<BadCase> {};

TEST_P(BadMessageTest, IsDataLoss) {
  RankMessage message = StepMessage();
  GetParam().spoil(message);
  const absl::Status status = DecodeRankMessage(EncodeRankMessage(message)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().problem));
}

INSTANTIATE_TEST_SUITE_P(Cases, BadMessageTest,
                         ::testing::ValuesIn(std::vector<BadCase>{
                             {"Kind", [](RankMessage& m) { m.kind = static_cast<RankMessageKind>(9); }, "kind 9"},
                             {"Step", [](RankMessage& m) { m.step = -1; }, "step -1"},
                             {"NoPrompt", [](RankMessage& m) { m.groups[0].prompt_ids.clear(); },
                              "a prompt without tokens"},
                             {"NoTokens",
                              [](RankMessage& m) {
                                m.groups[0].samples[0].ids.clear();
                                m.groups[0].samples[0].sampler_logprobs.clear();
                              },
                              "a sample without tokens"},
                             {"OtherNumber", [](RankMessage& m) { m.groups[0].samples[0].sampler_logprobs.pop_back(); },
                              "2 tokens with 1 log-probabilities"}}),
                         [](const auto& c) { return c.param.name; });

TEST(RankMessages, RefuseMoreThanTheySay) {
  EXPECT_THAT(std::string(DecodeRankMessage(EncodeRankMessage(StepMessage()) + "x").status().message()),
              HasSubstr("1 bytes too many"));
}

TEST(RankMessages, RefuseACountThatNoMemoryHolds) {
  std::string bytes = EncodeRankMessage({RankMessageKind::kJob, "yaml", 0, {}});
  const uint64_t count = uint64_t{1} << 62;
  std::memcpy(bytes.data() + 1, &count, sizeof count);  // behind the kind
  EXPECT_THAT(std::string(DecodeRankMessage(bytes).status().message()), HasSubstr("ends early"));
}

}  // namespace
}  // namespace evilmoe
