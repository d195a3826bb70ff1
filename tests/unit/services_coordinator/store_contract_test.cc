// What store.h promises, held against every store.

#include <algorithm>
#include <atomic>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/seed.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fakes/memory_store.h"
#include "tests/unit/services_coordinator/store_kinds.h"
#include "tests/unit/services_coordinator/store_testing.h"

namespace evilmoe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<StoreChange> Join(std::vector<StoreChange> list, const std::vector<StoreChange>& more) {
  list.insert(list.end(), more.begin(), more.end());
  return list;
}

// What a store that was given `changes` one by one holds.
std::string Expected(const std::vector<StoreChange>& changes) {
  MemoryStore model;
  EXPECT_TRUE(model.Apply(changes).ok());
  return Describe(*model.Load());
}

class StoreContractTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (std::string(GetParam()) == "Sqlite") {
      place_ = std::make_unique<SqlitePlace>();
    } else {
      absl::StatusOr<std::unique_ptr<PostgresPlace>> place = PostgresPlace::Make();
      if (absl::IsNotFound(place.status())) GTEST_SKIP() << place.status();
      ASSERT_TRUE(place.ok()) << place.status();
      place_ = *std::move(place);
    }
    Reopen();
  }

  void Reopen() {
    store_.reset();
    absl::StatusOr<std::unique_ptr<Store>> store = place_->Open();
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }

  // The contents that a coordinator of tomorrow finds.
  StoreContents Reload() {
    Reopen();
    const absl::StatusOr<StoreContents> contents = store_->Load();
    EXPECT_TRUE(contents.ok()) << contents.status();
    return contents.value_or(StoreContents{});
  }

  void Apply(const std::vector<StoreChange>& changes) {
    const absl::Status applied = store_->Apply(changes);
    ASSERT_TRUE(applied.ok()) << applied;
  }

  std::unique_ptr<StorePlace> place_;
  std::unique_ptr<Store> store_;
};

INSTANTIATE_TEST_SUITE_P(Stores, StoreContractTest, ::testing::Values("Sqlite", "Postgres"),
                         [](const auto& one) { return std::string(one.param); });

TEST_P(StoreContractTest, BeginsEmpty) {
  const StoreContents contents = Reload();
  EXPECT_EQ(Describe(contents), Expected({}));
  EXPECT_EQ(contents.epoch, 1);
}

TEST_P(StoreContractTest, GivesBackWhatEachChangeSaid) {
  JobRecord job{.order = 4,
                .job_id = "J",
                .run_id = "R",
                .type = JobType::kAblate,
                .params_json = "{}",
                .phase = RunPhase::kPausing,
                .trainer_id = "t1",
                .trainer_name = "t",
                .incarnation = 3,
                .num_lost_trainers = 2};
  PutLease lease = TestLease(1, 1, (int64_t{5} << 40) + 17);
  const std::vector<StoreChange> changes = {
      PutRun{TestRun("R")},           PutJob{job}, PutAdapter{TestAdapter("R", 6)}, TestEvent("R", 1, "a"),
      TestBatch(1, "R", "step/7", 3), lease,       RequeueGroup{1, 2, 3},           TestFinish(1, 0, 0, "result")};
  Apply(changes);
  const StoreContents contents = Reload();
  EXPECT_EQ(Describe(contents), Expected(changes));

  ASSERT_EQ(contents.runs.size(), 1u);
  EXPECT_EQ(contents.runs[0].adapter.sha256, TestAdapter("R", 6).sha256);
  EXPECT_EQ(contents.runs[0].last_seq, 1);
  ASSERT_EQ(contents.batches.size(), 1u);
  const std::vector<StoredGroup>& groups = contents.batches[0].groups;
  ASSERT_EQ(groups.size(), 3u);
  EXPECT_EQ(*groups[0].finished->group.result, "result");
  EXPECT_EQ(groups[1].lease->lease_id, lease.lease_id);
  EXPECT_EQ(groups[2].num_losses, 3);
  EXPECT_EQ(groups[2].task.spec, "spec 2");
}

