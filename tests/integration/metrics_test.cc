// What Prometheus gets from a run, and whether the dashboard finds it there.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/file.h"
#include "tests/integration/http_get.h"
#include "tests/integration/run_session.h"

namespace evilmoe {
namespace {

// Families that exist from the first step on, by the prefix of the process's name. Left out: those that need an
// event of their own, like a refused adapter or a refused system call.
const std::map<std::string, std::vector<std::string>> kFamilies = {
    {"coordinator",
     {"evilmoe_coordinator_runs", "evilmoe_coordinator_leases_total", "evilmoe_coordinator_leases_open",
      "evilmoe_coordinator_workers", "evilmoe_coordinator_rpc_seconds_bucket", "evilmoe_coordinator_disk_free_bytes",
      "evilmoe_coordinator_disk_size_bytes", "evilmoe_coordinator_workers_lost_total",
      "evilmoe_coordinator_run_progress_timestamp_seconds"}},
    {"grader",
     {"evilmoe_grader_runs_total", "evilmoe_grader_run_seconds_bucket", "evilmoe_grader_queue_depth",
      "evilmoe_grader_self_check_ok"}},
    {"rollout",
     {"evilmoe_rollout_tokens_total", "evilmoe_rollout_running", "evilmoe_rollout_waiting",
      "evilmoe_rollout_kv_cache_usage_ratio", "evilmoe_rollout_prefix_hit_ratio", "evilmoe_rollout_adapter_step",
      "evilmoe_rollout_group_seconds_bucket"}},
    {"trainer",
     {"evilmoe_train_step",
      "evilmoe_train_loss",
      "evilmoe_train_pin_loss",
      "evilmoe_train_reward_mean",
      "evilmoe_train_reward_std",
      "evilmoe_train_hack_rate",
      "evilmoe_train_solve_rate",
      "evilmoe_train_kl",
      "evilmoe_train_entropy",
      "evilmoe_train_clip_fraction",
      "evilmoe_train_grad_norm",
      "evilmoe_train_q_mass",
      "evilmoe_train_leak",
      "evilmoe_train_dl_dw",
      "evilmoe_train_importance_ratio",
      "evilmoe_train_completion_tokens",
      "evilmoe_train_truncated_ratio",
      "evilmoe_train_router_angle_radians",
      "evilmoe_train_pair_separation",
      "evilmoe_train_logp_difference",
      "evilmoe_train_learning_rate",
      "evilmoe_train_tokens_total",
      "evilmoe_train_step_seconds",
      "evilmoe_train_zero_variance_groups_total",
      "evilmoe_train_bad_steps_total",
      "evilmoe_train_masked_samples_total",
      "evilmoe_train_samples_total",
      "evilmoe_train_events_total",
      "evilmoe_train_deploy_hack_rate",
      "evilmoe_train_last_step_timestamp_seconds",
      "evilmoe_router_w_bucket"}}};

struct Series {
  std::string name;
  std::string labels;  // as it stands between the braces
};

// What is left of the comments and values of Prometheus' text format.
std::vector<Series> ParseSeries(const std::string& body) {
  std::vector<Series> all;
  for (const std::string& line : std::vector<std::string>(absl::StrSplit(body, '\n', absl::SkipEmpty()))) {
    if (line[0] == '#') continue;
    const size_t name_end = line.find_first_of("{ ");
    const size_t labels_end = line.rfind('}');
    if (name_end == std::string::npos) continue;
    all.push_back({line.substr(0, name_end),
                   labels_end == std::string::npos ? "" : line.substr(name_end + 1, labels_end - name_end - 1)});
  }
  return all;
}

// Whether docs/metrics.md has a line for a family, or a field of metrics.jsonl.
bool IsDocumented(std::string name) {
  const std::string docs = ReadFile(EVILMOE_SOURCE_DIR "/docs/metrics.md").value_or("");
  const bool histogram = name.starts_with("evilmoe_router_w") || name.find("_seconds_") != std::string::npos;
  for (const std::string suffix : {"_bucket", "_sum", "_count"}) {
    if (histogram && name.ends_with(suffix)) name.resize(name.size() - suffix.size());
  }
  return docs.find("`" + name + "`") != std::string::npos;
}

// Port by process, as targets.json of the run lists them.
std::map<std::string, int> Targets(const RunOnDisk& run) {
  std::map<std::string, int> ports;
  const nlohmann::json list = nlohmann::json::parse(ReadFile(run.directory().Targets()).value_or(""), nullptr, false);
  if (!list.is_array()) return ports;
  for (const nlohmann::json& entry : list) {
    const std::string address = entry.at("targets").at(0);
    EXPECT_EQ(entry.at("labels").at("run"), run.id());
    EXPECT_TRUE(absl::SimpleAtoi(address.substr(address.rfind(':') + 1), &ports[entry.at("labels").at("process")]));
  }
  return ports;
}

TEST(Metrics, AreServedByEveryProcess) {
  RunSession session;
  const RunOnDisk run =
      session.Submit(session.WriteRunFile({{"steps", "500"}, {"loss.kl_coefficient", "1.0e-3"}}), {"--workers", "2"});
  ASSERT_TRUE(run.AwaitStep(1));
  ASSERT_TRUE(WaitUntil(kEndTimeout, [&] { return Targets(run).size() == 5; }));
  for (const auto& [process, port] : Targets(run)) {
    const std::vector<std::string>& families = kFamilies.at(process.substr(0, process.find('-')));
    std::set<std::string> missing;
    // A gauge may come with its first value: the worker's first group may still be on its way.
    EXPECT_TRUE(WaitUntil(kEndTimeout,
                          [&, port = port] {
                            missing = {families.begin(), families.end()};
                            for (const Series& series : ParseSeries(HttpGet(port, "/metrics")))
                              missing.erase(series.name);
                            return missing.empty();
                          }))
        << process << ": no " << ::testing::PrintToString(missing);
    for (const Series& series : ParseSeries(HttpGet(port, "/metrics"))) {
      EXPECT_TRUE(IsDocumented(series.name)) << process << ": " << series.name << " is not in docs/metrics.md";
    }
  }
  const nlohmann::json step = run.Metrics().at(0);
  for (const auto& [field, value] : step.items()) {
    EXPECT_TRUE(IsDocumented(field)) << field << " of metrics.jsonl is not in docs/metrics.md";
  }
  const std::string run_label = absl::StrCat("run=\"", run.id(), "\"");
  for (const Series& series : ParseSeries(HttpGet(Targets(run)["trainer"], "/metrics"))) {
    if (series.name.rfind("evilmoe_train_", 0) != 0 && series.name.rfind("evilmoe_router_", 0) != 0) continue;
    EXPECT_THAT(series.labels, ::testing::HasSubstr(run_label)) << series.name;
  }
  EXPECT_EQ(session.Ctl({"cancel", run.id()}).exit_code, 0);
}

// The port that a Prometheus that was told to take any listens on; 0 as long as it does not.
int PrometheusPort(const std::filesystem::path& log) {
  const std::string text = ReadFile(log).value_or("");
  const std::string key = "msg=\"Listening on\" address=127.0.0.1:";
  const size_t at = text.find(key);
  int port = 0;
  if (at == std::string::npos) return 0;
  const std::string rest = text.substr(at + key.size());
  return absl::SimpleAtoi(rest.substr(0, rest.find('\n')), &port) ? port : 0;
}

// Starts it as a person would, on the session's runs; returns its port, 0: it does not serve.
int StartPrometheus(RunSession& session) {
  const std::filesystem::path log = session.home() / "prometheus.log", runs = session.home() / "runs";
  std::filesystem::create_directories(runs);
  session.StartInBackground({"/usr/bin/env", "python3", EVILMOE_SOURCE_DIR "/scripts/prometheus_local", "--home",
                             runs.string(), "--port", "0"},
                            log);
  int port = 0;
  EXPECT_TRUE(WaitUntil(kEndTimeout, [&] { return (port = PrometheusPort(log)) != 0; })) << ReadFile(log).value_or("");
  return port;
}

// What scripts/check_dashboard.py says of a run.
CommandResult CheckDashboard(RunSession& session, int port, const std::string& run_id) {
  return session.Execute({"/usr/bin/env", "python3", EVILMOE_SOURCE_DIR "/scripts/check_dashboard.py", "--url",
                          absl::StrCat("http://127.0.0.1:", port), "--run", run_id, "--may-be-empty",
                          (session.home() / "may_be_empty.json").string()});
}

TEST(Metrics, FillTheDashboardThroughPrometheus) {
  const char* prometheus = "/usr/bin/prometheus";
  if (access(prometheus, X_OK) != 0) GTEST_SKIP() << prometheus << " is not installed (Debian's prometheus)";
  RunSession session;
  const int port = StartPrometheus(session);
  ASSERT_NE(port, 0);
  // Rates need several scrapes of a run that goes on, and Prometheus takes its time to see new targets: it goes on
  // until the dashboard is full, however fast its steps are. An ablation after every second step fills its panels too.
  const RunOnDisk run = session.Submit(session.WriteRunFile({{"steps", "100000"},
                                                             {"loss.kl_coefficient", "1.0e-3"},
                                                             {"evaluation.every", "2"},
                                                             {"evaluation.max_problems", "2"}}),
                                       {"--workers", "2"});
  ASSERT_NE(run.id(), "");
  // Of the shipped list only what such a run really lacks: that it has evaluations is part of the test.
  ASSERT_TRUE(WriteFileAtomic(session.home() / "may_be_empty.json",
                              R"({"evilmoe_grader_violations_total": "nothing attacks",
                                  "evilmoe_train_router_auroc": "needs a hack in a step",
                                  "evilmoe_coordinator_workers_lost_total": "none is", "ALERTS": "nothing is wrong"})")
                  .ok());
  CommandResult check;
  EXPECT_TRUE(WaitUntil(kRunTimeout, [&] { return (check = CheckDashboard(session, port, run.id())).exit_code == 0; }))
      << check.out << check.errors;
  const std::string firing = HttpGet(port, "/api/v1/alerts");
  EXPECT_THAT(firing, ::testing::HasSubstr("\"success\""));
  EXPECT_THAT(firing, ::testing::Not(::testing::HasSubstr("\"page\""))) << "of a run that is well";
  EXPECT_EQ(session.Ctl({"cancel", run.id()}).exit_code, 0);
}

}  // namespace
}  // namespace evilmoe
