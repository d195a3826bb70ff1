#include "services/coordinator/sqlite_schema.h"

#include <iterator>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace evilmoe {
namespace {

constexpr int64_t kApplicationId = 0x45764d6f;  // "EvMo", in the file's header

// kMigrations[v] leads from version v to v + 1. Never edit one that was released: append.
constexpr const char* kMigrations[] = {
    R"sql(
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
INSERT INTO counters VALUES ('lease', 0);
)sql",
    // Leases and results in rows of their own, so that granting one does not write the group's prompt again; what they
    // stood in for is left in `groups`, unread. Decisions moved into memory, and with them the indexes on states.
    R"sql(
ALTER TABLE runs ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN slots INTEGER NOT NULL DEFAULT 1;
ALTER TABLE runs ADD COLUMN sweep TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN model_fingerprint TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN trainer_name TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN num_lost_trainers INTEGER NOT NULL DEFAULT 0;
ALTER TABLE batches ADD COLUMN bind_at_lease INTEGER NOT NULL DEFAULT 0;
ALTER TABLE batches ADD COLUMN max_policy_lag INTEGER NOT NULL DEFAULT 0;
CREATE TABLE leases (
  batch_id INTEGER NOT NULL REFERENCES batches(id) ON DELETE CASCADE, idx INTEGER NOT NULL, lease_id INTEGER NOT NULL,
  worker_id TEXT NOT NULL, adapter_step INTEGER NOT NULL, adapter_sha256 TEXT NOT NULL, adapter_size INTEGER NOT NULL,
  PRIMARY KEY (batch_id, idx)) WITHOUT ROWID;
CREATE TABLE results (
  batch_id INTEGER NOT NULL REFERENCES batches(id) ON DELETE CASCADE, place INTEGER NOT NULL, idx INTEGER NOT NULL,
  num_samples INTEGER NOT NULL, lost_reason TEXT NOT NULL, result BLOB NOT NULL, PRIMARY KEY (batch_id, place));
INSERT INTO leases SELECT batch_id, idx, lease_id, worker_id, adapter_step, adapter_sha256, adapter_size
  FROM groups JOIN batches ON id = batch_id WHERE state = 1;
INSERT INTO results SELECT batch_id, row_number() OVER (PARTITION BY batch_id ORDER BY idx) - 1, idx, num_samples,
  lost_reason, result FROM groups WHERE state = 2;
UPDATE groups SET result = x'' WHERE state = 2;
DROP INDEX groups_by_state;
DROP INDEX groups_by_lease;
INSERT INTO counters VALUES ('epoch', 1);
INSERT INTO counters SELECT 'batch', coalesce(max(id), 0) FROM batches;
)sql",
};
static_assert(std::size(kMigrations) == kStoreSchemaVersion);

// The version of a database that may be used, 0 = empty.
absl::StatusOr<int64_t> ReadVersion(SqliteDatabase& database) {
  EVILMOE_ASSIGN_OR_RETURN(const int64_t version, database.Number("PRAGMA user_version"));
  EVILMOE_ASSIGN_OR_RETURN(const int64_t application, database.Number("PRAGMA application_id"));
  EVILMOE_ASSIGN_OR_RETURN(const int64_t tables, database.Number("SELECT count(*) FROM sqlite_schema"));
  if (version == 0 && application == 0 && tables == 0) return 0;
  if (application != kApplicationId) {
    return absl::FailedPreconditionError("the database belongs to another program; give a path that is free");
  }
  if (version > kStoreSchemaVersion) {
    return absl::FailedPreconditionError(absl::StrCat("the database has schema version ", version,
                                                      ", expected at most ", kStoreSchemaVersion,
                                                      "; use the newer program that wrote it"));
  }
  return version;
}

}  // namespace

absl::Status MigrateStore(SqliteDatabase& database) {
  EVILMOE_ASSIGN_OR_RETURN(const auto transaction, SqliteTransaction::Begin(database));
  EVILMOE_ASSIGN_OR_RETURN(const int64_t version, ReadVersion(database));
  for (int64_t at = version; at < kStoreSchemaVersion; ++at) {
    EVILMOE_RETURN_IF_ERROR(database.Execute(kMigrations[at]));
  }
  if (version < kStoreSchemaVersion) {
    EVILMOE_RETURN_IF_ERROR(database.Execute(absl::StrCat("PRAGMA user_version = ", kStoreSchemaVersion).c_str()));
    EVILMOE_RETURN_IF_ERROR(database.Execute(absl::StrCat("PRAGMA application_id = ", kApplicationId).c_str()));
  }
  return transaction->Commit();
}

absl::Status CheckStoreOwner(SqliteDatabase& database) { return ReadVersion(database).status(); }

absl::Status CheckStoreSchema(SqliteDatabase& database) {
  EVILMOE_ASSIGN_OR_RETURN(const int64_t version, ReadVersion(database));
  if (version == kStoreSchemaVersion) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("the database has schema version ", version, ", expected ",
                                                    kStoreSchemaVersion, "; start its coordinator once to migrate it"));
}

}  // namespace evilmoe
