#pragma once

#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "gtest/gtest.h"
#include "services/ctl/process.h"
#include "tests/unit/services_coordinator/rpc_run.h"

namespace evilmoe {

// The program itself, at a Unix socket of its own, and a client of it.
class ProcessFixture : public ::testing::Test, protected RpcRun {
 protected:
  static constexpr std::chrono::seconds kMostToEnd{5};

  ProcessFixture() {
    std::string pattern = (std::filesystem::temp_directory_path() / "process_XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    client_ = Client(absl::Seconds(30));
  }
  ~ProcessFixture() override {
    if (pid_ > 0) End(SIGKILL);
    std::filesystem::remove_all(folder_);
  }

  std::string Address() const { return absl::StrCat("unix:", (folder_ / "c.sock").string()); }
  std::unique_ptr<CoordinatorClient> Client(absl::Duration retry_budget) const {
    return std::make_unique<CoordinatorClient>(
        CoordinatorClientOptions{.address = Address(), .retry_budget = retry_budget});
  }
  // `listen`: addresses, commas between; `more`: of the config file. Its standard error goes to the file "output".
  pid_t Launch(const std::string& listen, const std::string& more = "") {
    const std::filesystem::path config = folder_ / "c.yaml";
    EXPECT_TRUE(WriteFileAtomic(config, absl::StrCat("listen: [", listen, "]\ndatabase: store.db\nlog: c.log\n",
                                                     "metrics_listen: 127.0.0.1:0\nready_file: ready.json\n", more))
                    .ok());
    const auto pid = Spawn({.binary = std::filesystem::path(EVILMOE_BIN_DIR) / "evilmoe-coordinator",
                            .arguments = {"--config", config.string()},
                            .output = folder_ / "output"});
    EXPECT_TRUE(pid.ok()) << pid.status();
    return pid.value_or(-1);
  }
  void Start(const std::string& more_addresses = "", const std::string& more = "") {
    pid_ = Launch(Address() + more_addresses, more);
    ASSERT_GT(pid_, 0);
    const auto runs = client_->ListRuns({});  // retries until it serves
    ASSERT_TRUE(runs.ok()) << runs.status() << ReadFile(folder_ / "output").value_or("");
  }
  // The wait status of `pid`, which has kMostToEnd to end.
  static int WaitForEnd(pid_t pid) {
    const int fd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
    pollfd ended{.fd = fd, .events = POLLIN, .revents = 0};
    const int num_ready = poll(&ended, 1, static_cast<int>(std::chrono::milliseconds(kMostToEnd).count()));
    close(fd);
    EXPECT_EQ(num_ready, 1) << "still runs";
    if (num_ready != 1) kill(pid, SIGKILL);
    int status = 0;
    waitpid(pid, &status, 0);
    return status;
  }
  int End(int signal) {
    kill(pid_, signal);
    return WaitForEnd(std::exchange(pid_, 0));
  }
  absl::StatusOr<v1::HeartbeatResponse> Heartbeat(const v1::LeaseGroupsResponse& leases) {
    v1::HeartbeatRequest heartbeat;
    heartbeat.set_worker_id("w");
    for (const v1::Lease& lease : leases.leases()) heartbeat.add_lease_ids(lease.lease_id());
    return client_->Heartbeat(heartbeat);
  }

  std::filesystem::path folder_;
  pid_t pid_ = 0;
};

}  // namespace evilmoe
