#include <atomic>
#include <map>
#include <thread>

#include "tests/unit/services_coordinator/coordinator_fixture.h"

namespace evilmoe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class LeasesTest : public CoordinatorFixture {
 protected:
  static std::vector<int64_t> Indices(const std::vector<GrantedLease>& leases) {
    std::vector<int64_t> indices;
    for (const GrantedLease& lease : leases) indices.push_back(lease.task.index);
    return indices;
  }
};

TEST_F(LeasesTest, OldestBatchFirstLowestIndexFirstNeverTwoBatches) {
  StartBatch(3);
  ASSERT_TRUE(Open(fence_, adapter_, "step/1", 1, 2).ok());
  EXPECT_THAT(Indices(Lease("w", 2)), ElementsAre(0, 1));
  EXPECT_THAT(Indices(Lease("w", 2)), ElementsAre(2));
  EXPECT_THAT(Indices(Lease("w", 5)), ElementsAre(0, 1));
  EXPECT_TRUE(Lease("w", 5).empty());
}

TEST_F(LeasesTest, UnknownWorkerMustSendAHeartbeatFirst) {
  StartBatch(1);
  EXPECT_EQ(core_->LeaseGroups("stranger", 1, {}).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(LeasesTest, NothingIsHandedToACallerWhoHasGone) {
  StartBatch(1);
  EXPECT_FALSE(core_->LeaseGroups("w", 1, {.gone = [] { return true; }}).ok());
  EXPECT_EQ(Lease("w", 1).size(), 1u);
}

TEST_F(LeasesTest, CompletionCountsOnce) {
  StartBatch(1);
  const auto leases = Lease("w", 1);
  ASSERT_TRUE(Complete("w", leases[0]).ok());
  EXPECT_EQ(Complete("w", leases[0]).code(), absl::StatusCode::kAborted);
  const auto fetched = Fetch();
  ASSERT_EQ(fetched.groups.size(), 1u);
  EXPECT_EQ(*fetched.groups[0].result, "result 0");
  EXPECT_EQ(fetched.num_finished, 1);
  EXPECT_EQ(fetched.next, 1);
  EXPECT_TRUE(Fetch(1).groups.empty());
}

struct RefusalCase {
  std::string name;
  absl::StatusCode want;
  std::string want_text;
  std::string worker = "w";
  int64_t lease_offset = 0;
  int64_t index = 0;
  int num_samples = 2;
};

class RefusalTest : public LeasesTest, public ::testing::WithParamInterface<RefusalCase> {};

TEST_P(RefusalTest, RefusesAndKeepsTheLease) {
  StartBatch(1);
  Register("other");
  const auto leases = Lease("w", 1);
  CompletedGroup group = ResultOf(leases[0], adapter_);
  group.index = GetParam().index;
  group.num_samples = GetParam().num_samples;
  const absl::Status status =
      core_->CompleteGroup(GetParam().worker, leases[0].lease_id + GetParam().lease_offset, group);
  EXPECT_EQ(status.code(), GetParam().want) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().want_text));
  EXPECT_TRUE(Complete("w", leases[0]).ok());
}

INSTANTIATE_TEST_SUITE_P(Cases, RefusalTest, ::testing::ValuesIn(std::vector<RefusalCase>{
    {"WrongWorker", absl::StatusCode::kAborted, "not held by worker other", "other"},
    {"UnknownLease", absl::StatusCode::kAborted, "not held", "w", 7},
    {"ZeroLease", absl::StatusCode::kAborted, "not held", "w", -1},
    {"WrongIndex", absl::StatusCode::kInvalidArgument, "expected group 0", "w", 0, 1},
    {"WrongCount", absl::StatusCode::kInvalidArgument, "with 3 samples", "w", 0, 0, 3}}),
    [](const auto& c) { return c.param.name; });

