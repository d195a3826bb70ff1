#include "services/coordinator/postgres_store.h"

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/coordinator/open_store.h"
#include "tests/unit/services_coordinator/cutting_proxy.h"
#include "tests/unit/services_coordinator/store_kinds.h"
#include "tests/unit/services_coordinator/store_testing.h"

namespace evilmoe {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr const char* kEndSessions =
    "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = current_database() AND "
    "pid <> pg_backend_pid()";

// What can happen to a server and to the way to it. The contract of all stores: store_contract_test.cc.
class PostgresStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    absl::StatusOr<std::unique_ptr<PostgresPlace>> place = PostgresPlace::Make();
    if (absl::IsNotFound(place.status())) GTEST_SKIP() << place.status();
    ASSERT_TRUE(place.ok()) << place.status();
    place_ = *std::move(place);
    server_ = *SharedPostgres();
  }

  PostgresOptions Options() const { return {.uri = place_->Uri(), .lock_wait = absl::Milliseconds(100)}; }
  static std::unique_ptr<PostgresStore> Open(const PostgresOptions& options) {
    absl::StatusOr<std::unique_ptr<PostgresStore>> store = PostgresStore::Open(options);
    EXPECT_TRUE(store.ok()) << store.status();
    return store.ok() ? *std::move(store) : nullptr;
  }
  static absl::Status Apply(Store& store, const std::vector<StoreChange>& changes) { return store.Apply(changes); }
  static int64_t NumEvents(Store& store) {
    const absl::StatusOr<std::vector<EventRecord>> events = store.ReadEvents("R", 0, 1000);
    EXPECT_TRUE(events.ok()) << events.status();
    return events.ok() ? static_cast<int64_t>(events->size()) : -1;
  }

  std::unique_ptr<PostgresPlace> place_;
  PrivatePostgres* server_ = nullptr;
};

TEST_F(PostgresStoreTest, SaysWhereItIsAndHowDurable) {
  const std::unique_ptr<PostgresStore> store = Open(Options());
  EXPECT_THAT(store->Description(), AllOf(StartsWith("postgresql 1"), HasSubstr(server_->folder().string()),
                                          HasSubstr("synchronous_commit=on"), HasSubstr("fsync=off")));
}

TEST_F(PostgresStoreTest, IsDurableWhateverTheDatabaseSays) {
  ASSERT_TRUE(place_
                  ->Execute("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', "
                            "current_database()); END $$")
                  .ok());
  EXPECT_THAT(Open(Options())->Description(), HasSubstr("synchronous_commit=on"));
}

TEST_F(PostgresStoreTest, IsOpenedByItsUri) {
  const absl::StatusOr<std::unique_ptr<Store>> store = OpenStore(place_->Uri());
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_THAT((*store)->Description(), StartsWith("postgresql"));
  EXPECT_TRUE(IsPostgresUri("postgres://host/db"));
}

// ---- connections that break ----

TEST_F(PostgresStoreTest, GoesOnWhenItsSessionsWereEnded) {
  const std::unique_ptr<PostgresStore> store = Open(Options());
  ASSERT_TRUE(store->Load().ok());
  ASSERT_TRUE(Apply(*store, {PutRun{TestRun("R")}}).ok());
  ASSERT_TRUE(place_->Execute(kEndSessions).ok());
  const absl::Status applied = Apply(*store, {TestEvent("R", 1, "a")});
  EXPECT_TRUE(applied.ok()) << applied;
  EXPECT_EQ(NumEvents(*store), 1);
  ASSERT_TRUE(place_->Execute(kEndSessions).ok());
  EXPECT_EQ(store->Load()->epoch, 2);
}

