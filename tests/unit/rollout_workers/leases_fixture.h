#pragma once

#include <gtest/gtest.h>
#include <prometheus/registry.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/clock.h"
#include "common/file.h"
#include "common/logger.h"
#include "proto/coordinator_client.h"
#include "rollout_workers/group_outbox.h"
#include "rollout_workers/rollout_metrics.h"
#include "rollout_workers/worker_session.h"
#include "tests/unit/rollout_workers/fake_coordinator.h"

namespace evilmoe {

// A worker's parts that talk to a coordinator, and the fake that they talk to; nothing serves yet.
class LeasesTest : public ::testing::Test {
 protected:
  LeasesTest()
      : folder_(MakeFolder()),
        coordinator_(folder_),
        logger_(*Logger::Open(folder_ / "log", "test", clock_)),
        metrics_(registry_),
        client_(
            {.address = coordinator_.address(), .retry_budget = absl::Milliseconds(200), .stop = stop_.get_token()}),
        session_("w-1", client_, in_flight_, metrics_, clock_, logger_),
        outbox_(session_, in_flight_, metrics_, clock_, logger_) {}
  ~LeasesTest() override {
    threads_.clear();
    std::filesystem::remove_all(folder_);
  }

  static std::filesystem::path MakeFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "leases_XXXXXX").string();
    return mkdtemp(pattern.data());
  }
  void Start(const std::function<void(const std::stop_token&)>& loop) { threads_.emplace_back(loop); }
  void ServeAndBegin() {
    coordinator_.Serve();
    ASSERT_TRUE(session_.Begin({}).ok());
    Start([this](const std::stop_token& stop) { outbox_.Loop(stop); });
  }
  FakeCoordinator::Work Work(int64_t index = 0, int num_samples = 1) {
    FakeCoordinator::Work work;
    work.group.set_index(index);
    work.group.set_num_samples(num_samples);
    work.adapter = coordinator_.Publish("R", bytes_);
    return work;
  }
  // Leases a group of the fake's, and has its last sample graded.
  int64_t LeaseOne() {
    const auto response = session_.Lease(1, absl::Seconds(1));
    EXPECT_TRUE(response.ok() && response->leases_size() == 1) << response.status();
    in_flight_.Begin(response->leases(0), response->adapter(), clock_.Now());
    return response->leases(0).lease_id();
  }
  void Finish(int64_t lease_id) {
    v1::SampleResult sample;
    sample.set_text("done");
    auto finished = in_flight_.Add(lease_id, 0, sample);
    ASSERT_TRUE(finished.has_value());
    outbox_.HandIn(lease_id, *std::move(finished));
  }
  std::string Log() const { return ReadFile(folder_ / "log").value_or(""); }
  // A minute at most.
  bool AwaitLog(const std::string& event) const {
    const absl::Time give_up = clock_.Now() + absl::Minutes(1);
    while (Log().find(event) == std::string::npos) {
      if (clock_.Now() > give_up) return false;
      std::this_thread::yield();
    }
    return true;
  }

  const std::string bytes_ = std::string(5000, 'b');
  const RealClock clock_;
  const std::filesystem::path folder_;
  std::stop_source stop_;
  FakeCoordinator coordinator_;
  Logger logger_;
  prometheus::Registry registry_;
  RolloutMetrics metrics_;
  CoordinatorClient client_;
  GroupsInFlight in_flight_;
  WorkerSession session_;
  GroupOutbox outbox_;
  std::vector<std::jthread> threads_;
};

}  // namespace evilmoe
