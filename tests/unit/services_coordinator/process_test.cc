// The program itself: started, killed, started again.
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <latch>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "gmock/gmock.h"
#include "nlohmann/json.hpp"
#include "tests/unit/services_coordinator/process_fixture.h"

namespace evilmoe {
namespace {

using ::testing::HasSubstr;
using Code = absl::StatusCode;

class ProcessTest : public ProcessFixture {};

// The body of what a loopback port answers to GET /metrics.
std::string Metrics(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const timeval timeout{.tv_sec = 10, .tv_usec = 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
  EXPECT_EQ(connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  const std::string request = "GET /metrics HTTP/1.0\r\n\r\n";
  EXPECT_EQ(send(fd, request.data(), request.size(), MSG_NOSIGNAL), static_cast<ssize_t>(request.size()));
  std::string answer;
  char buffer[4096];
  for (ssize_t n = 0; (n = recv(fd, buffer, sizeof buffer, 0)) > 0;) answer.append(buffer, static_cast<size_t>(n));
  close(fd);
  return answer;
}

TEST_F(ProcessTest, KilledInTheMiddleOfABatchItLosesNothingAndCountsNothingTwice) {
  Start();
  StartRun(folder_);
  RegisterOverRpc();
  const auto leases = client_->LeaseGroups(LeaseRequest(2));
  ASSERT_TRUE(leases.ok()) << leases.status();
  ASSERT_EQ(leases->leases_size(), 2);
  ASSERT_TRUE(client_->CompleteGroup(Completion(leases->leases(0))).ok());
  EXPECT_TRUE(WIFSIGNALED(End(SIGKILL)));
  ASSERT_TRUE(std::filesystem::exists(folder_ / "c.sock")) << "left behind by the dead one";
  {
    const std::jthread next([this] { Start(); });
    const auto heartbeat = Heartbeat(*leases);  // called while nobody serves
    ASSERT_TRUE(heartbeat.ok()) << heartbeat.status();
    EXPECT_THAT(heartbeat->lost_lease_ids(), ::testing::ElementsAre(leases->leases(0).lease_id())) << "finished before";
  }
  EXPECT_EQ(client_->CompleteGroup(Completion(leases->leases(0))).status().code(), Code::kAborted);
  RegisterOverRpc();
  EXPECT_TRUE(client_->CompleteGroup(Completion(leases->leases(1))).ok());
  EXPECT_EQ(client_->LeaseGroups(LeaseRequest(2))->leases_size(), 0);
  v1::FetchGroupsRequest fetch;
  *fetch.mutable_fence() = job_fence_;
  fetch.set_batch_key("step/0");
  const auto fetched = client_->FetchGroups(fetch);
  ASSERT_TRUE(fetched.ok()) << fetched.status();
  EXPECT_EQ(fetched->groups_size(), 2);
  EXPECT_EQ(client_->FetchAdapter(version_).value(), bytes_);
}

TEST_F(ProcessTest, EndsInTimeWhileManyWait) {
  Start();
  std::latch about_to_wait(8);
  std::vector<absl::Status> statuses(8);
  {
    std::vector<std::jthread> waiting;
    for (size_t i = 0; i < statuses.size(); ++i) {
      waiting.emplace_back([this, i, &about_to_wait, &statuses] {
        const auto impatient = Client(absl::ZeroDuration());
        (void)impatient->ListRuns({});
        about_to_wait.count_down();
        v1::AcquireJobRequest request;
        request.set_trainer_id(absl::StrCat("T", i));
        request.set_wait_ms(30000);
        statuses[i] = impatient->AcquireJob(request).status();
      });
    }
    about_to_wait.wait();
    EXPECT_TRUE(client_->ListRuns({}).ok());
    const int status = End(SIGTERM);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << DescribeExit(status);
  }
  for (const absl::Status& status : statuses) EXPECT_EQ(status.code(), Code::kUnavailable) << status;
}

TEST_F(ProcessTest, EndsInTimeAfterLargeTransfers) {
  Start();
  bytes_.assign(size_t{40} << 20, 'b');  // more than a socket holds: writes block
  StartRun(folder_);
  EXPECT_EQ(client_->FetchAdapter(version_).value(), bytes_);
  const int status = End(SIGTERM);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << DescribeExit(status);
}

TEST_F(ProcessTest, TellsWhereItsMetricsAre) {
  Start();
  v1::AcquireJobRequest acquire;
  acquire.set_trainer_id("T");
  acquire.set_wait_ms(1500);  // meanwhile the file is written and the gauges are set
  EXPECT_EQ(client_->AcquireJob(acquire).status().code(), Code::kNotFound);
  const auto ready = ReadFile(folder_ / "ready.json");
  ASSERT_TRUE(ready.ok()) << ready.status();
  const nlohmann::json json = nlohmann::json::parse(*ready);
  EXPECT_EQ(json["pid"], pid_);
  const std::string metrics = Metrics(json["metrics_port"]);
  for (const char* line :
       {"evilmoe_coordinator_runs{state=\"running\"} 0", "evilmoe_coordinator_leases_total{outcome=\"expired\"} 0",
        "evilmoe_coordinator_leases_open 0", "evilmoe_coordinator_workers{kind=\"rollout\"} 0",
        "evilmoe_coordinator_rpc_seconds_count{method=\"AcquireJob\"} 1",
        "evilmoe_coordinator_adapter_refused_total{reason=\"foreign\"} 0",
        "evilmoe_coordinator_adapter_refused_total{reason=\"stale\"} 0",
        "evilmoe_coordinator_adapter_refused_total{reason=\"unacknowledged\"} 0",
        "evilmoe_coordinator_disk_free_bytes"}) {
    EXPECT_THAT(metrics, HasSubstr(line));
  }
}

struct RefusalCase {
  std::string name;
  std::string listen;
  int want_exit;
  std::string want_text;
};
class ProcessRefusalTest : public ProcessTest, public ::testing::WithParamInterface<RefusalCase> {};

TEST_P(ProcessRefusalTest, EndsWithOneClearLine) {
  Start();
  const int status = WaitForEnd(Launch(GetParam().listen.empty() ? Address() : GetParam().listen));
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == GetParam().want_exit) << DescribeExit(status);
  const std::string output = ReadFile(folder_ / "output").value_or("");
  EXPECT_THAT(output, HasSubstr(GetParam().want_text));
  EXPECT_EQ(std::ranges::count(output, '\n'), 1) << output;
  EXPECT_TRUE(client_->ListRuns({}).ok()) << "the first one serves on";
}

INSTANTIATE_TEST_SUITE_P(Cases, ProcessRefusalTest, ::testing::ValuesIn(std::vector<RefusalCase>{
    {"TheSameDatabase", "127.0.0.1:0", 5, "another coordinator has this database; stop it first"},
    {"EveryInterface", "0.0.0.0:0", 2, "other machines reach 0.0.0.0:0"}}),
    [](const auto& c) { return c.param.name; });

}  // namespace
}  // namespace evilmoe
