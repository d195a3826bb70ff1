// A worker's standing with its coordinator, and what it tells of its leases, over a real connection.
#include "rollout_workers/worker_session.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include "tests/unit/rollout_workers/leases_fixture.h"

namespace evilmoe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Seen = FakeCoordinator::Seen;

constexpr absl::Duration kMinute = absl::Minutes(1);

using WorkerSessionTest = LeasesTest;
using GroupOutboxTest = LeasesTest;

TEST_F(WorkerSessionTest, BeginsWhenTheCoordinatorComes) {
  absl::Status begun = absl::UnknownError("not called");
  {
    const std::jthread worker([&] { begun = session_.Begin({}); });
    coordinator_.Serve();
  }
  EXPECT_TRUE(begun.ok()) << begun;
  const v1::HeartbeatRequest heartbeat = coordinator_.seen().heartbeat;
  EXPECT_EQ(heartbeat.worker_id(), "w-1");
  char host[256] = {};
  ASSERT_EQ(gethostname(host, sizeof host - 1), 0);
  EXPECT_EQ(heartbeat.host(), host);
}

TEST_F(WorkerSessionTest, StopsWaitingForOneThatNeverComes) {
  std::stop_source stop;
  absl::Status begun;
  std::jthread worker([&] { begun = session_.Begin(stop.get_token()); });
  stop.request_stop();
  stop_.request_stop();
  worker.join();
  EXPECT_TRUE(absl::IsCancelled(begun)) << begun;
}

class ForbiddenTest : public LeasesTest, public ::testing::WithParamInterface<grpc::StatusCode> {};

TEST_P(ForbiddenTest, EndsTheSessionWithWhatToDo) {
  coordinator_.Refuse("Heartbeat", {GetParam(), "who are you"});
  coordinator_.Serve();
  const absl::Status begun = session_.Begin({});
  EXPECT_EQ(static_cast<int>(begun.code()), static_cast<int>(GetParam()));
  EXPECT_THAT(std::string(begun.message()), HasSubstr("check the token"));
  EXPECT_EQ(coordinator_.seen().calls["Heartbeat"], 1) << "not tried again";
  EXPECT_EQ(session_.failure(), begun);
}

INSTANTIATE_TEST_SUITE_P(Codes, ForbiddenTest,
                         ::testing::Values(grpc::StatusCode::UNAUTHENTICATED, grpc::StatusCode::PERMISSION_DENIED,
                                           grpc::StatusCode::UNIMPLEMENTED));

TEST_F(WorkerSessionTest, ATokenThatIsTakenAwayEndsItLater) {
  ServeAndBegin();
  coordinator_.Refuse("LeaseGroups", {grpc::StatusCode::UNAUTHENTICATED, "revoked"});
  EXPECT_TRUE(session_.failure().ok());
  EXPECT_TRUE(absl::IsUnauthenticated(session_.Lease(1, absl::ZeroDuration()).status()));
  EXPECT_TRUE(absl::IsUnauthenticated(session_.failure()));
}

TEST_F(WorkerSessionTest, HeartbeatsTellOfLeasesAndLearnWhichAreLost) {
  ServeAndBegin();
  coordinator_.Add(Work(0, 2));
  coordinator_.Add(Work(1, 1));
  const int64_t unfinished = LeaseOne(), finished = LeaseOne();
  ASSERT_TRUE(in_flight_.Add(finished, 0, {}).has_value());
  Start([this](const std::stop_token& stop) { session_.HeartbeatLoop(stop); });
  EXPECT_TRUE(coordinator_.Await([&](const Seen& seen) { return seen.heartbeat.lease_ids_size() == 2; }));
  EXPECT_THAT(session_.TakeLost(), IsEmpty());
  coordinator_.ExpireLeases();
  EXPECT_TRUE(coordinator_.Await([&](const Seen& seen) { return seen.heartbeat.lease_ids_size() == 1; }));
  EXPECT_THAT(session_.TakeLost(), ElementsAre(unfinished));
  EXPECT_THAT(in_flight_.LeaseIds(), ElementsAre(finished)) << "its handing in finds out by itself";
}

