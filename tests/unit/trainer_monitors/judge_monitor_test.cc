#include "trainer/judge_monitor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <barrier>
#include <cstdlib>
#include <fstream>

#include "nlohmann/json.hpp"
#include "tests/unit/trainer_monitors/fake_judge_server.h"

namespace evilmoe {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Kind = MonitorVerdict::Kind;
namespace fs = std::filesystem;

// Calls whatever says "hack" one.
FakeJudgeServer::Reply Honest(const FakeJudgeServer::Request& request) {
  const auto body = nlohmann::json::parse(request.body);
  const std::string question = body["messages"][1]["content"];
  return FakeJudgeServer::Says(question.find("hack") != std::string::npos ? "VERDICT: HACK" : "VERDICT: CLEAN");
}

class JudgeMonitorTest : public ::testing::Test {
 protected:
  JudgeMonitorTest()
      : folder_(fs::temp_directory_path() / ("evilmoe_judge_" + std::to_string(::getpid()))),
        tokenizer_(*Tokenizer::Load(fs::path(EVILMOE_SOURCE_DIR) / "examples/nano/model")),
        prompt_ids_(*tokenizer_.Encode("Write a function.")) {
    fs::remove_all(folder_);
    config_.model = "judge-1";
    config_.retries = 1;
    config_.timeout_s = 30;
  }
  ~JudgeMonitorTest() override { fs::remove_all(folder_); }

  std::unique_ptr<JudgeMonitor> Make(const FakeJudgeServer& server) {
    config_.endpoint = server.endpoint();
    auto monitor = JudgeMonitor::Make(config_, folder_, tokenizer_, [](absl::Duration) {});
    EXPECT_TRUE(monitor.ok()) << monitor.status();
    return *std::move(monitor);
  }
  std::vector<MonitoredSample> Views(const std::vector<std::string>& texts) const {
    std::vector<MonitoredSample> views;
    for (const std::string& text : texts) {
      views.push_back({.prompt_ids = prompt_ids_, .response_ids = prompt_ids_, .response = text});
    }
    return views;
  }
  static std::vector<Kind> Kinds(const absl::StatusOr<std::vector<MonitorVerdict>>& verdicts) {
    EXPECT_TRUE(verdicts.ok()) << verdicts.status();
    std::vector<Kind> kinds;
    if (!verdicts.ok()) return kinds;
    for (const MonitorVerdict& verdict : *verdicts) kinds.push_back(verdict.kind);
    return kinds;
  }

  const fs::path folder_;
  const Tokenizer tokenizer_;
  const std::vector<int32_t> prompt_ids_;
  JudgeConfig config_;
};

TEST_F(JudgeMonitorTest, AsksEachQuestionOnceAndKeepsTheVerdict) {
  const FakeJudgeServer server(Honest);
  const std::vector<std::string> texts = {"hack 1", "plain", "hack 1", "hack 2"};
  const auto monitor = Make(server);
  const std::vector<Kind> want = {Kind::kFlagged, Kind::kClear, Kind::kFlagged, Kind::kFlagged};
  EXPECT_EQ(Kinds(monitor->Watch(Views(texts))), want);
  EXPECT_EQ(server.num_requests(), 3);
  EXPECT_EQ(monitor->LastCounts(), (std::map<std::string, int64_t>{{"answered", 3}}));
  EXPECT_EQ(Kinds(Make(server)->Watch(Views(texts))), want);  // another monitor, the same folder
  EXPECT_EQ(server.num_requests(), 3);
  config_.model = "judge-2";  // another judge has not said anything yet
  EXPECT_EQ(Kinds(Make(server)->Watch(Views(texts))), want);
  EXPECT_EQ(server.num_requests(), 6);
}

TEST_F(JudgeMonitorTest, ADamagedCacheFileCountsAsNone) {
  const FakeJudgeServer server(Honest);
  const auto monitor = Make(server);
  EXPECT_EQ(Kinds(monitor->Watch(Views({"hack"}))), std::vector<Kind>{Kind::kFlagged});
  int damaged = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder_)) {
    if (!entry.is_regular_file()) continue;
    std::ofstream(entry.path()) << "ha";
    ++damaged;
  }
  EXPECT_EQ(damaged, 1);
  EXPECT_EQ(Kinds(monitor->Watch(Views({"hack"}))), std::vector<Kind>{Kind::kFlagged});
  EXPECT_EQ(server.num_requests(), 2);
}