TEST_P(StoreContractTest, PutsReplaceWhatWasThere) {
  RunRecord run = TestRun("R", 5);
  Apply({PutRun{run}, PutJob{{.order = 1, .job_id = "J", .run_id = "R"}}});
  run = {.run_id = "R", .name = "other", .phase = RunPhase::kPaused, .created_unix_ms = 6, .priority = -1, .slots = 8};
  const std::vector<StoreChange> changes = {
      PutRun{run}, PutJob{{.order = 2, .job_id = "J", .run_id = "R", .type = JobType::kAblate, .params_json = "x"}}};
  Apply(changes);
  EXPECT_EQ(Describe(Reload()), Expected(changes));
}

TEST_P(StoreContractTest, RunsAreOldestFirstAndJobsByOrder) {
  Apply({PutRun{TestRun("B", 7)}, PutRun{TestRun("A", 9)}, PutRun{TestRun("C", 7)},
         PutJob{{.order = 2, .job_id = "J2", .run_id = "A"}}, PutJob{{.order = 1, .job_id = "J1", .run_id = "B"}}});
  const StoreContents contents = Reload();
  std::vector<std::string> names;
  for (const RunRecord& run : contents.runs) names.push_back(run.run_id);
  for (const JobRecord& job : contents.jobs) names.push_back(job.job_id);
  EXPECT_THAT(names, ElementsAre("B", "C", "A", "J1", "J2"));
}

TEST_P(StoreContractTest, AnAdapterPublishedAgainIsTheNewest) {
  Apply({PutRun{TestRun("R")}, PutAdapter{TestAdapter("R", 1)}, PutAdapter{TestAdapter("R", 2)}});
  Apply({PutAdapter{TestAdapter("R", 3)}, PutAdapter{TestAdapter("R", 1)}});
  const StoreContents contents = Reload();
  std::vector<int64_t> steps;
  for (const AdapterName& adapter : contents.adapters) steps.push_back(adapter.step);
  EXPECT_THAT(steps, ElementsAre(2, 3, 1));
  EXPECT_EQ(contents.runs.at(0).adapter.step, 1);
}

TEST_P(StoreContractTest, OnlyOpenRunsComeWithAdaptersAllWithKeys) {
  RunRecord ended = TestRun("E");
  ended.phase = RunPhase::kSucceeded;
  Apply({PutRun{ended}, PutRun{TestRun("R")}, PutAdapter{TestAdapter("E", 1)}, PutAdapter{TestAdapter("R", 2)},
         TestEvent("E", 1, "a"), TestEvent("R", 1, "b")});
  const StoreContents contents = Reload();
  ASSERT_EQ(contents.adapters.size(), 1u);
  EXPECT_EQ(contents.adapters[0].run_id, "R");
  EXPECT_EQ(contents.event_keys.size(), 2u);
  EXPECT_EQ(contents.runs.at(0).adapter.step, 1) << "of any run";
}

TEST_P(StoreContractTest, AnEventIsTakenOnceByItsKeyAndByItsNumber) {
  Apply({PutRun{TestRun("R")}, PutRun{TestRun("S")}, TestEvent("R", 1, "a"), TestEvent("R", 2, "a"),
         TestEvent("R", 1, "b"), TestEvent("S", 1, "a")});
  Apply({TestEvent("R", 3, "a"), TestEvent("R", 2, "c")});
  const absl::StatusOr<std::vector<EventRecord>> events = store_->ReadEvents("R", 0, 100);
  ASSERT_TRUE(events.ok()) << events.status();
  EXPECT_EQ(Describe(*events), Describe({TestEvent("R", 1, "a").event, TestEvent("R", 2, "c").event}));
  EXPECT_THAT(Reload().event_keys["R"], ElementsAre("a", "c"));
}

TEST_P(StoreContractTest, EventsAreReadFromAnyPlace) {
  std::vector<StoreChange> changes = {PutRun{TestRun("R")}};
  for (int64_t seq = 1; seq <= 30; ++seq) changes.push_back(TestEvent("R", seq, absl::StrCat("k", seq)));
  Apply(changes);
  const auto seqs = [&](int64_t after, int limit) {
    std::vector<int64_t> numbers;
    const absl::StatusOr<std::vector<EventRecord>> events = store_->ReadEvents("R", after, limit);
    EXPECT_TRUE(events.ok()) << events.status();
    for (const EventRecord& event : *events) numbers.push_back(event.seq);
    return numbers;
  };
  EXPECT_THAT(seqs(0, 2), ElementsAre(1, 2));
  EXPECT_THAT(seqs(28, 100), ElementsAre(29, 30));
  EXPECT_THAT(seqs(30, 100), IsEmpty());
  EXPECT_EQ(seqs(0, 100).size(), 30u);
  EXPECT_THAT(*store_->ReadEvents("none", 0, 10), IsEmpty());
}

