#include "services/coordinator/postgres_schema.h"

#include <iterator>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace evilmoe {
namespace {

// kMigrations[v] leads from version v to v + 1. Never edit one that was released: append.
//
// What hangs on a batch has no foreign keys: they would be checked for each lease and each result, and the one writer
// takes only what has its group (postgres_apply.cc). Blobs are not compressed: it would cost more than it saves.
constexpr const char* kMigrations[] = {
    R"sql(
DO $$ BEGIN
  IF to_regnamespace('evilmoe') IS NULL THEN CREATE SCHEMA evilmoe; END IF;
END $$;
CREATE TABLE evilmoe.meta (
  the_row boolean PRIMARY KEY DEFAULT true CHECK (the_row), version integer NOT NULL, epoch bigint NOT NULL,
  last_batch_id bigint NOT NULL);
COMMENT ON TABLE evilmoe.meta IS 'Evil MoE coordinator';
INSERT INTO evilmoe.meta (version, epoch, last_batch_id) VALUES (0, 0, 0);
CREATE TABLE evilmoe.runs (
  run_id text COLLATE "C" PRIMARY KEY, name text NOT NULL, arm text NOT NULL, phase bigint NOT NULL,
  config_yaml text NOT NULL, config_sha256 text NOT NULL, steps_total bigint NOT NULL, steps_done bigint NOT NULL,
  error text NOT NULL, created_ms bigint NOT NULL, finished_ms bigint NOT NULL, directory text NOT NULL,
  priority bigint NOT NULL, slots bigint NOT NULL, sweep text NOT NULL, model_fingerprint text NOT NULL);
CREATE TABLE evilmoe.jobs (
  position bigint NOT NULL, job_id text COLLATE "C" PRIMARY KEY,
  run_id text COLLATE "C" NOT NULL REFERENCES evilmoe.runs, type bigint NOT NULL, params text NOT NULL,
  phase bigint NOT NULL, trainer_id text NOT NULL, trainer_name text NOT NULL, incarnation bigint NOT NULL,
  num_lost_trainers bigint NOT NULL);
CREATE TABLE evilmoe.adapters (
  position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  run_id text COLLATE "C" NOT NULL REFERENCES evilmoe.runs, step bigint NOT NULL, sha256 text COLLATE "C" NOT NULL,
  size bigint NOT NULL, UNIQUE (run_id, sha256, step));
CREATE INDEX adapters_by_position ON evilmoe.adapters (run_id, position);
CREATE TABLE evilmoe.events (
  run_id text COLLATE "C" NOT NULL REFERENCES evilmoe.runs, seq bigint NOT NULL, key text COLLATE "C" NOT NULL,
  unix_ms bigint NOT NULL, kind text NOT NULL, payload text NOT NULL, PRIMARY KEY (run_id, seq), UNIQUE (run_id, key));
CREATE TABLE evilmoe.batches (
  id bigint PRIMARY KEY, run_id text COLLATE "C" NOT NULL REFERENCES evilmoe.runs, key text COLLATE "C" NOT NULL,
  step bigint NOT NULL, adapter_step bigint NOT NULL, adapter_sha256 text NOT NULL, adapter_size bigint NOT NULL,
  sampling bytea NOT NULL, fingerprint text NOT NULL, bind_at_lease boolean NOT NULL, max_policy_lag bigint NOT NULL,
  UNIQUE (run_id, key));
CREATE TABLE evilmoe.groups (
  batch_id bigint NOT NULL, idx bigint NOT NULL, num_samples bigint NOT NULL, num_losses bigint NOT NULL,
  spec bytea NOT NULL, PRIMARY KEY (batch_id, idx));
CREATE TABLE evilmoe.leases (
  batch_id bigint NOT NULL, idx bigint NOT NULL, lease_id bigint NOT NULL, worker_id text NOT NULL,
  adapter_step bigint NOT NULL, adapter_sha256 text NOT NULL, adapter_size bigint NOT NULL,
  PRIMARY KEY (batch_id, idx));
CREATE TABLE evilmoe.results (
  batch_id bigint NOT NULL, place bigint NOT NULL, idx bigint NOT NULL, num_samples bigint NOT NULL,
  lost_reason text NOT NULL, result bytea NOT NULL, PRIMARY KEY (batch_id, place));
ALTER TABLE evilmoe.groups ALTER COLUMN spec SET STORAGE EXTERNAL;
ALTER TABLE evilmoe.results ALTER COLUMN result SET STORAGE EXTERNAL;
CREATE FUNCTION evilmoe.fence(expected bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  found bigint;
BEGIN
  SELECT epoch INTO found FROM evilmoe.meta FOR SHARE;
  IF found IS DISTINCT FROM expected THEN
    RAISE EXCEPTION 'another coordinator has the store: got epoch %, expected %', found, expected
      USING ERRCODE = 'EM001';
  END IF;
END $$;
)sql",
};
static_assert(std::size(kMigrations) == kPostgresSchemaVersion);

absl::Status CheckEncoding(PostgresConnection& connection) {
  std::string encoding;
  EVILMOE_RETURN_IF_ERROR(
      connection.Query("SELECT current_setting('server_encoding')", {}, [&](const PostgresRow& row) {
        encoding = row.Text(0);
        return absl::OkStatus();
      }));
  if (encoding == "UTF8") return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("the database has encoding ", encoding, ", expected UTF8; make one with createdb --encoding=UTF8"));
}

// The version of a schema that may be used, 0 = there is none, or an empty one.
absl::StatusOr<int64_t> ReadVersion(PostgresConnection& connection) {
  EVILMOE_ASSIGN_OR_RETURN(
      const int64_t is_ours,
      connection.Number("SELECT coalesce(obj_description(to_regclass('evilmoe.meta'), 'pg_class') = "
                        "'Evil MoE coordinator', false)"));
  EVILMOE_ASSIGN_OR_RETURN(
      const int64_t num_objects,
      connection.Number("SELECT (SELECT count(*) FROM pg_class WHERE relnamespace = to_regnamespace('evilmoe')) + "
                        "(SELECT count(*) FROM pg_proc WHERE pronamespace = to_regnamespace('evilmoe'))"));
  if (is_ours == 0 && num_objects == 0) return 0;
  if (is_ours == 0) {
    return absl::FailedPreconditionError(absl::StrCat("the schema evilmoe belongs to another program: it holds ",
                                                      num_objects, " objects; give a database that is free"));
  }
  EVILMOE_ASSIGN_OR_RETURN(const int64_t version, connection.Number("SELECT version FROM evilmoe.meta"));
  if (version > kPostgresSchemaVersion) {
    return absl::FailedPreconditionError(absl::StrCat("the database has schema version ", version,
                                                      ", expected at most ", kPostgresSchemaVersion,
                                                      "; use the newer program that wrote it"));
  }
  return version;
}

}  // namespace

absl::Status MigratePostgresStore(PostgresConnection& connection) {
  EVILMOE_RETURN_IF_ERROR(CheckEncoding(connection));
  EVILMOE_ASSIGN_OR_RETURN(const int64_t version, ReadVersion(connection));
  for (int64_t at = version; at < kPostgresSchemaVersion; ++at) {
    // Several statements that are sent as one text are one transaction.
    EVILMOE_RETURN_IF_ERROR(Annotate(
        connection.Execute(absl::StrCat(kMigrations[at], "UPDATE evilmoe.meta SET version = ", at + 1).c_str()),
        absl::StrCat("schema version ", at + 1)));
  }
  return absl::OkStatus();
}

}  // namespace evilmoe