TEST_F(WorkerSessionTest, RegistersAndAcknowledgesAgainAfterARestart) {
  ServeAndBegin();
  coordinator_.Add(Work(0));
  const v1::AdapterVersion adapter = Work().adapter;
  LeaseOne();
  ASSERT_TRUE(session_.Acknowledge(adapter).ok());
  ASSERT_TRUE(session_.Acknowledge(adapter).ok());
  EXPECT_EQ(coordinator_.seen().calls["AcknowledgeAdapter"], 1);
  coordinator_.Vanish();
  coordinator_.Forget();
  coordinator_.Serve();
  EXPECT_TRUE(session_.Lease(1, absl::ZeroDuration()).ok());
  EXPECT_THAT(coordinator_.seen().acknowledged, ElementsAre(adapter.sha256()));
  EXPECT_EQ(metrics_.reconnects.Value(), 1);
}

TEST_F(WorkerSessionTest, OutlivesACoordinatorThatIsAwayForLongerThanACallWaits) {
  ServeAndBegin();
  const FakeCoordinator::Work work = Work();
  coordinator_.Add(work);
  LeaseOne();
  ASSERT_TRUE(session_.Acknowledge(work.adapter).ok());
  Start([this](const std::stop_token& stop) { session_.HeartbeatLoop(stop); });
  coordinator_.Vanish();
  EXPECT_FALSE(session_.Lease(1, absl::ZeroDuration()).ok());
  EXPECT_TRUE(AwaitLog("coordinator_away"));
  coordinator_.Forget();
  coordinator_.Serve();
  EXPECT_TRUE(coordinator_.Await([&](const Seen& seen) { return seen.acknowledged.contains(work.adapter.sha256()); }));
  EXPECT_EQ(metrics_.reconnects.Value(), 1);
  EXPECT_TRUE(session_.failure().ok());
}

TEST_F(WorkerSessionTest, AReturnThatALeaseFindsOutIsCountedOnce) {
  ServeAndBegin();
  coordinator_.Vanish();
  std::stop_source stop;
  std::jthread beats([&] { session_.HeartbeatLoop(stop.get_token()); });
  EXPECT_TRUE(AwaitLog("coordinator_away"));
  stop.request_stop();
  beats.join();
  coordinator_.Forget();
  coordinator_.Serve();
  EXPECT_TRUE(session_.Lease(1, absl::ZeroDuration()).ok());
  EXPECT_EQ(metrics_.reconnects.Value(), 1);
}

TEST_F(GroupOutboxTest, ACompletionWhoseAnswerIsLostCountsOnce) {
  ServeAndBegin();
  coordinator_.Add(Work());
  const int64_t lease = LeaseOne();
  ASSERT_TRUE(session_.Acknowledge(Work().adapter).ok());
  coordinator_.LoseAnswers("CompleteGroup", 1);
  Finish(lease);
  EXPECT_TRUE(outbox_.AwaitEmpty(kMinute));
  EXPECT_THAT(coordinator_.seen().finished, SizeIs(1));
  EXPECT_EQ(coordinator_.seen().calls["CompleteGroup"], 2);
  EXPECT_EQ(metrics_.groups_taken.Value(), 1);
  EXPECT_EQ(metrics_.groups_refused.Value(), 0);
  EXPECT_EQ(metrics_.groups_given_back.Value(), 0);
  EXPECT_THAT(in_flight_.LeaseIds(), IsEmpty());
}