TEST_P(StoreContractTest, DroppingABatchDropsAllThatIsUnderIt) {
  const std::vector<StoreChange> head = {PutRun{TestRun("R")}};
  Apply(head);
  Apply({TestBatch(1, "R", "a", 4), TestBatch(2, "R", "b", 4), TestLease(1, 0, 1), TestLease(2, 0, 2),
         TestFinish(1, 0, 1, "x"), TestFinish(2, 0, 1, "y")});
  Apply({DropBatch{1}});
  const StoreContents contents = Reload();
  EXPECT_EQ(Describe(contents),
            Expected(Join(head, {TestBatch(2, "R", "b", 4), TestLease(2, 0, 2), TestFinish(2, 0, 1, "y")})));
  // Nothing of the first comes back with another batch of its id.
  Apply({TestBatch(1, "R", "a", 4)});
  EXPECT_FALSE(Reload().batches.at(0).groups.at(0).lease.has_value());
}

TEST_P(StoreContractTest, ABatchTakesThePlaceOfTheOneWithItsKeyOrId) {
  Apply({PutRun{TestRun("R")}, TestBatch(1, "R", "a", 2), TestBatch(2, "R", "b", 2), TestLease(1, 0, 1),
         TestFinish(2, 0, 0, "x")});
  Apply({TestBatch(3, "R", "a", 1), TestBatch(2, "R", "c", 1)});
  EXPECT_EQ(Describe(Reload()), Expected({PutRun{TestRun("R")}, TestBatch(3, "R", "a", 1), TestBatch(2, "R", "c", 1)}));
}

TEST_P(StoreContractTest, BatchNumbersAreNotForgotten) {
  Apply({PutRun{TestRun("R")}, TestBatch(7, "R", "a", 1)});
  Apply({DropBatch{7}});
  EXPECT_EQ(Reload().last_batch_id, 7);
}

TEST_P(StoreContractTest, ALeaseThatEndedIsGone) {
  Apply({PutRun{TestRun("R")}, TestBatch(1, "R", "a", 3), TestLease(1, 0, 1), TestLease(1, 1, 2), TestLease(1, 2, 3)});
  FinishGroup lost = TestFinish(1, 0, 0, "");
  lost.group.lost_reason = "INFRA_LOST";
  lost.group.result = nullptr;
  Apply({lost, RequeueGroup{1, 1, 1}});
  const std::vector<StoredGroup> groups = Reload().batches.at(0).groups;
  EXPECT_FALSE(groups.at(0).lease.has_value());
  EXPECT_EQ(groups.at(0).finished->group.lost_reason, "INFRA_LOST");
  EXPECT_EQ(groups.at(0).finished->group.result, nullptr);
  EXPECT_FALSE(groups.at(1).lease.has_value());
  EXPECT_EQ(groups.at(1).num_losses, 1);
  EXPECT_EQ(groups.at(2).lease->lease_id, 3);
}

TEST_P(StoreContractTest, ALeaseThatIsGrantedAndEndsInOneListLeavesItsEnd) {
  const std::vector<StoreChange> changes = {
      PutRun{TestRun("R")},     TestBatch(1, "R", "a", 3), TestLease(1, 0, 1), TestFinish(1, 0, 0, "x"),
      TestLease(1, 1, 2),       RequeueGroup{1, 1, 1},     TestLease(1, 1, 3), TestLease(1, 2, 4),
      TestFinish(1, 1, 2, "y"), TestBatch(2, "R", "b", 1), TestLease(2, 0, 5), DropBatch{2}};
  Apply(changes);
  EXPECT_EQ(Describe(Reload()), Expected(changes));
}

