#include <gmock/gmock.h>

#include "tests/unit/services_page/page_kit.h"

namespace evilmoe {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class PageApiTest : public PageTest {
 protected:
  void SetUp() override { Start(); }
};

TEST_F(PageApiTest, ListsRuns) {
  const HttpAnswer answer = Get("/api/v1/runs");
  EXPECT_EQ(answer.code, 200);
  EXPECT_EQ(answer.headers.at("cache-control"), "no-store");
  EXPECT_EQ(answer.headers.at("x-content-type-options"), "nosniff");
  EXPECT_EQ(answer.Json()["runs"][0]["run_id"], "one");
}

TEST_F(PageApiTest, SaysWhoAsks) {
  EXPECT_EQ(Get("/api/v1/session").Json(), nlohmann::json({{"asks_for_token", false}, {"may_act", true}}));
}

TEST_F(PageApiTest, ShowsARun) {
  const nlohmann::json run = Get("/api/v1/runs/one").Json();
  EXPECT_EQ(run["run"]["name"], "nano");
  EXPECT_EQ(run["verdict"]["text"], "no ablation");
  EXPECT_EQ(run["final_line"], "0.6 -> ?");
  EXPECT_EQ(run["last"]["hack_rate_strict"], 0.3);
  EXPECT_EQ(run["hack"], nlohmann::json({0.1, 0.2, 0.3}));
  EXPECT_THAT(run["config"].get<std::string>(), HasSubstr("arm: evil_moe"));
  EXPECT_FALSE(Get("/api/v1/runs/one/glance").Json().contains("config"));
}

TEST_F(PageApiTest, GivesColumnsFromAStepOn) {
  const nlohmann::json all = Get("/api/v1/runs/one/metrics").Json();
  EXPECT_EQ(all["columns"]["step"], nlohmann::json({1, 2, 3}));
  const nlohmann::json rest = Get("/api/v1/runs/one/metrics?after=2").Json();
  EXPECT_EQ(rest["columns"]["step"], nlohmann::json({3}));
  EXPECT_EQ(rest["columns"]["hack_rate_strict"], nlohmann::json({0.3}));
  EXPECT_EQ(rest["columns"]["w_histogram_hack"], nlohmann::json({nullptr}));
}

TEST_F(PageApiTest, GivesEventsByPages) {
  for (int i = 0; i < 5; ++i) source_.Happen("one", "note", {{"n", i}});
  source_.Happen("one", "step", {{"step", 4}, {"w_histogram_hack", {1, 2}}, {"solve_rate", 0.5}});
  const nlohmann::json first = Get("/api/v1/runs/one/events?limit=2").Json();
  EXPECT_EQ(first["events"].size(), 2u);
  EXPECT_EQ(first["last_seq"], 6);
  const nlohmann::json last = Get("/api/v1/runs/one/events?after=5").Json();
  EXPECT_EQ(last["events"][0]["payload"], nlohmann::json({{"step", 4}, {"solve_rate", 0.5}}));
}

TEST_F(PageApiTest, GivesRolloutsAsText) {
  EXPECT_EQ(Get("/api/v1/runs/one/rollouts").Json()["steps"], nlohmann::json({3}));
  const nlohmann::json page = Get("/api/v1/runs/one/rollouts/3?kind=hack&limit=1").Json();
  EXPECT_EQ(page["total"], 4);
  EXPECT_EQ(page["matching"], 2);
  ASSERT_EQ(page["rows"].size(), 1u);
  EXPECT_EQ(page["labels"], nlohmann::json({{"correct", 2}, {"reward_hack", 2}}));
  const HttpAnswer one = Get("/api/v1/runs/one/rollouts/3/0");
  EXPECT_THAT(one.headers.at("content-type"), HasSubstr("application/json"));
  EXPECT_THAT(one.Json()["text"].get<std::string>(), HasSubstr("</pre><script>alert(1)</script>\\x1b[31m"));
  EXPECT_EQ(one.Json()["facts"]["gt_correct"], false);
  EXPECT_EQ(one.Json()["prompt"], nullptr);
  EXPECT_EQ(one.Json()["version"], 2);
  EXPECT_EQ(Get("/api/v1/runs/one/rollouts/3/4").code, 404);
  EXPECT_EQ(Get("/api/v1/runs/one/rollouts/4").code, 404);
}

TEST_F(PageApiTest, GivesAnswersOfTenThousandRolloutsAPageAtATime) {
  source_.Put(MakeRun("many", 10'000));
  const nlohmann::json page = Get("/api/v1/runs/many/rollouts/3?offset=9900&limit=500").Json();
  EXPECT_EQ(page["total"], 10'000);
  EXPECT_EQ(page["rows"].size(), 100u);
  EXPECT_EQ(page["rows"][99]["index"], 9999);
}

TEST_F(PageApiTest, GivesTheAblation) {
  const nlohmann::json answer = Get("/api/v1/runs/one/ablation").Json();
  EXPECT_EQ(answer["ablation"]["rows"][0]["hack_strict"], 0.6);
  EXPECT_EQ(answer["files"], nlohmann::json({"ablation.json"}));
  EXPECT_EQ(Get("/api/v1/runs/one/ablation?file=none.json").Json()["ablation"], nullptr);
}

TEST_F(PageApiTest, GivesLogsAndTheirTails) {
  EXPECT_EQ(Get("/api/v1/runs/one/logs").Json()["logs"], nlohmann::json({{{"name", "trainer.log"}, {"size_bytes", 13}}}));
  const nlohmann::json log = Get("/api/v1/runs/one/logs/trainer.log").Json();
  EXPECT_EQ(log["text"], "first\nsecond\n");
  EXPECT_EQ(log["to"], 13);
  EXPECT_EQ(Get("/api/v1/runs/one/logs/trainer.log?offset=6").Json()["text"], "second\n");
  EXPECT_EQ(Get("/api/v1/runs/one/logs/trainer.log?offset=13").Json()["text"], "");
  EXPECT_EQ(Get("/api/v1/runs/one/logs/trainer.log?offset=99").Json()["from"], 0);  // it began anew
}

struct Refused {
  std::string name, target;
  int code = 400;
};
class RefusedTest : public PageTest, public ::testing::WithParamInterface<Refused> {};

TEST_P(RefusedTest, WithOneLineOfJson) {
  Start();
  const HttpAnswer answer = Get(GetParam().target);
  EXPECT_EQ(answer.code, GetParam().code) << answer.body;
  const std::string message = answer.Json()["error"]["message"];
  EXPECT_FALSE(message.empty());
  EXPECT_THAT(message, Not(HasSubstr("\n")));
  EXPECT_THAT(answer.body, Not(HasSubstr("secret\\n")));
}

INSTANTIATE_TEST_SUITE_P(Cases, RefusedTest, ::testing::ValuesIn(std::vector<Refused>{
    {"NoRoute", "/api/v1/nothing", 404},
    {"NoVersion", "/api/v2/runs", 404},
    {"NoRun", "/api/v1/runs/none", 404},
    {"NoPartOfARun", "/api/v1/runs/one/adapters", 404},
    {"DeepRoute", "/api/v1/runs/one/metrics/x", 404},
    {"LongId", "/api/v1/runs/" + std::string(100, 'a')},
    {"BadAfter", "/api/v1/runs/one/metrics?after=x"},
    {"BadLimit", "/api/v1/runs/one/events?limit=1000000"},
    {"NegativeOffset", "/api/v1/runs/one/rollouts/3?offset=-1"},
    {"HugeLimit", "/api/v1/runs/one/rollouts/3?limit=501"},
    {"BadKind", "/api/v1/runs/one/rollouts/3?kind=all"},
    {"BadW", "/api/v1/runs/one/rollouts/3?w_low=2"},
    {"BadStep", "/api/v1/runs/one/rollouts/x"},
    {"NegativeStep", "/api/v1/runs/one/rollouts/-3"},
    {"BadRow", "/api/v1/runs/one/rollouts/3/x"},
    {"LogAbove", "/api/v1/runs/one/logs/%2e%2e/%2e%2e/secret.log"},
    {"LogAboveInOne", "/api/v1/runs/one/logs/..%2fsecret.log"},
    {"LinkOut", "/api/v1/runs/one/logs/linked.log"},
    {"NoLog", "/api/v1/runs/one/logs/other.log", 404},
    {"LogOfAnotherKind", "/api/v1/runs/one/logs/trainer.ready.json", 404},
    {"AblationAbove", "/api/v1/runs/one/ablation?file=../../secret.json"},
    {"AblationOfAnotherKind", "/api/v1/runs/one/ablation?file=../metrics.jsonl"},
    {"NoRunToStream", "/api/v1/stream?run=none", 404},
    {"BadAfterOfAStream", "/api/v1/stream?run=one&after=x"},
    {"NoAsset", "/assets/none.js", 404},
    {"AssetAbove", "/assets/../index.html"},
    {"OtherPath", "/etc/passwd", 404}}),
    [](const auto& c) { return c.param.name; });

TEST_F(PageApiTest, ActsByPostOfItsOwnAlone) {
  const int port = server_->port();
  const Headers own = {{"X-Evilmoe", "1"}, {"Content-Length", "0"}};
  EXPECT_EQ(Ask(port, "GET", "/api/v1/runs/one/cancel", own).code, 405);
  EXPECT_EQ(Ask(port, "POST", "/api/v1/runs/one/cancel", {{"Content-Length", "0"}}).code, 403);
  Headers foreign = own;
  foreign["Origin"] = "http://evil.example";
  EXPECT_EQ(Ask(port, "POST", "/api/v1/runs/one/cancel", foreign).code, 403);
  Headers rebound = own;
  rebound["Host"] = "evil.example";
  EXPECT_EQ(Ask(port, "POST", "/api/v1/runs/one/cancel", rebound).code, 403);
  EXPECT_EQ(source_.Get("one").value().summary.state, "running");
  EXPECT_EQ(Ask(port, "POST", "/api/v1/runs/one/pause", own).Json()["run"]["state"], "paused");
  EXPECT_EQ(Ask(port, "POST", "/api/v1/runs/one/resume", own).Json()["run"]["state"], "queued");
  EXPECT_EQ(Ask(port, "POST", "/api/v1/runs/one/cancel", own).Json()["run"]["state"], "cancelled");
  EXPECT_EQ(Ask(port, "POST", "/api/v1/runs/one/retry", own).Json()["run"]["state"], "queued");
  EXPECT_EQ(Ask(port, "POST", "/api/v1/runs/none/cancel", own).code, 404);
  EXPECT_EQ(Ask(port, "DELETE", "/api/v1/runs/one", own).code, 405);
}

TEST_F(PageApiTest, SaysWhenTheCoordinatorCannotAnswer) {
  source_.Break(absl::UnavailableError("the coordinator is stopping"));
  const HttpAnswer answer = Get("/api/v1/runs");
  EXPECT_EQ(answer.code, 503);
  EXPECT_EQ(answer.headers.at("retry-after"), "2");
}

}  // namespace
}  // namespace evilmoe