TEST_F(GroupOutboxTest, WhatCannotBeSaidIsKeptAndSaidLater) {
  ServeAndBegin();
  for (int i = 0; i < 3; ++i) coordinator_.Add(Work(i));
  const std::vector<int64_t> leases = {LeaseOne(), LeaseOne(), LeaseOne()};
  coordinator_.Vanish();
  coordinator_.Forget();
  Finish(leases[0]);
  Finish(leases[1]);
  outbox_.GiveBack(leases[2], "INFRA_LOST", "no grader");
  EXPECT_EQ(outbox_.num_waiting(), 3);
  EXPECT_THAT(in_flight_.LeaseIds(), SizeIs(2)) << "heartbeats keep what is finished and not handed in";
  EXPECT_FALSE(outbox_.AwaitEmpty(absl::Milliseconds(300)));
  coordinator_.Serve();
  EXPECT_TRUE(outbox_.AwaitEmpty(kMinute));
  const Seen seen = coordinator_.seen();
  EXPECT_THAT(seen.finished, SizeIs(2));
  ASSERT_THAT(seen.given_back, SizeIs(1));
  EXPECT_EQ(seen.given_back[0].reason(), "INFRA_LOST");
  EXPECT_EQ(seen.given_back[0].detail(), "no grader");
  EXPECT_EQ(metrics_.groups_completed.Value(), 2);
  EXPECT_THAT(in_flight_.LeaseIds(), IsEmpty());
}

TEST_F(GroupOutboxTest, ALeaseThatWasLostMeanwhileIsNoTrouble) {
  ServeAndBegin();
  for (int i = 0; i < 2; ++i) coordinator_.Add(Work(i));
  const int64_t first = LeaseOne(), second = LeaseOne();
  coordinator_.ExpireLeases();
  Finish(first);
  outbox_.GiveBack(second, "CANCELLED", "");
  EXPECT_TRUE(outbox_.AwaitEmpty(kMinute));
  EXPECT_THAT(coordinator_.seen().finished, IsEmpty());
  EXPECT_EQ(metrics_.groups_taken.Value(), 1);
}

TEST_F(GroupOutboxTest, AGroupThatIsRefusedIsGivenBack) {
  ServeAndBegin();
  coordinator_.Add(Work());
  const int64_t lease = LeaseOne();
  coordinator_.Refuse("CompleteGroup", {grpc::StatusCode::INVALID_ARGUMENT, "lengths that disagree"});
  Finish(lease);
  EXPECT_TRUE(coordinator_.Await([](const Seen& seen) { return seen.given_back.size() == 1; }));
  EXPECT_TRUE(outbox_.AwaitEmpty(kMinute));
  EXPECT_EQ(coordinator_.seen().given_back[0].reason(), "INFRA_LOST");
  EXPECT_THAT(coordinator_.seen().given_back[0].detail(), HasSubstr("lengths that disagree"));
  EXPECT_EQ(metrics_.groups_refused.Value(), 1);
  EXPECT_THAT(in_flight_.LeaseIds(), IsEmpty());
}

TEST_F(GroupOutboxTest, AnErrorThatStaysIsNotTriedForEver) {
  ServeAndBegin();
  coordinator_.Add(Work());
  const int64_t lease = LeaseOne();
  coordinator_.Refuse("CompleteGroup", {grpc::StatusCode::RESOURCE_EXHAUSTED, "message too large"});
  outbox_.Hurry();
  Finish(lease);
  EXPECT_TRUE(coordinator_.Await([](const Seen& seen) { return seen.given_back.size() == 1; }));
  EXPECT_EQ(coordinator_.seen().calls["CompleteGroup"], 10);
}

TEST_F(GroupOutboxTest, ADetailIsTextThatTheCoordinatorTakes) {
  ServeAndBegin();
  for (const std::string& detail : {std::string("no \xff UTF-8"), std::string(5000, 'x'), std::string(2000, '\xe2')}) {
    coordinator_.Add(Work());
    outbox_.GiveBack(LeaseOne(), "CANCELLED", detail);
  }
  EXPECT_TRUE(outbox_.AwaitEmpty(kMinute));
  ASSERT_THAT(coordinator_.seen().given_back, SizeIs(3));
  EXPECT_EQ(coordinator_.seen().given_back[0].detail(), "no \xef\xbf\xbd UTF-8");
  EXPECT_EQ(coordinator_.seen().given_back[1].detail(), std::string(1000, 'x') + "...");
}

TEST_F(GroupOutboxTest, GivesBackNothingThatIsGone) {
  ServeAndBegin();
  outbox_.GiveBack(99, "CANCELLED", "");
  EXPECT_EQ(outbox_.num_waiting(), 0);
  EXPECT_EQ(metrics_.groups_given_back.Value(), 0);
}

}  // namespace
}  // namespace evilmoe