TEST_P(StoreContractTest, AChangeOfAGroupThatIsNotThereDoesNothing) {
  const std::vector<StoreChange> head = {PutRun{TestRun("R")}, TestBatch(1, "R", "a", 1)};
  Apply(Join(head, {DropBatch{9}, TestLease(9, 0, 1), TestFinish(9, 0, 0, "x"), RequeueGroup{9, 0, 1},
                    TestLease(1, 5, 2), TestFinish(1, 0, 5, "x"), RequeueGroup{1, 5, 1}}));
  EXPECT_EQ(Describe(Reload()), Expected(head));
}

TEST_P(StoreContractTest, AListThatFailsChangesNothing) {
  Apply({PutRun{TestRun("R")}});
  const absl::Status failed = store_->Apply(
      std::vector<StoreChange>{TestBatch(1, "R", "a", 1), PutJob{{.order = 1, .job_id = "J", .run_id = "none"}}});
  EXPECT_EQ(failed.code(), absl::StatusCode::kInternal) << failed;
  Apply({TestEvent("R", 1, "a")});
  EXPECT_EQ(Describe(Reload()), Expected({PutRun{TestRun("R")}, TestEvent("R", 1, "a")}));
}

TEST_P(StoreContractTest, AnEmptyListIsFine) {
  Apply({});
  EXPECT_EQ(Describe(Reload()), Expected({}));
}

TEST_P(StoreContractTest, EachLoadBeginsAnEpoch) {
  EXPECT_EQ(store_->Load()->epoch, 1);
  EXPECT_EQ(store_->Load()->epoch, 2);
  EXPECT_EQ(Reload().epoch, 3);
  Apply({PutRun{TestRun("R")}});
}

TEST_P(StoreContractTest, ASecondWriterIsRefusedWhileTheFirstLives) {
  const absl::Status second = place_->Open().status();
  EXPECT_EQ(second.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(second.message()), HasSubstr("another coordinator"));
  Apply({PutRun{TestRun("R")}});
  store_.reset();
  EXPECT_TRUE(place_->Open().ok());
}

TEST_P(StoreContractTest, BlobsAndTextKeepTheirBytes) {
  std::string bytes(size_t{16} << 20, '\0');
  RandomStream random(1);
  for (char& byte : bytes) byte = static_cast<char>(random.Bits());
  PutBatch batch = TestBatch(1, "R", "a", 0);
  batch.batch.sampling = std::string("\0\xff\0", 3);
  batch.groups = std::make_shared<const std::vector<GroupTask>>(
      std::vector<GroupTask>{{.index = 0, .num_samples = 1, .spec = bytes}, {.index = 1, .num_samples = 1}});
  RunRecord run = TestRun("R");
  run.name = "Größe ☃ 😀";
  run.error = std::string("a\0b\x1a", 4);
  PutEvent event = TestEvent("R", 1, std::string("\0", 1));
  event.event.payload_json = "{\"text\":\"\\u0000 ☃\"}";
  const std::vector<StoreChange> changes = {PutRun{run}, batch, event, TestFinish(1, 0, 0, bytes),
                                            TestFinish(1, 1, 1, "")};
  Apply(changes);
  EXPECT_EQ(Describe(*store_->ReadEvents("R", 0, 10)), Describe(std::vector<EventRecord>{event.event}));
  const StoreContents contents = Reload();
  EXPECT_EQ(Describe(contents), Expected(changes));
  EXPECT_EQ(*contents.batches.at(0).groups.at(0).finished->group.result, bytes);
  EXPECT_EQ(contents.runs.at(0).error, run.error);
}

TEST_P(StoreContractTest, EventsAreReadableWhileAnotherThreadApplies) {
  constexpr int64_t kNumEvents = 150;
  Apply({PutRun{TestRun("R")}});
  std::atomic<int64_t> applied = 0;
  std::thread writer([&] {
    for (int64_t seq = 1; seq <= kNumEvents; ++seq) {
      const std::vector<StoreChange> one = {TestEvent("R", seq, absl::StrCat("k", seq))};
      EXPECT_TRUE(store_->Apply(one).ok());
      applied = seq;
    }
  });
  for (size_t seen = 0; seen < kNumEvents;) {
    const int64_t before = applied;
    const absl::StatusOr<std::vector<EventRecord>> events = store_->ReadEvents("R", 0, 1000);
    if (!events.ok()) {
      ADD_FAILURE() << events.status();
      break;
    }
    EXPECT_GE(events->size(), static_cast<size_t>(before)) << "whose Apply() has returned";
    EXPECT_GE(events->size(), seen);
    seen = events->size();
    EXPECT_EQ(seen == 0 ? 0 : events->back().seq, static_cast<int64_t>(seen)) << "without holes";
    if (::testing::Test::HasFailure()) break;
  }
  writer.join();
}