TEST_F(PostgresStoreTest, IsUnavailableWhileTheServerIsAndGoesOnAfterwards) {
  const std::unique_ptr<PostgresStore> store = Open(Options());
  ASSERT_TRUE(store->Load().ok());
  ASSERT_TRUE(Apply(*store, {PutRun{TestRun("R")}}).ok());
  server_->Crash();
  EXPECT_EQ(Apply(*store, {TestEvent("R", 1, "a")}).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(store->ReadEvents("R", 0, 1).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(store->Load().status().code(), absl::StatusCode::kUnavailable);
  ASSERT_TRUE(server_->Restart().ok());
  const absl::Status applied = Apply(*store, {TestEvent("R", 1, "a")});
  EXPECT_TRUE(applied.ok()) << applied;
  EXPECT_EQ(NumEvents(*store), 1);
}

class CutTest : public PostgresStoreTest, public ::testing::WithParamInterface<CuttingProxy::Cut> {};

std::string CutName(const ::testing::TestParamInfo<CuttingProxy::Cut>& cut) {
  if (cut.param == CuttingProxy::Cut::kNextRequest) return "BeforeTheCommit";
  return cut.param == CuttingProxy::Cut::kNextAnswer ? "AfterTheCommit" : "AfterTheCommitByADeadline";
}

INSTANTIATE_TEST_SUITE_P(Cuts, CutTest,
                         ::testing::Values(CuttingProxy::Cut::kNextRequest, CuttingProxy::Cut::kNextAnswer,
                                           CuttingProxy::Cut::kNextAnswerSilently),
                         CutName);

TEST_P(CutTest, LosesNothingAndDoesNothingTwice) {
  CuttingProxy proxy(server_->folder() / ".s.PGSQL.5432");
  PostgresOptions through = {.uri = place_->Uri(), .statement_timeout = absl::Milliseconds(500)};
  const std::string direct = absl::StrCat("host=", server_->folder().string());
  through.uri.replace(through.uri.find(direct), direct.size(), absl::StrCat("host=", proxy.folder().string()));
  std::unique_ptr<PostgresStore> store = Open(through);
  ASSERT_TRUE(store->Load().ok());
  ASSERT_TRUE(Apply(*store, {PutRun{TestRun("R")}, TestBatch(1, "R", "a", 3), TestLease(1, 0, 1)}).ok());
  const std::vector<std::vector<StoreChange>> lists = {
      {TestFinish(1, 0, 0, "x"), TestLease(1, 1, 2), TestEvent("R", 1, "a"), PutAdapter{TestAdapter("R", 1)}},
      {RequeueGroup{1, 1, 1}, TestLease(1, 2, 3), DropBatch{1}, TestBatch(2, "R", "a", 1)},
      {TestLease(2, 0, 4), TestFinish(2, 0, 0, "y"), TestEvent("R", 2, "b"), PutAdapter{TestAdapter("R", 1)}}};
  int num_cuts = 0;
  for (const std::vector<StoreChange>& list : lists) {
    proxy.CutOnce(GetParam());
    const absl::Status applied = Apply(*store, list);
    EXPECT_TRUE(applied.ok()) << applied;
    EXPECT_EQ(proxy.num_cuts(), ++num_cuts);
  }
  store.reset();
  const StoreContents contents = *Open(Options())->Load();
  ASSERT_EQ(contents.batches.size(), 1u);
  EXPECT_EQ(contents.batches[0].batch.id, 2);
  EXPECT_EQ(*contents.batches[0].groups.at(0).finished->group.result, "y");
  EXPECT_EQ(contents.adapters.size(), 1u);
  EXPECT_EQ(contents.runs.at(0).last_seq, 2);
}

TEST_F(PostgresStoreTest, GivesUpAStatementThatTakesTooLong) {
  PostgresOptions options = Options();
  options.statement_timeout = absl::Milliseconds(300);
  const std::unique_ptr<PostgresStore> store = Open(options);
  ASSERT_TRUE(Apply(*store, {PutRun{TestRun("R")}}).ok());
  absl::StatusOr<PostgresConnection> other = PostgresConnection::Open({.uri = place_->Uri()});
  ASSERT_TRUE(other.ok()) << other.status();
  ASSERT_TRUE(other->Execute("BEGIN").ok());
  ASSERT_TRUE(other->Execute("LOCK TABLE events IN SHARE MODE").ok());
  const absl::Status blocked = Apply(*store, {TestEvent("R", 1, "a")});
  EXPECT_EQ(blocked.code(), absl::StatusCode::kUnavailable) << blocked;
  ASSERT_TRUE(other->Execute("ROLLBACK").ok());
  EXPECT_TRUE(Apply(*store, {TestEvent("R", 1, "a")}).ok());
  EXPECT_EQ(NumEvents(*store), 1);
}

// ---- one writer ----

TEST_F(PostgresStoreTest, AWriterWhosePlaceWasTakenIsFenced) {
  const std::unique_ptr<PostgresStore> first = Open(Options());
  ASSERT_TRUE(first->Load().ok());
  ASSERT_TRUE(Apply(*first, {PutRun{TestRun("R")}}).ok());
  ASSERT_TRUE(place_->Execute(kEndSessions).ok());
  std::unique_ptr<PostgresStore> second = Open(Options());
  EXPECT_EQ(Apply(*first, {TestEvent("R", 1, "a")}).code(), absl::StatusCode::kUnavailable) << "it may not stay";
  ASSERT_EQ(second->Load()->epoch, 2);

  const absl::Status fenced = Apply(*first, {TestEvent("R", 1, "a")});
  EXPECT_EQ(fenced.code(), absl::StatusCode::kFailedPrecondition) << fenced;
  EXPECT_THAT(std::string(fenced.message()), HasSubstr("another coordinator"));
  second.reset();
  const absl::Status later = Apply(*first, {TestEvent("R", 1, "a")});
  EXPECT_EQ(later.code(), absl::StatusCode::kFailedPrecondition) << "the lock is free, the epoch another: " << later;
  EXPECT_EQ(NumEvents(*first), 0);
}

TEST_F(PostgresStoreTest, AnEpochThatIsNotItsOwnStopsATransaction) {
  const std::unique_ptr<PostgresStore> store = Open(Options());
  ASSERT_TRUE(store->Load().ok());
  ASSERT_TRUE(place_->Execute("UPDATE evilmoe.meta SET epoch = 17").ok());
  const absl::Status fenced = Apply(*store, {PutRun{TestRun("R")}});
  EXPECT_EQ(fenced.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(fenced.message()), HasSubstr("got epoch 17, expected 1"));
  EXPECT_EQ(store->Load()->runs.size(), 0u);
  EXPECT_TRUE(Apply(*store, {PutRun{TestRun("R")}}).ok());
}

// ---- databases that are not ours ----

TEST_F(PostgresStoreTest, RefusesANewerSchema) {
  ASSERT_NE(Open(Options()), nullptr);
  ASSERT_TRUE(place_->Execute("UPDATE evilmoe.meta SET version = 99").ok());
  const absl::Status status = PostgresStore::Open(Options()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("schema version 99, expected at most 1"));
}

TEST_F(PostgresStoreTest, RefusesASchemaOfAnotherProgramAndLeavesItAlone) {
  ASSERT_TRUE(place_->Execute("CREATE SCHEMA evilmoe; CREATE TABLE evilmoe.meta (version text)").ok());
  const absl::Status status = PostgresStore::Open(Options()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("belongs to another program"));
  EXPECT_TRUE(place_->Execute("DROP TABLE evilmoe.meta; DROP SCHEMA evilmoe").ok()) << "nothing else is in it";
}

TEST_F(PostgresStoreTest, RefusesAnotherEncoding) {
  const absl::StatusOr<std::string> database = server_->NewDatabase("ENCODING 'SQL_ASCII' TEMPLATE template0");
  ASSERT_TRUE(database.ok()) << database.status();
  const absl::Status status = PostgresStore::Open({.uri = server_->Uri(*database)}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("encoding SQL_ASCII, expected UTF8"));
}

TEST_F(PostgresStoreTest, TakesASchemaThatAnAdministratorMade) {
  ASSERT_TRUE(place_
                  ->Execute("DO $$ BEGIN CREATE ROLE coordinator LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; "
                            "END $$; CREATE SCHEMA evilmoe AUTHORIZATION coordinator")
                  .ok());
  PostgresOptions options = Options();
  options.uri.replace(options.uri.find("user=evilmoe"), std::string("user=evilmoe").size(), "user=coordinator");
  const std::unique_ptr<PostgresStore> store = Open(options);
  ASSERT_NE(store, nullptr);
  EXPECT_TRUE(Apply(*store, {PutRun{TestRun("R")}}).ok());
}

TEST_F(PostgresStoreTest, SaysThatItMayNotMakeASchema) {
  ASSERT_TRUE(place_
                  ->Execute("DO $$ BEGIN CREATE ROLE nobody LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; "
                            "END $$")
                  .ok());
  PostgresOptions options = Options();
  options.uri.replace(options.uri.find("user=evilmoe"), std::string("user=evilmoe").size(), "user=nobody");
  const absl::Status status = PostgresStore::Open(options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("permission denied"));
}

// ---- passwords ----

TEST_F(PostgresStoreTest, NoMessageHoldsAPassword) {
  ASSERT_TRUE(place_
                  ->Execute(absl::StrCat("DO $$ BEGIN CREATE ROLE locked LOGIN SUPERUSER; EXCEPTION WHEN "
                                         "duplicate_object THEN NULL; END $$; ALTER ROLE locked PASSWORD '",
                                         PrivatePostgres::kLockedPassword, "'"))
                  .ok());
  const std::string encoded = "s3cr%3At%2Fw%40rd";
  const std::string host = server_->folder().string();
  const std::string database = place_->Uri().substr(std::string("postgresql:///").size());
  const std::string name = database.substr(0, database.find('?'));
  const absl::StatusOr<std::unique_ptr<PostgresStore>> right =
      PostgresStore::Open({.uri = absl::StrCat("postgresql://locked:", encoded, "@/", name, "?host=", host)});
  ASSERT_TRUE(right.ok()) << right.status();
  EXPECT_THAT((*right)->Description(), Not(HasSubstr("s3cr")));

  for (const std::string& uri :
       {absl::StrCat("postgresql://locked:s3cret-wrong@/", name, "?host=", host),
        absl::StrCat("postgresql://s3cret:s3cret@/", name, "?host=", host),
        absl::StrCat("postgresql://locked:", encoded, "@/", name, "?host=/nowhere/", encoded),
        absl::StrCat("postgresql://locked:", encoded, "@[/", name), absl::StrCat("postgresql://locked:s3cr%zz@/", name),
        absl::StrCat("postgresql://locked:s3cr%00@/", name),
        absl::StrCat("postgresql:///", name, "?password=s3cret&s3cret=1"),
        absl::StrCat("postgresql:///", name, "?password=s3cret&s3cret"),
        absl::StrCat("postgresql://locked:a@s3cret@host/", name),
        absl::StrCat("postgresql://locked:s3cret/a@host/", name),
        absl::StrCat("postgresql://locked:12/s3cret@host/", name)}) {
    const absl::Status status = PostgresStore::Open({.uri = uri}).status();
    EXPECT_FALSE(status.ok()) << uri;
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("s3cr"))) << uri;
  }
}

TEST_F(PostgresStoreTest, AUriThatLibpqCannotReadIsAnInvalidArgument) {
  const absl::Status status = OpenStore("postgresql://host/db?sslmod=require").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("invalid URI query parameter"));
}

}  // namespace
}  // namespace evilmoe