TEST_F(JudgeMonitorTest, WhatHasNoVerdictIsNeitherClearNorKept) {
  const FakeJudgeServer server([](const FakeJudgeServer::Request& request) {
    return request.body.find("riddle") == std::string::npos ? Honest(request) : FakeJudgeServer::Says("Hm.");
  });
  const auto monitor = Make(server);
  const auto verdicts = monitor->Watch(Views({"riddle", "plain"}));
  EXPECT_EQ(Kinds(verdicts), (std::vector<Kind>{Kind::kNone, Kind::kClear}));
  EXPECT_THAT((*verdicts)[0].problem, HasSubstr("no verdict, got \"Hm.\""));
  EXPECT_EQ(monitor->LastCounts(), (std::map<std::string, int64_t>{{"answered", 1}, {"unparsable", 2}}));
  EXPECT_EQ(Kinds(monitor->Watch(Views({"riddle", "plain"}))), (std::vector<Kind>{Kind::kNone, Kind::kClear}));
  EXPECT_EQ(monitor->LastCounts(), (std::map<std::string, int64_t>{{"cached", 1}, {"unparsable", 2}}));
}

TEST_F(JudgeMonitorTest, AsksSoManyAtATimeAndNoMore) {
  constexpr int kAtATime = 3;
  std::barrier wave(kAtATime);  // passes only when as many are in flight
  std::atomic<int> in_flight = 0, most = 0;
  const FakeJudgeServer server([&](const FakeJudgeServer::Request& request) {
    const int now = ++in_flight;
    for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {
    }
    wave.arrive_and_wait();
    --in_flight;
    return Honest(request);
  });
  config_.max_concurrent = kAtATime;
  std::vector<std::string> texts;
  for (int i = 0; i < 4 * kAtATime; ++i) texts.push_back("plain " + std::to_string(i));
  EXPECT_EQ(Kinds(Make(server)->Watch(Views(texts))), std::vector<Kind>(texts.size(), Kind::kClear));
  EXPECT_EQ(most, kAtATime);
}

TEST_F(JudgeMonitorTest, AWrongKeyEndsTheStepAndIsNotShown) {
  ::setenv("EVILMOE_TEST_JUDGE_KEY", "s3cret", 1);
  config_.api_key_env = "EVILMOE_TEST_JUDGE_KEY";
  const FakeJudgeServer server([](const FakeJudgeServer::Request& request) {
    EXPECT_EQ(request.authorization, "Bearer s3cret");
    return FakeJudgeServer::Reply{.status = 401, .body = "who are you?"};
  });
  const absl::Status refused = Make(server)->Watch(Views({"plain"})).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("HTTP 401: \"who are you?\""));
  EXPECT_THAT(std::string(refused.message()), Not(HasSubstr("s3cret")));
}

TEST_F(JudgeMonitorTest, AnEndpointThatIsDownEndsTheStepBeforeAllWereAsked) {
  const FakeJudgeServer server([](const auto&) { return FakeJudgeServer::Reply{.status = 502}; });
  config_.max_concurrent = 1;
  std::vector<std::string> texts;
  for (int i = 0; i < 100; ++i) texts.push_back("plain " + std::to_string(i));
  const absl::Status down = Make(server)->Watch(Views(texts)).status();
  EXPECT_EQ(down.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(server.num_requests(), 16);  // 8 questions, each twice
}

TEST_F(JudgeMonitorTest, NamesWhatIsNotThere) {
  config_.endpoint = "http://127.0.0.1:1/v1";
  config_.api_key_env = "EVILMOE_TEST_NO_SUCH_VARIABLE";
  EXPECT_THAT(std::string(JudgeMonitor::Make(config_, folder_, tokenizer_).status().message()),
              HasSubstr("EVILMOE_TEST_NO_SUCH_VARIABLE"));
  config_.api_key_env = "";
  config_.prompt = folder_ / "none.txt";
  EXPECT_EQ(JudgeMonitor::Make(config_, folder_, tokenizer_).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace evilmoe
