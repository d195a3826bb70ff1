#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "services/coordinator/sqlite_store.h"
#include "services/coordinator/stored_rows.h"

namespace evilmoe {
namespace {

// The newest adapter and the last event come with their run.
constexpr const char* kSelectRuns =
    "SELECT r.run_id, r.name, r.arm, r.phase, r.config_yaml, r.config_sha256, r.steps_total, r.steps_done, r.error, "
    "r.created_ms, r.finished_ms, r.directory, r.priority, r.slots, r.sweep, r.model_fingerprint, a.step, a.sha256, "
    "a.size, (SELECT coalesce(max(seq), 0) FROM events WHERE run_id = r.run_id) FROM runs r LEFT JOIN adapters a ON "
    "a.position = (SELECT max(position) FROM adapters WHERE run_id = r.run_id) ORDER BY r.created_ms, r.run_id";

RunRecord ReadRun(const SqliteStatement& row) { return StoredRun(row); }
JobRecord ReadJob(const SqliteStatement& row) { return StoredJob(row); }
BatchRecord ReadBatch(const SqliteStatement& row) { return StoredBatchRecord(row, row.Text(7)); }

}  // namespace

absl::StatusOr<StoreContents> SqliteStore::Load() {
  StoreContents contents;
  EVILMOE_ASSIGN_OR_RETURN(const auto transaction, SqliteTransaction::Begin(writer_));
  EVILMOE_ASSIGN_OR_RETURN(
      contents.epoch, writer_.Number("UPDATE counters SET value = value + 1 WHERE name = 'epoch' RETURNING value - 1"));
  EVILMOE_ASSIGN_OR_RETURN(contents.last_batch_id, writer_.Number("SELECT value FROM counters WHERE name = 'batch'"));
  EVILMOE_RETURN_IF_ERROR(LoadRuns(contents));
  EVILMOE_RETURN_IF_ERROR(LoadOfRuns(contents));
  EVILMOE_ASSIGN_OR_RETURN(
      SqliteStatement rows,
      writer_.Prepare(
          "SELECT id, run_id, key, step, adapter_step, adapter_sha256, adapter_size, sampling, fingerprint, "
          "bind_at_lease, max_policy_lag FROM batches ORDER BY id"));
  EVILMOE_ASSIGN_OR_RETURN(std::vector<BatchRecord> batches, ReadAll(std::move(rows), ReadBatch));
  for (BatchRecord& batch : batches) {
    EVILMOE_ASSIGN_OR_RETURN(StoredBatch stored, LoadBatch(std::move(batch)));
    contents.batches.push_back(std::move(stored));
  }
  EVILMOE_RETURN_IF_ERROR(transaction->Commit());
  return contents;
}

absl::Status SqliteStore::LoadRuns(StoreContents& contents) {
  EVILMOE_ASSIGN_OR_RETURN(SqliteStatement runs, writer_.Prepare(kSelectRuns));
  EVILMOE_ASSIGN_OR_RETURN(contents.runs, ReadAll(std::move(runs), ReadRun));
  EVILMOE_ASSIGN_OR_RETURN(
      SqliteStatement jobs,
      writer_.Prepare("SELECT position, job_id, run_id, type, params, phase, trainer_id, trainer_name, incarnation, "
                      "num_lost_trainers FROM jobs ORDER BY position"));
  EVILMOE_ASSIGN_OR_RETURN(contents.jobs, ReadAll(std::move(jobs), ReadJob));
  return absl::OkStatus();
}

absl::Status SqliteStore::LoadOfRuns(StoreContents& contents) {
  for (const RunRecord& run : contents.runs) {
    EVILMOE_ASSIGN_OR_RETURN(SqliteStatement keys,
                             writer_.Prepare("SELECT key FROM events WHERE run_id = ?", run.run_id));
    EVILMOE_ASSIGN_OR_RETURN(contents.event_keys[run.run_id],
                             ReadAll(std::move(keys), [](const SqliteStatement& row) { return row.Text(0); }));
    if (HasEnded(run.phase)) continue;
    EVILMOE_ASSIGN_OR_RETURN(
        SqliteStatement rows,
        writer_.Prepare("SELECT step, sha256, size FROM adapters WHERE run_id = ? ORDER BY position", run.run_id));
    EVILMOE_ASSIGN_OR_RETURN(
        std::vector<AdapterName> adapters, ReadAll(std::move(rows), [&](const SqliteStatement& row) {
          return AdapterName{.run_id = run.run_id, .step = row.Int(0), .sha256 = row.Text(1), .size_bytes = row.Int(2)};
        }));
    contents.adapters.insert(contents.adapters.end(), adapters.begin(), adapters.end());
  }
  return absl::OkStatus();
}

absl::StatusOr<StoredBatch> SqliteStore::LoadBatch(BatchRecord batch) {
  StoredBatch stored{.batch = std::move(batch)};
  const int64_t id = stored.batch.id;
  std::map<int64_t, size_t> places;
  EVILMOE_ASSIGN_OR_RETURN(
      SqliteStatement groups,
      writer_.Prepare("SELECT idx, num_samples, spec, num_losses FROM groups WHERE batch_id = ? ORDER BY idx", id));
  EVILMOE_ASSIGN_OR_RETURN(
      stored.groups, ReadAll(std::move(groups), [&](const SqliteStatement& row) {
        places[row.Int(0)] = places.size();
        return StoredGroup{
            .task = {.index = row.Int(0), .num_samples = static_cast<int>(row.Int(1)), .spec = row.Text(2)},
            .num_losses = row.Int(3)};
      }));
  EVILMOE_ASSIGN_OR_RETURN(
      SqliteStatement leases,
      writer_.Prepare("SELECT idx, lease_id, worker_id, adapter_step, adapter_sha256, adapter_size FROM leases WHERE "
                      "batch_id = ?",
                      id));
  EVILMOE_ASSIGN_OR_RETURN(
      const std::vector<PutLease> held, ReadAll(std::move(leases), [&](const SqliteStatement& row) {
        return PutLease{
            .batch_id = id,
            .index = row.Int(0),
            .lease_id = row.Int(1),
            .worker_id = row.Text(2),
            .adapter = {
                .run_id = stored.batch.run_id, .step = row.Int(3), .sha256 = row.Text(4), .size_bytes = row.Int(5)}};
      }));
  EVILMOE_ASSIGN_OR_RETURN(
      SqliteStatement results,
      writer_.Prepare("SELECT place, idx, num_samples, lost_reason, result FROM results WHERE batch_id = ?", id));
  EVILMOE_ASSIGN_OR_RETURN(
      const std::vector<FinishGroup> finished, ReadAll(std::move(results), [&](const SqliteStatement& row) {
        FinishGroup group{
            .batch_id = id,
            .place = row.Int(0),
            .group = {.index = row.Int(1), .num_samples = static_cast<int>(row.Int(2)), .lost_reason = row.Text(3)}};
        if (group.group.lost_reason.empty()) group.group.result = std::make_shared<const std::string>(row.Text(4));
        return group;
      }));
  for (const PutLease& lease : held) {
    if (!places.contains(lease.index)) return absl::DataLossError(absl::StrCat("lease ", lease.lease_id, ": no group"));
    stored.groups[places[lease.index]].lease = lease;
  }
  for (const FinishGroup& group : finished) {
    if (!places.contains(group.group.index)) {
      return absl::DataLossError(
          absl::StrCat("batch ", id, ": a result of group ", group.group.index, ", which is none"));
    }
    stored.groups[places[group.group.index]].finished = group;
  }
  return stored;
}

}  // namespace evilmoe
