#include <unistd.h>

#include <filesystem>
#include <string>

#include "common/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/coordinator/open_store.h"
#include "services/coordinator/sqlite_store.h"
#include "tests/unit/services_coordinator/store_kinds.h"
#include "tests/unit/services_coordinator/store_testing.h"

namespace evilmoe {
namespace {

using ::testing::HasSubstr;

// What an SQLite file can be that a server's database cannot. The contract of all stores: store_contract_test.cc.
class SqliteStoreTest : public ::testing::Test {
 protected:
  absl::Status Execute(const char* sql) {
    absl::StatusOr<SqliteDatabase> database = SqliteDatabase::Open(path_, SqliteDatabase::Mode::kReadWriteCreate);
    return database.ok() ? database->Execute(sql) : database.status();
  }

  SqlitePlace place_;
  const std::filesystem::path path_ = place_.path();
};

TEST_F(SqliteStoreTest, RefusesANewerSchema) {
  ASSERT_TRUE(SqliteStore::Open(path_).ok());
  ASSERT_TRUE(Execute("PRAGMA user_version = 99").ok());
  const absl::Status status = SqliteStore::Open(path_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("schema version 99, expected at most 2"));
  EXPECT_THAT(std::string(status.message()), HasSubstr(path_.string()));
}

TEST_F(SqliteStoreTest, RefusesTheDatabaseOfAnotherProgram) {
  ASSERT_TRUE(Execute("CREATE TABLE theirs (x)").ok());
  const std::string before = ReadFile(path_).value();
  EXPECT_EQ(SqliteStore::Open(path_).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ReadFile(path_).value(), before) << "it is left as it was";
}

TEST_F(SqliteStoreTest, RefusesWhatIsNoDatabase) {
  ASSERT_TRUE(WriteFileAtomic(path_, std::string(5000, 'x')).ok());
  const absl::Status status = SqliteStore::Open(path_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("restore a copy"));
}

TEST_F(SqliteStoreTest, RefusesADatabaseWithADamagedPage) {
  ASSERT_TRUE(SqliteStore::Open(path_).ok());
  std::string bytes = ReadFile(path_).value();
  ASSERT_GT(bytes.size(), 3u * 4096);
  bytes.replace(2 * 4096, 4096, std::string(4096, '\xa5'));
  ASSERT_TRUE(WriteFileAtomic(path_, bytes).ok());
  EXPECT_EQ(SqliteStore::Open(path_).status().code(), absl::StatusCode::kDataLoss) << SqliteStore::Open(path_).status();
}

TEST_F(SqliteStoreTest, RefusesToLoadALeaseWithoutItsGroup) {
  {
    const auto store = SqliteStore::Open(path_);
    ASSERT_TRUE(store.ok()) << store.status();
    ASSERT_TRUE((*store)->Apply(std::vector<StoreChange>{PutRun{TestRun("R")}, TestBatch(1, "R", "a", 1)}).ok());
  }
  ASSERT_TRUE(Execute("INSERT INTO leases VALUES (1, 77, 1, 'w', 0, '', 0)").ok());
  const auto store = SqliteStore::Open(path_);
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_EQ((*store)->Load().status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(SqliteStoreTest, AReaderMakesNoFile) {
  EXPECT_EQ(SqliteDatabase::Open(path_, SqliteDatabase::Mode::kReadOnly).status().code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(SqliteStoreTest, IsOpenedByItsPath) {
  const absl::StatusOr<std::unique_ptr<Store>> store = OpenStore(path_.string());
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_EQ((*store)->Description(), "sqlite (WAL, synchronous=FULL)");
  EXPECT_FALSE(IsPostgresUri(path_.string()));
}

// ---- a database of the first version ----

constexpr const char* kVersion1 = R"sql(
PRAGMA application_id = 0x45764d6f;
PRAGMA user_version = 1;
CREATE TABLE runs (
  run_id TEXT PRIMARY KEY, name TEXT NOT NULL, arm TEXT NOT NULL, phase INTEGER NOT NULL, config_yaml TEXT NOT NULL,
  config_sha256 TEXT NOT NULL, steps_total INTEGER NOT NULL, steps_done INTEGER NOT NULL, error TEXT NOT NULL,
  created_ms INTEGER NOT NULL, finished_ms INTEGER NOT NULL, directory TEXT NOT NULL);
CREATE TABLE jobs (
  position INTEGER PRIMARY KEY AUTOINCREMENT, job_id TEXT NOT NULL UNIQUE,
  run_id TEXT NOT NULL REFERENCES runs(run_id), type INTEGER NOT NULL, params TEXT NOT NULL, phase INTEGER NOT NULL,
  trainer_id TEXT NOT NULL, incarnation INTEGER NOT NULL);
CREATE INDEX jobs_by_run ON jobs(run_id);
CREATE TABLE adapters (
  position INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL REFERENCES runs(run_id), step INTEGER NOT NULL,
  sha256 TEXT NOT NULL, size INTEGER NOT NULL, UNIQUE (run_id, sha256, step));
CREATE TABLE events (
  run_id TEXT NOT NULL REFERENCES runs(run_id), seq INTEGER NOT NULL, key TEXT NOT NULL, unix_ms INTEGER NOT NULL,
  kind TEXT NOT NULL, payload TEXT NOT NULL, PRIMARY KEY (run_id, seq), UNIQUE (run_id, key));
CREATE TABLE batches (
  id INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL REFERENCES runs(run_id), key TEXT NOT NULL,
  step INTEGER NOT NULL, adapter_step INTEGER NOT NULL, adapter_sha256 TEXT NOT NULL, adapter_size INTEGER NOT NULL,
  sampling BLOB NOT NULL, fingerprint TEXT NOT NULL, UNIQUE (run_id, key));
CREATE TABLE groups (
  batch_id INTEGER NOT NULL REFERENCES batches(id) ON DELETE CASCADE, idx INTEGER NOT NULL,
  num_samples INTEGER NOT NULL, state INTEGER NOT NULL, lease_id INTEGER NOT NULL, worker_id TEXT NOT NULL,
  deadline_ms INTEGER NOT NULL, num_losses INTEGER NOT NULL, lost_reason TEXT NOT NULL, spec BLOB NOT NULL,
  result BLOB NOT NULL, PRIMARY KEY (batch_id, idx));
CREATE INDEX groups_by_state ON groups(state, batch_id, idx);
CREATE UNIQUE INDEX groups_by_lease ON groups(lease_id) WHERE lease_id > 0;
CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
INSERT INTO counters VALUES ('lease', 9);
)sql";

// A run in the middle of step 7. Of its four groups one waits after a loss, one is leased, two are done: the one was
// lost.
constexpr const char* kVersion1Rows = R"sql(
INSERT INTO runs VALUES ('R', 'n', 'pin', 2, 'steps: 9', 'c0ffee', 9, 6, '', 1000, 0, '/runs/R');
INSERT INTO jobs VALUES (3, 'J', 'R', 1, '{}', 2, 'trainer', 4);
INSERT INTO adapters (run_id, step, sha256, size) VALUES ('R', 5, 'a5', 50), ('R', 6, 'a6', 60);
INSERT INTO events VALUES ('R', 1, 'k1', 11, 'step', '{}'), ('R', 2, 'k2', 12, 'step', '{}');
INSERT INTO batches VALUES (1, 'R', 'step/7', 7, 6, 'a6', 60, x'00ff', 'print');
INSERT INTO groups VALUES (1, 0, 8, 0, 0, '', 0, 2, '', x'10', x''), (1, 1, 8, 1, 9, 'w', 5, 0, '', x'11', x''),
  (1, 2, 8, 2, 0, '', 0, 6, 'INFRA_LOST', x'12', x''), (1, 3, 8, 2, 0, '', 0, 0, '', x'13', x'00abcd');
)sql";

TEST_F(SqliteStoreTest, BringsADatabaseOfVersion1ToVersion2) {
  ASSERT_TRUE(Execute(kVersion1).ok());
  ASSERT_TRUE(Execute(kVersion1Rows).ok());
  absl::StatusOr<std::unique_ptr<SqliteStore>> store = SqliteStore::Open(path_);
  ASSERT_TRUE(store.ok()) << store.status();
  const absl::StatusOr<StoreContents> contents = (*store)->Load();
  ASSERT_TRUE(contents.ok()) << contents.status();

  const AdapterName newest = {.run_id = "R", .step = 6, .sha256 = "a6", .size_bytes = 60};
  StoreContents expected = {.last_batch_id = 1,
                            .adapters = {{.run_id = "R", .step = 5, .sha256 = "a5", .size_bytes = 50}, newest},
                            .event_keys = {{"R", {"k1", "k2"}}}};
  expected.runs = {{.run_id = "R",
                    .name = "n",
                    .arm = "pin",
                    .phase = RunPhase::kRunning,
                    .config_yaml = "steps: 9",
                    .config_sha256 = "c0ffee",
                    .steps_total = 9,
                    .steps_done = 6,
                    .created_unix_ms = 1000,
                    .directory = "/runs/R",
                    .adapter = newest,
                    .last_seq = 2}};
  expected.jobs = {{.order = 3,
                    .job_id = "J",
                    .run_id = "R",
                    .params_json = "{}",
                    .phase = RunPhase::kRunning,
                    .trainer_id = "trainer",
                    .incarnation = 4}};
  FinishGroup lost = TestFinish(1, 0, 2, "");
  lost.group = {.index = 2, .num_samples = 8, .lost_reason = "INFRA_LOST"};
  FinishGroup done = TestFinish(1, 1, 3, std::string("\0\xab\xcd", 3));
  done.group.num_samples = 8;
  const PutLease lease = {.batch_id = 1, .index = 1, .lease_id = 9, .worker_id = "w", .adapter = newest};
  expected.batches = {
      {.batch = {.id = 1,
                 .run_id = "R",
                 .key = "step/7",
                 .step = 7,
                 .adapter = newest,
                 .sampling = std::string("\0\xff", 2),
                 .fingerprint = "print"},
       .groups = {{.task = {.index = 0, .num_samples = 8, .spec = "\x10"}, .num_losses = 2},
                  {.task = {.index = 1, .num_samples = 8, .spec = "\x11"}, .lease = lease},
                  {.task = {.index = 2, .num_samples = 8, .spec = "\x12"}, .num_losses = 6, .finished = lost},
                  {.task = {.index = 3, .num_samples = 8, .spec = "\x13"}, .finished = done}}}};
  EXPECT_EQ(Describe(*contents), Describe(expected));
  EXPECT_EQ(contents->epoch, 1);
}

TEST_F(SqliteStoreTest, AMigratedDatabaseIsAsGoodAsANewOne) {
  ASSERT_TRUE(Execute(kVersion1).ok());
  ASSERT_TRUE(Execute(kVersion1Rows).ok());
  {
    const auto store = SqliteStore::Open(path_);
    ASSERT_TRUE(store.ok()) << store.status();
    const std::vector<StoreChange> changes = {TestFinish(1, 2, 1, "x"), RequeueGroup{1, 0, 3},
                                              PutJob{{.order = 4, .job_id = "J2", .run_id = "R"}},
                                              TestBatch(2, "R", "step/8", 1), TestLease(2, 0, 10)};
    ASSERT_TRUE((*store)->Apply(changes).ok());
    ASSERT_TRUE((*store)->Apply(std::vector<StoreChange>{DropBatch{1}}).ok());
  }
  const auto store = SqliteStore::Open(path_);
  ASSERT_TRUE(store.ok()) << store.status();
  const absl::StatusOr<StoreContents> contents = (*store)->Load();
  ASSERT_TRUE(contents.ok()) << contents.status();
  ASSERT_EQ(contents->batches.size(), 1u);
  EXPECT_EQ(contents->batches[0].batch.id, 2);
  EXPECT_EQ(contents->batches[0].groups.at(0).lease->lease_id, 10);
  EXPECT_EQ(contents->last_batch_id, 2);
}

}  // namespace
}  // namespace evilmoe
