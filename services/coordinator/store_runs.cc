#include "common/status_macros.h"
#include "services/coordinator/store.h"

namespace evilmoe {
namespace {

// The newest adapter comes with its run.
#define EVILMOE_SELECT_RUN                                                                                      \
  "SELECT r.run_id, r.name, r.arm, r.phase, r.config_yaml, r.config_sha256, r.steps_total, r.steps_done, r.error, " \
  "r.created_ms, r.finished_ms, r.directory, a.step, a.sha256, a.size FROM runs r LEFT JOIN adapters a ON "         \
  "a.position = (SELECT max(position) FROM adapters WHERE run_id = r.run_id) "
#define EVILMOE_SELECT_JOB \
  "SELECT position, job_id, run_id, type, params, phase, trainer_id, incarnation FROM jobs "

RunRecord ReadRun(const SqliteStatement& row) {
  RunRecord run{.run_id = row.Text(0),
                .name = row.Text(1),
                .arm = row.Text(2),
                .phase = static_cast<RunPhase>(row.Int(3)),
                .config_yaml = row.Text(4),
                .config_sha256 = row.Text(5),
                .steps_total = row.Int(6),
                .steps_done = row.Int(7),
                .error = row.Text(8),
                .created_unix_ms = row.Int(9),
                .finished_unix_ms = row.Int(10),
                .directory = row.Text(11)};
  run.adapter = {.run_id = run.run_id, .step = row.Int(12), .sha256 = row.Text(13), .size_bytes = row.Int(14)};
  return run;
}

JobRecord ReadJob(const SqliteStatement& row) {
  return {.order = row.Int(0),
          .job_id = row.Text(1),
          .run_id = row.Text(2),
          .type = static_cast<JobType>(row.Int(3)),
          .params_json = row.Text(4),
          .phase = static_cast<RunPhase>(row.Int(5)),
          .trainer_id = row.Text(6),
          .incarnation = row.Int(7)};
}

// Reads every row with `read`.
template <typename Read>
auto ReadAll(SqliteStatement statement, Read read) -> absl::StatusOr<std::vector<decltype(read(statement))>> {
  std::vector<decltype(read(statement))> rows;
  while (true) {
    EVILMOE_ASSIGN_OR_RETURN(const bool more, statement.Step());
    if (!more) return rows;
    rows.push_back(read(statement));
  }
}

template <typename Read>
auto ReadFirst(SqliteStatement statement, Read read) -> absl::StatusOr<std::optional<decltype(read(statement))>> {
  EVILMOE_ASSIGN_OR_RETURN(const bool found, statement.Step());
  if (!found) return std::optional<decltype(read(statement))>();
  return std::optional(read(statement));
}

}  // namespace

absl::Status Store::InsertRun(const RunRecord& run) {
  return database_.Run("INSERT INTO runs VALUES (?,?,?,?,?,?,?,?,?,?,?,?)", run.run_id, run.name, run.arm, run.phase,
                       run.config_yaml, run.config_sha256, run.steps_total, run.steps_done, run.error,
                       run.created_unix_ms, run.finished_unix_ms, run.directory);
}

absl::Status Store::UpdateRun(const RunRecord& run) {
  return database_.Run("UPDATE runs SET phase = ?, error = ?, steps_done = ?, finished_ms = ? WHERE run_id = ?",
                       run.phase, run.error, run.steps_done, run.finished_unix_ms, run.run_id);
}

absl::StatusOr<std::optional<RunRecord>> Store::GetRun(const std::string& run_id) {
  EVILMOE_ASSIGN_OR_RETURN(SqliteStatement rows, database_.Prepare(EVILMOE_SELECT_RUN "WHERE r.run_id = ?", run_id));
  return ReadFirst(std::move(rows), ReadRun);
}

absl::StatusOr<std::vector<RunRecord>> Store::ListRuns() {
  EVILMOE_ASSIGN_OR_RETURN(SqliteStatement rows,
                           database_.Prepare(EVILMOE_SELECT_RUN "ORDER BY r.created_ms, r.run_id"));
  return ReadAll(std::move(rows), ReadRun);
}

absl::StatusOr<int64_t> Store::CountRuns(RunPhase phase) {
  return database_.Number("SELECT count(*) FROM runs WHERE phase = ?", phase);
}

absl::Status Store::InsertJob(const JobRecord& job) {
  return database_.Run(
      "INSERT INTO jobs (job_id, run_id, type, params, phase, trainer_id, incarnation) VALUES (?,?,?,?,?,?,?)",
      job.job_id, job.run_id, job.type, job.params_json, job.phase, job.trainer_id, job.incarnation);
}

absl::Status Store::UpdateJob(const JobRecord& job) {
  return database_.Run("UPDATE jobs SET phase = ?, trainer_id = ?, incarnation = ? WHERE job_id = ?", job.phase,
                       job.trainer_id, job.incarnation, job.job_id);
}

absl::StatusOr<std::optional<JobRecord>> Store::GetJob(const std::string& job_id) {
  EVILMOE_ASSIGN_OR_RETURN(SqliteStatement rows, database_.Prepare(EVILMOE_SELECT_JOB "WHERE job_id = ?", job_id));
  return ReadFirst(std::move(rows), ReadJob);
}

absl::StatusOr<std::vector<JobRecord>> Store::ListOpenJobs() {
  EVILMOE_ASSIGN_OR_RETURN(SqliteStatement rows,
                           database_.Prepare(EVILMOE_SELECT_JOB "WHERE phase IN (?, ?) ORDER BY position",
                                             RunPhase::kQueued, RunPhase::kRunning));
  return ReadAll(std::move(rows), ReadJob);
}

absl::StatusOr<bool> Store::InsertEvent(const std::string& run_id, const std::string& key, const EventRecord& event) {
  EVILMOE_RETURN_IF_ERROR(database_.Run(
      "INSERT INTO events SELECT ?1, coalesce(max(seq), 0) + 1, ?2, ?3, ?4, ?5 FROM events WHERE run_id = ?1 "
      "ON CONFLICT (run_id, key) DO NOTHING",
      run_id, key, event.unix_ms, event.kind, event.payload_json));
  return database_.NumChanged() > 0;
}

absl::StatusOr<std::vector<EventRecord>> Store::ListEvents(const std::string& run_id, int64_t after_seq, int limit) {
  EVILMOE_ASSIGN_OR_RETURN(SqliteStatement rows,
                           database_.Prepare("SELECT seq, unix_ms, kind, payload FROM events WHERE run_id = ? AND "
                                             "seq > ? ORDER BY seq LIMIT ?",
                                             run_id, after_seq, limit));
  return ReadAll(std::move(rows), [](const SqliteStatement& row) {
    return EventRecord{
        .seq = row.Int(0), .unix_ms = row.Int(1), .kind = row.Text(2), .payload_json = row.Text(3)};
  });
}

absl::StatusOr<int64_t> Store::LastSeq(const std::string& run_id) {
  return database_.Number("SELECT coalesce(max(seq), 0) FROM events WHERE run_id = ?", run_id);
}

absl::Status Store::PutAdapter(const AdapterName& adapter) {
  // Replacing gives the row a new position: what a resumed run publishes again is its newest.
  return database_.Run("INSERT OR REPLACE INTO adapters (run_id, step, sha256, size) VALUES (?,?,?,?)", adapter.run_id,
                       adapter.step, adapter.sha256, adapter.size_bytes);
}

absl::StatusOr<std::optional<AdapterName>> Store::FindAdapter(const std::string& run_id, const std::string& sha256) {
  EVILMOE_ASSIGN_OR_RETURN(SqliteStatement rows,
                           database_.Prepare("SELECT run_id, step, sha256, size FROM adapters WHERE run_id = ? AND "
                                             "sha256 = ? ORDER BY position DESC LIMIT 1",
                                             run_id, sha256));
  return ReadFirst(std::move(rows), [](const SqliteStatement& row) {
    return AdapterName{
        .run_id = row.Text(0), .step = row.Int(1), .sha256 = row.Text(2), .size_bytes = row.Int(3)};
  });
}

}  // namespace evilmoe