TEST_F(LeasesTest, ForeignStaleAndUnacknowledgedAdaptersAreRefusedByName) {
  StartBatch(1);
  const AdapterName newer = Publish(fence_, 1, "newer bytes");
  AdapterName foreign = adapter_;
  foreign.sha256 = std::string(64, 'f');
  const auto leases = Lease("w", 1);
  for (const auto& [got, word] : {std::pair{foreign, "foreign"}, {newer, "stale"}}) {
    const absl::Status status = core_->CompleteGroup("w", leases[0].lease_id, ResultOf(leases[0], got));
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    for (const std::string& part : {std::string(word), got.sha256, adapter_.sha256}) {
      EXPECT_THAT(std::string(status.message()), HasSubstr(part));
    }
  }
  Restart();  // forgets what was acknowledged, not what was leased
  const absl::Status status = Complete("w", leases[0]);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("unacknowledged"));
  ASSERT_TRUE(core_->AcknowledgeAdapter("w", adapter_).ok());
  EXPECT_TRUE(Complete("w", leases[0]).ok());
  EXPECT_EQ(metrics_.refused_foreign.Value(), 1);
  EXPECT_EQ(metrics_.refused_stale.Value(), 1);
  EXPECT_EQ(metrics_.refused_unacknowledged.Value(), 1);
}