TEST_P(StoreContractTest, HoldsAHundredThousandGroups) {
  constexpr int64_t kNumGroups = 100000;
  std::vector<StoreChange> changes = {PutRun{TestRun("R")}, TestBatch(1, "R", "a", kNumGroups)};
  Apply(changes);
  std::vector<StoreChange> leases;
  std::vector<StoreChange> ends;
  for (int64_t i = 0; i < kNumGroups; ++i) {
    leases.push_back(TestLease(1, i, i + 1));
    if (i % 2 == 0) ends.push_back(TestFinish(1, i / 2, i, absl::StrCat("result ", i)));
  }
  Apply(leases);
  Apply(ends);
  const StoreContents contents = Reload();
  EXPECT_EQ(Describe(contents), Expected(Join(Join(changes, leases), ends)));
  Apply({DropBatch{1}});
  EXPECT_THAT(Reload().batches, IsEmpty());
}

// ---- any list, in any pieces, told once or more often ----

class RandomListTest : public StoreContractTest {
 protected:
  // Applies the list in random pieces; one in three twice, as after a commit of which nobody knows.
  void ApplyInPieces(const std::vector<StoreChange>& changes, RandomStream& random) {
    for (size_t at = 0; at < changes.size();) {
      const auto size = static_cast<size_t>(random.Int(1, random.Bernoulli(0.5) ? 4 : 100));
      const std::span<const StoreChange> piece = std::span(changes).subspan(at, std::min(size, changes.size() - at));
      for (int64_t times = random.Int(0, 2) == 0 ? 2 : 1; times > 0; --times) {
        const absl::Status applied = store_->Apply(piece);
        ASSERT_TRUE(applied.ok()) << applied;
      }
      at += piece.size();
    }
  }
};

INSTANTIATE_TEST_SUITE_P(Stores, RandomListTest, ::testing::Values("Sqlite", "Postgres"),
                         [](const auto& one) { return std::string(one.param); });

TEST_P(RandomListTest, LeavesWhatThePlainModelHolds) {
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE(seed);
    const std::vector<StoreChange> changes = RandomChanges(seed, 400);
    RandomStream random(StreamSeed(seed, "pieces", 0));
    ASSERT_NO_FATAL_FAILURE(ApplyInPieces(changes, random));
    MemoryStore model;
    ASSERT_TRUE(model.Apply(changes).ok());
    const StoreContents expected = *model.Load();
    ASSERT_EQ(Describe(Reload()), Describe(expected));
    for (const RunRecord& run : expected.runs) {
      const absl::StatusOr<std::vector<EventRecord>> events = store_->ReadEvents(run.run_id, 0, 1000);
      ASSERT_TRUE(events.ok()) << events.status();
      EXPECT_EQ(Describe(*events), Describe(*model.ReadEvents(run.run_id, 0, 1000)));
    }
    SetUp();  // a fresh place
  }
}

TEST_P(RandomListTest, IsIdempotentWholeAndAfterAnyPrefix) {
  for (uint64_t seed = 101; seed <= 106; ++seed) {
    SCOPED_TRACE(seed);
    const std::vector<StoreChange> changes = RandomChanges(seed, 200);
    RandomStream random(StreamSeed(seed, "prefix", 0));
    const auto prefix = static_cast<size_t>(random.Int(1, static_cast<int64_t>(changes.size())));
    Apply({changes.begin(), changes.begin() + static_cast<std::ptrdiff_t>(prefix)});
    for (int times = 0; times < 2; ++times) {
      Apply(changes);
      ASSERT_EQ(Describe(Reload()), Expected(changes));
    }
    SetUp();
  }
}

}  // namespace
}  // namespace evilmoe
