#include "trainer/judge_caller.h"

#include <gtest/gtest.h>

#include "nlohmann/json.hpp"
#include "tests/unit/trainer_monitors/fake_judge_server.h"

namespace evilmoe {
namespace {

struct OutcomeCase {
  std::string name;
  absl::StatusOr<HttpReply> reply;
  JudgeOutcome want;
  bool may_pass;
};
class OutcomeTest : public ::testing::TestWithParam<OutcomeCase> {};

TEST_P(OutcomeTest, OfAReply) {
  EXPECT_EQ(OutcomeOf(GetParam().reply), GetParam().want);
  EXPECT_EQ(MayPass(GetParam().want), GetParam().may_pass);
}

HttpReply Status(int status) { return {.status = status}; }
INSTANTIATE_TEST_SUITE_P(Cases, OutcomeTest,
                         ::testing::ValuesIn(std::vector<OutcomeCase>{
                             {"Timeout", absl::DeadlineExceededError(""), JudgeOutcome::kTimeout, true},
                             {"NoConnection", absl::UnavailableError(""), JudgeOutcome::kHttpError, true},
                             {"TooMany", Status(429), JudgeOutcome::kRateLimited, true},
                             {"Overloaded", Status(503), JudgeOutcome::kHttpError, true},
                             {"RequestTimeout", Status(408), JudgeOutcome::kHttpError, true},
                             {"NoVerdict", Status(200), JudgeOutcome::kUnparsable, true},
                             {"BadRequest", Status(400), JudgeOutcome::kRefused, false},
                             {"TooLong", Status(413), JudgeOutcome::kRefused, false},
                             {"Redirect", Status(302), JudgeOutcome::kRefused, false},
                             {"NoKey", Status(401), JudgeOutcome::kFatal, false},
                             {"NoSuchModel", Status(404), JudgeOutcome::kFatal, false}}),
                         [](const auto& c) { return c.param.name; });

TEST(BackoffBefore, DoublesSpreadsAndHeedsTheServer) {
  EXPECT_EQ(BackoffBefore(0, 0.0, absl::ZeroDuration()), absl::Milliseconds(250));
  EXPECT_EQ(BackoffBefore(2, 0.0, absl::ZeroDuration()), absl::Seconds(1));
  EXPECT_EQ(BackoffBefore(1000, 1.0, absl::ZeroDuration()), absl::Seconds(30));
  EXPECT_EQ(BackoffBefore(0, 0.5, absl::Seconds(7)), absl::Seconds(7));
  EXPECT_GT(BackoffBefore(0, 0.9, absl::ZeroDuration()), BackoffBefore(0, 0.1, absl::ZeroDuration()));
}

class AskJudgeTest : public ::testing::Test {
 protected:
  JudgeAnswer Ask(const FakeJudgeServer& server, int retries, absl::Duration timeout = absl::Seconds(30)) {
    auto poster = HttpPoster::Make({server.endpoint() + "/chat/completions", {}, timeout});
    EXPECT_TRUE(poster.ok()) << poster.status();
    return AskJudge(*poster, "{}",
                    {.retries = retries,
                     .jitter_seed = 3,
                     .heard = [this](JudgeOutcome outcome) { heard_.push_back(outcome); },
                     .wait = [this](absl::Duration duration) { waits_.push_back(duration); }});
  }
  std::vector<JudgeOutcome> heard_;
  std::vector<absl::Duration> waits_;
};

TEST_F(AskJudgeTest, AsksAgainUntilItIsAnswered) {
  const FakeJudgeServer server([](const FakeJudgeServer::Request& request) -> FakeJudgeServer::Reply {
    if (request.number == 0) return {.status = 500, .body = "oops"};
    if (request.number == 1) return {.status = 429, .headers = "Retry-After: 7\r\n"};
    if (request.number == 2) return FakeJudgeServer::Says("I cannot tell");
    if (request.number == 3) return {.body = "half", .missing_bytes = 100};
    return FakeJudgeServer::Says("VERDICT: HACK");
  });
  const JudgeAnswer answer = Ask(server, 4);
  ASSERT_TRUE(answer.verdict.ok()) << answer.verdict.status();
  EXPECT_EQ(*answer.verdict, JudgeVerdict::kHack);
  EXPECT_EQ(heard_,
            (std::vector<JudgeOutcome>{JudgeOutcome::kHttpError, JudgeOutcome::kRateLimited, JudgeOutcome::kUnparsable,
                                       JudgeOutcome::kHttpError, JudgeOutcome::kAnswered}));
  ASSERT_EQ(waits_.size(), 4u);
  EXPECT_LT(waits_[0], absl::Seconds(1));
  EXPECT_EQ(waits_[1], absl::Seconds(7));
}

TEST_F(AskJudgeTest, GivesUpWithoutGuessing) {
  const FakeJudgeServer server([](const auto&) { return FakeJudgeServer::Reply{.body = "<html>"}; });
  const JudgeAnswer answer = Ask(server, 2);
  EXPECT_EQ(answer.verdict.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(answer.last, JudgeOutcome::kUnparsable);
  EXPECT_EQ(server.num_requests(), 3);
}

TEST_F(AskJudgeTest, DoesNotAskAgainWhatIsRefusedForGood) {
  const FakeJudgeServer server([](const auto&) { return FakeJudgeServer::Reply{.status = 400, .body = "too long"}; });
  EXPECT_EQ(Ask(server, 5).last, JudgeOutcome::kRefused);
  EXPECT_EQ(server.num_requests(), 1);
}

TEST_F(AskJudgeTest, AStallEndsWithTheTimeout) {
  const FakeJudgeServer server([](const auto&) { return FakeJudgeServer::Reply{.stall = true}; });
  const JudgeAnswer answer = Ask(server, 1, absl::Milliseconds(100));
  EXPECT_EQ(answer.verdict.status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(heard_, (std::vector<JudgeOutcome>{JudgeOutcome::kTimeout, JudgeOutcome::kTimeout}));
}

TEST_F(AskJudgeTest, ATimeoutBelowAMillisecondIsOne) {
  const FakeJudgeServer server([](const auto&) { return FakeJudgeServer::Reply{.stall = true}; });
  EXPECT_EQ(Ask(server, 0, absl::Microseconds(100)).last, JudgeOutcome::kTimeout);
}

// Such a problem may become a run's error, which travels in a message that holds UTF-8 alone.
TEST_F(AskJudgeTest, AProblemIsOneLineOfUtf8) {
  std::string russian = "x";
  for (int i = 0; i < 200; ++i) russian += "\xd0\x9d";
  const std::vector<FakeJudgeServer::Reply> replies = {
      {.body = russian}, {.status = 404, .body = russian}, {.status = 404, .body = "<p>\n\xe9 No such model"}};
  const FakeJudgeServer server([&](const auto& request) { return replies[static_cast<size_t>(request.number)]; });
  for (size_t i = 0; i < replies.size(); ++i) {
    const std::string problem(Ask(server, 0).verdict.status().message());
    EXPECT_FALSE(problem.empty()) << i;
    EXPECT_EQ(problem.find('\n'), std::string::npos) << problem;
    EXPECT_NO_THROW(nlohmann::json(problem).dump()) << problem;  // throws at bytes that are not UTF-8
  }
}

TEST_F(AskJudgeTest, AServerThatWantsAnHourGetsNoMoreOfThisQuestion) {
  for (const char* header : {"Retry-After: 3600\r\n", "Retry-After: Fri, 31 Dec 2100 23:59:59 GMT\r\n"}) {
    const FakeJudgeServer server([&](const auto&) { return FakeJudgeServer::Reply{.status = 503, .headers = header}; });
    EXPECT_EQ(Ask(server, 5).last, JudgeOutcome::kHttpError);
    EXPECT_EQ(server.num_requests(), 1) << header;
  }
  EXPECT_TRUE(waits_.empty());
}

TEST_F(AskJudgeTest, AReplyWithoutEndIsCut) {
  const FakeJudgeServer server(
      [](const auto&) { return FakeJudgeServer::Reply{.body = std::string(size_t{5} << 20, 'x')}; });
  const JudgeAnswer answer = Ask(server, 0);
  EXPECT_EQ(answer.verdict.status().code(), absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace evilmoe