TEST_F(LeasesTest, WhatAWorkerHeldOfARunThatIsOverIsLateAndNoMismatch) {
  StartBatch(1);
  AdapterName gone = adapter_;
  gone.run_id = "over";
  EXPECT_EQ(core_->AcknowledgeAdapter("w", gone).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(metrics_.refused_late.Value(), 1);
  AdapterName foreign = adapter_;
  foreign.sha256 = std::string(64, 'f');
  EXPECT_EQ(core_->AcknowledgeAdapter("w", foreign).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(metrics_.refused_foreign.Value(), 1);
  EXPECT_EQ(metrics_.refused_stale.Value(), 0);
}

TEST_F(LeasesTest, AcknowledgingAForeignOrAStaleAdapterIsRefused) {
  StartBatch(1);
  const AdapterName newer = Publish(fence_, 1, "newer bytes");
  EXPECT_TRUE(core_->AcknowledgeAdapter("w", adapter_).ok()) << "an open batch uses it";
  EXPECT_TRUE(core_->AcknowledgeAdapter("w", newer).ok()) << "the newest";
  ASSERT_TRUE(core_->CloseBatch(fence_, "step/0").ok());
  EXPECT_EQ(core_->AcknowledgeAdapter("w", adapter_).code(), absl::StatusCode::kFailedPrecondition);
  AdapterName foreign = newer;
  foreign.run_id = "another run";
  EXPECT_EQ(core_->AcknowledgeAdapter("w", foreign).code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(LeasesTest, HeartbeatRenewsWhatItListsAndTheRestExpires) {
  StartBatch(2);
  const auto leases = Lease("w", 2);
  for (int i = 0; i < 2; ++i) {
    clock_.Advance(kLeaseTimeout * 0.6);
    const auto lost = core_->Heartbeat("w", {leases[0].lease_id, 999});
    ASSERT_TRUE(lost.ok());
    EXPECT_THAT(*lost, ElementsAre(999));
    core_->ExpireOverdue();
  }
  EXPECT_EQ(Complete("w", leases[1]).code(), absl::StatusCode::kAborted) << "was not listed";
  EXPECT_TRUE(Complete("w", leases[0]).ok());
  EXPECT_EQ(metrics_.leases_expired.Value(), 1);
  EXPECT_THAT(Indices(Lease("w", 2)), ElementsAre(1));
}

TEST_F(LeasesTest, AGroupThatIsLostTooOftenIsDoneWithoutAResult) {
  StartBatch(1);
  for (int i = 0; i <= CoordinatorState::kMaxLosses; ++i) {
    EXPECT_EQ(Fetch().num_finished, 0);
    ASSERT_EQ(Lease("w", 1).size(), 1u);
    clock_.Advance(2 * kLeaseTimeout);
    EXPECT_EQ(core_->ExpireOverdue(), 1);
  }
  const auto fetched = Fetch();
  ASSERT_EQ(fetched.groups.size(), 1u);
  EXPECT_EQ(fetched.groups[0].lost_reason, "INFRA_LOST");
  EXPECT_EQ(fetched.groups[0].num_samples, 2);
  EXPECT_TRUE(Lease("w", 1).empty());
}

TEST_F(LeasesTest, AnAbandonedGroupIsQueuedAgain) {
  StartBatch(1);
  const auto leases = Lease("w", 1);
  ASSERT_TRUE(core_->AbandonGroup("w", leases[0].lease_id, "CANCELLED").ok());
  EXPECT_EQ(core_->AbandonGroup("w", leases[0].lease_id, "CANCELLED").code(), absl::StatusCode::kAborted);
  const auto again = Lease("w", 1);
  ASSERT_EQ(again.size(), 1u);
  EXPECT_NE(again[0].lease_id, leases[0].lease_id);
}

TEST_F(LeasesTest, ACrashInTheMiddleOfABatchLosesNothingAndCountsNothingTwice) {
  StartBatch(3);
  const auto leases = Lease("w", 2);
  ASSERT_TRUE(Complete("w", leases[0]).ok());
  clock_.Advance(5 * kLeaseTimeout);  // while nobody served
  Restart();
  EXPECT_EQ(core_->ExpireOverdue(), 0);
  EXPECT_EQ(core_->LeaseGroups("w", 1, {}).status().code(), absl::StatusCode::kFailedPrecondition);
  Register("w");
  EXPECT_EQ(Complete("w", leases[0]).code(), absl::StatusCode::kAborted);
  ASSERT_TRUE(Complete("w", leases[1]).ok());
  const auto rest = Lease("w", 5);
  EXPECT_THAT(Indices(rest), ElementsAre(2));
  ASSERT_TRUE(Complete("w", rest[0]).ok());
  EXPECT_EQ(Fetch().groups.size(), 3u);
}

TEST_F(LeasesTest, EightThreadsFinishEachGroupExactlyOnce) {
  constexpr int kGroups = 64;
  StartBatch(kGroups);
  std::atomic<int> num_completed = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 8; ++t) {
      threads.emplace_back([this, t, &num_completed] {
        const std::string worker = "worker " + std::to_string(t);
        if (!core_->Heartbeat(worker, {}).ok() || !core_->AcknowledgeAdapter(worker, adapter_).ok()) return;
        while (true) {
          const auto granted = core_->LeaseGroups(worker, 3, {});
          if (!granted.ok() || granted->leases.empty()) return;
          for (const auto& lease : granted->leases) num_completed += Complete(worker, lease).ok() ? 1 : 0;
        }
      });
    }
  }
  EXPECT_EQ(num_completed, kGroups);
  const auto fetched = Fetch();
  EXPECT_EQ(fetched.groups.size(), size_t{kGroups});
  EXPECT_EQ(fetched.num_finished, kGroups);
}

TEST_F(LeasesTest, AWaitingWorkerWakesWhenABatchOpens) {
  StartBatch(1);
  ASSERT_EQ(Lease("w", 1).size(), 1u);
  size_t num_leased = 0;
  {
    const std::jthread waiting([&] {
      const auto granted = core_->LeaseGroups("w", 1, {.wait = absl::Seconds(30)});
      num_leased = granted.ok() ? granted->leases.size() : 0;
    });
    ASSERT_TRUE(Open(fence_, adapter_, "step/1", 1, 1).ok());
  }
  EXPECT_EQ(num_leased, 1u);
}

TEST_F(LeasesTest, AWorkerThatFallsSilentWithItsGroupsIsLostOnce) {
  StartBatch(3);
  Lease("w", 2);
  clock_.Advance(kLeaseTimeout / 2);
  Lease("w", 1);  // expires later than the others
  clock_.Advance(kLeaseTimeout / 2 + absl::Seconds(1));
  core_->ExpireOverdue();
  EXPECT_EQ(metrics_.leases_expired.Value(), 2);
  EXPECT_EQ(metrics_.workers_lost.Value(), 0) << "it was heard of half a timeout ago";
  clock_.Advance(kLeaseTimeout);
  core_->ExpireOverdue();
  EXPECT_EQ(metrics_.workers_lost.Value(), 1);
  Register("w");
  Lease("w", 1);
  clock_.Advance(kLeaseTimeout + absl::Seconds(1));
  core_->ExpireOverdue();
  EXPECT_EQ(metrics_.workers_lost.Value(), 2) << "it had come back";
}

TEST_F(LeasesTest, AWorkerThatLeavesWithoutGroupsIsNotLost) {
  StartBatch(1);
  ASSERT_TRUE(Complete("w", Lease("w", 1)[0]).ok());
  clock_.Advance(3 * kLeaseTimeout);
  core_->ExpireOverdue();
  EXPECT_EQ(metrics_.workers_lost.Value(), 0);
}

}  // namespace
}  // namespace evilmoe
