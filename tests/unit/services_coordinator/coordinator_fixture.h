#pragma once

#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/hash.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/coordinator/sqlite_store.h"
#include "tests/fakes/fake_clock.h"
#include "tests/unit/services_coordinator/blocking_core.h"

namespace evilmoe {

constexpr absl::Duration kLeaseTimeout = absl::Seconds(10);
constexpr absl::Duration kTrainerTimeout = absl::Seconds(20);

// A core over a database in a folder of its own, with a clock that the test moves. Restart() is what a crash and a new
// start do: a new core over the same file.
class CoordinatorFixture : public ::testing::Test {
 protected:
  CoordinatorFixture() {
    std::string pattern = (std::filesystem::temp_directory_path() / "coordinator_XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    Restart();
  }
  ~CoordinatorFixture() override {
    core_.reset();
    store_.reset();
    std::filesystem::remove_all(folder_);
  }

  void Restart() {
    core_.reset();
    store_.reset();
    auto store = SqliteStore::Open(folder_ / "store.db");
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
    auto core = CoordinatorCore::Create(*store_, options_, clock_, logger_, metrics_);
    ASSERT_TRUE(core.ok()) << core.status();
    core_ = std::make_unique<BlockingCore>(*std::move(core));
  }

  RunRecord Submit(const std::string& run_id) {
    const auto run = core_->SubmitRun(
        {.run_id = run_id, .config_yaml = "name: x", .steps_total = 3, .directory = (folder_ / run_id).string()});
    EXPECT_TRUE(run.ok()) << run.status();
    return run.value_or(RunRecord());
  }
  JobFenceKey Acquire(const std::string& trainer_id) {
    const auto job = core_->AcquireJob({.trainer_id = trainer_id, .trainer_name = trainer_id}, {});
    EXPECT_TRUE(job.ok()) << job.status();
    if (!job.ok()) return {};
    return {.run_id = job->run.run_id, .job_id = job->job.job_id, .incarnation = job->job.incarnation};
  }
  AdapterName Publish(const JobFenceKey& fence, int64_t step, const std::string& bytes) {
    const AdapterName adapter{.run_id = fence.run_id,
                              .step = step,
                              .sha256 = Sha256Hex(bytes),
                              .size_bytes = static_cast<int64_t>(bytes.size())};
    EXPECT_TRUE(core_->PublishAdapter(fence, adapter, bytes).ok());
    return adapter;
  }
  static std::vector<GroupTask> Groups(int count) {
    std::vector<GroupTask> groups;
    for (int i = 0; i < count; ++i) groups.push_back({.index = i, .num_samples = 2, .spec = "spec " + std::to_string(i)});
    return groups;
  }
  absl::Status Open(const JobFenceKey& fence, const AdapterName& adapter, const std::string& key, int64_t step,
                    int num_groups) {
    return core_->OpenBatch(fence, {.key = key, .step = step, .adapter = adapter, .sampling = "s"}, Groups(num_groups));
  }
  // A run whose batch "step/0" of `num_groups` groups waits for workers; worker "w" is registered and holds the adapter.
  void StartBatch(int num_groups) {
    Submit("R");
    fence_ = Acquire("T");
    ASSERT_TRUE(core_->BeginJob(fence_, 0).ok());
    adapter_ = Publish(fence_, 0, "bytes");
    ASSERT_TRUE(Open(fence_, adapter_, "step/0", 0, num_groups).ok());
    Register("w");
  }
  void Register(const std::string& worker_id) {
    ASSERT_TRUE(core_->Heartbeat(worker_id, {}).ok());
    ASSERT_TRUE(core_->AcknowledgeAdapter(worker_id, adapter_).ok());
  }
  std::vector<GrantedLease> Lease(const std::string& worker_id, int max_groups) {
    const auto granted = core_->LeaseGroups(worker_id, max_groups, {});
    EXPECT_TRUE(granted.ok()) << granted.status();
    return granted.ok() ? granted->leases : std::vector<GrantedLease>();
  }
  absl::Status Complete(const std::string& worker_id, const GrantedLease& lease) {
    return core_->CompleteGroup(worker_id, lease.lease_id, ResultOf(lease, adapter_));
  }
  static CompletedGroup ResultOf(const GrantedLease& lease, const AdapterName& adapter) {
    return {.index = lease.task.index,
            .num_samples = lease.task.num_samples,
            .adapter = adapter,
            .result = "result " + std::to_string(lease.task.index)};
  }
  FetchedGroups Fetch(int64_t after = 0) {
    auto fetched = core_->FetchGroups(fence_, "step/0", after, {});
    EXPECT_TRUE(fetched.ok()) << fetched.status();
    return fetched.ok() ? *std::move(fetched) : FetchedGroups();
  }

  std::filesystem::path folder_;
  FakeClock clock_;
  prometheus::Registry registry_;
  CoordinatorMetrics metrics_{registry_};
  Logger logger_ = Logger::Open("/dev/null", "test", clock_).value();
  CoordinatorCore::Options options_{.lease_timeout = kLeaseTimeout, .trainer_timeout = kTrainerTimeout};
  std::unique_ptr<SqliteStore> store_;
  std::unique_ptr<BlockingCore> core_;
  JobFenceKey fence_;
  AdapterName adapter_;
};

}  // namespace evilmoe
