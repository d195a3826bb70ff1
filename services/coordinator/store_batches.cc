#include "common/status_macros.h"
#include "services/coordinator/store.h"

namespace evilmoe {
namespace {

// groups.state. Stored: never renumber.
enum GroupState { kPending = 0, kLeased = 1, kDone = 2 };

#define EVILMOE_SELECT_BATCH                                                                                   \
  "SELECT id, run_id, key, step, adapter_step, adapter_sha256, adapter_size, sampling, fingerprint FROM batches "

absl::StatusOr<std::optional<BatchRecord>> ReadBatch(absl::StatusOr<SqliteStatement> row) {
  if (!row.ok()) return row.status();
  EVILMOE_ASSIGN_OR_RETURN(const bool found, row->Step());
  if (!found) return std::optional<BatchRecord>();
  const std::string run_id = row->Text(1);
  return std::optional(BatchRecord{.id = row->Int(0),
                                   .run_id = run_id,
                                   .key = row->Text(2),
                                   .step = row->Int(3),
                                   .adapter = {.run_id = run_id,
                                               .step = row->Int(4),
                                               .sha256 = row->Text(5),
                                               .size_bytes = row->Int(6)},
                                   .sampling = row->Text(7),
                                   .fingerprint = row->Text(8)});
}

}  // namespace

absl::Status Store::InsertBatch(const BatchRecord& batch, const std::vector<GroupTask>& groups) {
  EVILMOE_RETURN_IF_ERROR(database_.Run(
      "INSERT INTO batches (run_id, key, step, adapter_step, adapter_sha256, adapter_size, sampling, fingerprint) "
      "VALUES (?,?,?,?,?,?,?,?)",
      batch.run_id, batch.key, batch.step, batch.adapter.step, batch.adapter.sha256, batch.adapter.size_bytes,
      SqliteBlob{batch.sampling}, batch.fingerprint));
  EVILMOE_ASSIGN_OR_RETURN(const int64_t id, database_.Number("SELECT last_insert_rowid()"));
  for (const GroupTask& group : groups) {
    EVILMOE_RETURN_IF_ERROR(database_.Run("INSERT INTO groups VALUES (?,?,?,?,0,'',0,0,'',?,x'')", id, group.index,
                                          group.num_samples, kPending, SqliteBlob{group.spec}));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<BatchRecord>> Store::FindBatch(const std::string& run_id, const std::string& key) {
  return ReadBatch(database_.Prepare(EVILMOE_SELECT_BATCH "WHERE run_id = ? AND key = ?", run_id, key));
}

absl::StatusOr<std::optional<BatchRecord>> Store::GetBatch(int64_t id) {
  return ReadBatch(database_.Prepare(EVILMOE_SELECT_BATCH "WHERE id = ?", id));
}

absl::StatusOr<int64_t> Store::DeleteBatches(const std::string& run_id, std::optional<int64_t> keep_step) {
  const int64_t keep = keep_step.has_value() ? 1 : 0;
  const int64_t step = keep_step.value_or(0);
  EVILMOE_ASSIGN_OR_RETURN(const int64_t num_leases,
                           database_.Number("SELECT count(*) FROM groups JOIN batches ON id = batch_id WHERE run_id = ? "
                                            "AND NOT (? AND step = ?) AND state = ?",
                                            run_id, keep, step, kLeased));
  EVILMOE_RETURN_IF_ERROR(
      database_.Run("DELETE FROM batches WHERE run_id = ? AND NOT (? AND step = ?)", run_id, keep, step));
  return num_leases;
}

absl::Status Store::DeleteBatch(int64_t id) { return database_.Run("DELETE FROM batches WHERE id = ?", id); }

absl::StatusOr<bool> Store::HasBatchWithAdapter(const std::string& run_id, const std::string& sha256) {
  EVILMOE_ASSIGN_OR_RETURN(
      const int64_t count,
      database_.Number("SELECT count(*) FROM batches WHERE run_id = ? AND adapter_sha256 = ?", run_id, sha256));
  return count > 0;
}

absl::StatusOr<std::optional<BatchRecord>> Store::OldestPendingBatch() {
  return ReadBatch(database_.Prepare(
      EVILMOE_SELECT_BATCH "WHERE id = (SELECT min(batch_id) FROM groups WHERE state = ?)", kPending));
}

absl::StatusOr<std::vector<Store::NewLease>> Store::LeasePending(int64_t batch_id, int limit,
                                                                 const std::string& worker_id, int64_t deadline_ms) {
  std::vector<NewLease> leases;
  EVILMOE_ASSIGN_OR_RETURN(SqliteStatement rows,
                           database_.Prepare("SELECT idx, num_samples, spec FROM groups WHERE batch_id = ? AND state = ? "
                                             "ORDER BY idx LIMIT ?",
                                             batch_id, kPending, limit));
  while (true) {
    EVILMOE_ASSIGN_OR_RETURN(const bool more, rows.Step());
    if (!more) break;
    leases.push_back(
        {.task = {.index = rows.Int(0), .num_samples = static_cast<int>(rows.Int(1)), .spec = rows.Text(2)}});
  }
  for (NewLease& lease : leases) {
    EVILMOE_ASSIGN_OR_RETURN(
        lease.lease_id,
        database_.Number("UPDATE counters SET value = value + 1 WHERE name = 'lease' RETURNING value"));
    EVILMOE_RETURN_IF_ERROR(
        database_.Run("UPDATE groups SET state = ?, lease_id = ?, worker_id = ?, deadline_ms = ? WHERE batch_id = ? AND "
                      "idx = ?",
                      kLeased, lease.lease_id, worker_id, deadline_ms, batch_id, lease.task.index));
  }
  return leases;
}

absl::StatusOr<std::optional<LeasedGroup>> Store::FindLease(int64_t lease_id) {
  EVILMOE_ASSIGN_OR_RETURN(SqliteStatement row,
                           database_.Prepare("SELECT batch_id, idx, num_samples, spec, worker_id, num_losses FROM groups "
                                             "WHERE lease_id = ? AND lease_id > 0 AND state = ?",
                                             lease_id, kLeased));
  EVILMOE_ASSIGN_OR_RETURN(const bool found, row.Step());
  if (!found) return std::optional<LeasedGroup>();
  return std::optional(LeasedGroup{
      .batch_id = row.Int(0),
      .task = {.index = row.Int(1), .num_samples = static_cast<int>(row.Int(2)), .spec = row.Text(3)},
      .worker_id = row.Text(4),
      .num_losses = row.Int(5)});
}

absl::StatusOr<bool> Store::RenewLease(int64_t lease_id, const std::string& worker_id, int64_t deadline_ms) {
  EVILMOE_RETURN_IF_ERROR(database_.Run(
      "UPDATE groups SET deadline_ms = ? WHERE lease_id = ? AND lease_id > 0 AND worker_id = ? AND state = ?",
      deadline_ms, lease_id, worker_id, kLeased));
  return database_.NumChanged() > 0;
}

absl::Status Store::ExtendAllLeases(int64_t deadline_ms) {
  return database_.Run("UPDATE groups SET deadline_ms = ?1 WHERE state = ?2 AND deadline_ms < ?1", deadline_ms, kLeased);
}

absl::StatusOr<std::vector<LeaseRow>> Store::ListOverdueLeases(int64_t now_ms) {
  EVILMOE_ASSIGN_OR_RETURN(SqliteStatement rows,
                           database_.Prepare("SELECT lease_id, worker_id, batch_id, idx, num_losses FROM groups WHERE "
                                             "state = ? AND deadline_ms < ? ORDER BY lease_id",
                                             kLeased, now_ms));
  std::vector<LeaseRow> leases;
  while (true) {
    EVILMOE_ASSIGN_OR_RETURN(const bool more, rows.Step());
    if (!more) return leases;
    leases.push_back({.lease_id = rows.Int(0),
                      .worker_id = rows.Text(1),
                      .batch_id = rows.Int(2),
                      .index = rows.Int(3),
                      .num_losses = rows.Int(4)});
  }
}

absl::StatusOr<int64_t> Store::CountLeases() {
  return database_.Number("SELECT count(*) FROM groups WHERE state = ?", kLeased);
}

absl::Status Store::RequeueLease(int64_t lease_id, int64_t num_losses) {
  return database_.Run(
      "UPDATE groups SET state = ?, lease_id = 0, worker_id = '', deadline_ms = 0, num_losses = ? WHERE lease_id = ?",
      kPending, num_losses, lease_id);
}

absl::Status Store::FinishLease(int64_t lease_id, const std::string& lost_reason, const std::string& result) {
  return database_.Run("UPDATE groups SET state = ?, lost_reason = ?, result = ? WHERE lease_id = ?", kDone, lost_reason,
                       SqliteBlob{result}, lease_id);
}

absl::StatusOr<Store::Progress> Store::BatchProgress(int64_t batch_id) {
  EVILMOE_ASSIGN_OR_RETURN(const int64_t all,
                           database_.Number("SELECT count(*) FROM groups WHERE batch_id = ?", batch_id));
  EVILMOE_ASSIGN_OR_RETURN(
      const int64_t done,
      database_.Number("SELECT count(*) FROM groups WHERE batch_id = ? AND state = ?", batch_id, kDone));
  return Progress{.num_groups = all, .num_finished = done};
}

absl::StatusOr<std::vector<FinishedGroup>> Store::ListFinished(int64_t batch_id, const std::set<int64_t>& have,
                                                               size_t max_bytes) {
  EVILMOE_ASSIGN_OR_RETURN(SqliteStatement rows,
                           database_.Prepare("SELECT idx, num_samples, lost_reason, result FROM groups WHERE batch_id = ? "
                                             "AND state = ? ORDER BY idx",
                                             batch_id, kDone));
  std::vector<FinishedGroup> groups;
  for (size_t num_bytes = 0; num_bytes < max_bytes;) {
    EVILMOE_ASSIGN_OR_RETURN(const bool more, rows.Step());
    if (!more) break;
    if (have.contains(rows.Int(0))) continue;
    groups.push_back({.index = rows.Int(0),
                      .num_samples = static_cast<int>(rows.Int(1)),
                      .lost_reason = rows.Text(2),
                      .result = rows.Text(3)});
    num_bytes += groups.back().result.size();
  }
  return groups;
}

}  // namespace evilmoe
