#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "services/coordinator/sqlite_store.h"

namespace evilmoe {

absl::Status SqliteStore::Apply(std::span<const StoreChange> changes) {
  EVILMOE_ASSIGN_OR_RETURN(const auto transaction, SqliteTransaction::Begin(writer_));
  for (const StoreChange& change : changes) {
    EVILMOE_RETURN_IF_ERROR(std::visit([this](const auto& one) { return ApplyOne(one); }, change));
  }
  return transaction->Commit();
}

absl::Status SqliteStore::ApplyOne(const PutRun& change) {
  const RunRecord& run = change.run;
  return writer_.Run(
      "INSERT INTO runs (run_id, name, arm, phase, config_yaml, config_sha256, steps_total, steps_done, error, "
      "created_ms, finished_ms, directory, priority, slots, sweep, model_fingerprint) "
      "VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (run_id) DO UPDATE SET name = excluded.name, "
      "arm = excluded.arm, phase = excluded.phase, config_yaml = excluded.config_yaml, "
      "config_sha256 = excluded.config_sha256, steps_total = excluded.steps_total, steps_done = excluded.steps_done, "
      "error = excluded.error, created_ms = excluded.created_ms, finished_ms = excluded.finished_ms, "
      "directory = excluded.directory, priority = excluded.priority, slots = excluded.slots, sweep = excluded.sweep, "
      "model_fingerprint = excluded.model_fingerprint",
      run.run_id, run.name, run.arm, run.phase, run.config_yaml, run.config_sha256, run.steps_total, run.steps_done,
      run.error, run.created_unix_ms, run.finished_unix_ms, run.directory, run.priority, run.slots, run.sweep,
      run.model_fingerprint);
}

absl::Status SqliteStore::ApplyOne(const PutJob& change) {
  const JobRecord& job = change.job;
  return writer_.Run(
      "INSERT INTO jobs (position, job_id, run_id, type, params, phase, trainer_id, trainer_name, incarnation, "
      "num_lost_trainers) VALUES (?,?,?,?,?,?,?,?,?,?) ON CONFLICT (job_id) DO UPDATE SET "
      "position = excluded.position, run_id = excluded.run_id, type = excluded.type, params = excluded.params, "
      "phase = excluded.phase, trainer_id = excluded.trainer_id, trainer_name = excluded.trainer_name, incarnation = "
      "excluded.incarnation, "
      "num_lost_trainers = excluded.num_lost_trainers",
      job.order, job.job_id, job.run_id, job.type, job.params_json, job.phase, job.trainer_id, job.trainer_name,
      job.incarnation, job.num_lost_trainers);
}

absl::Status SqliteStore::ApplyOne(const PutAdapter& change) {
  // Replacing gives the row a new position: what a resumed run publishes again is its newest.
  const AdapterName& adapter = change.adapter;
  return writer_.Run("INSERT OR REPLACE INTO adapters (run_id, step, sha256, size) VALUES (?,?,?,?)", adapter.run_id,
                     adapter.step, adapter.sha256, adapter.size_bytes);
}

absl::Status SqliteStore::ApplyOne(const PutEvent& change) {
  return writer_.Run("INSERT INTO events VALUES (?,?,?,?,?,?) ON CONFLICT DO NOTHING", change.run_id, change.event.seq,
                     change.key, change.event.unix_ms, change.event.kind, change.event.payload_json);
}

absl::Status SqliteStore::ApplyOne(const PutBatch& change) {
  const BatchRecord& batch = change.batch;
  EVILMOE_RETURN_IF_ERROR(writer_.Run(
      "INSERT OR REPLACE INTO batches (id, run_id, key, step, adapter_step, adapter_sha256, adapter_size, sampling, "
      "fingerprint, bind_at_lease, max_policy_lag) VALUES (?,?,?,?,?,?,?,?,?,?,?)",
      batch.id, batch.run_id, batch.key, batch.step, batch.adapter.step, batch.adapter.sha256, batch.adapter.size_bytes,
      SqliteBlob{batch.sampling}, batch.fingerprint, batch.bind_at_lease, batch.max_policy_lag));
  EVILMOE_RETURN_IF_ERROR(writer_.Run("UPDATE counters SET value = ?1 WHERE name = 'batch' AND value < ?1", batch.id));
  for (const GroupTask& group : *change.groups) {
    EVILMOE_RETURN_IF_ERROR(
        writer_.Run("INSERT OR REPLACE INTO groups (batch_id, idx, num_samples, state, lease_id, worker_id, "
                    "deadline_ms, num_losses, lost_reason, spec, result) VALUES (?,?,?,0,0,'',0,0,'',?,x'')",
                    batch.id, group.index, group.num_samples, SqliteBlob{group.spec}));
  }
  return absl::OkStatus();
}

absl::Status SqliteStore::ApplyOne(const DropBatch& change) {
  return writer_.Run("DELETE FROM batches WHERE id = ?", change.batch_id);
}

absl::Status SqliteStore::ApplyOne(const PutLease& change) {
  return writer_.Run(
      "INSERT OR REPLACE INTO leases SELECT batch_id, idx, ?3, ?4, ?5, ?6, ?7 FROM groups WHERE batch_id = ?1 AND "
      "idx = ?2",
      change.batch_id, change.index, change.lease_id, change.worker_id, change.adapter.step, change.adapter.sha256,
      change.adapter.size_bytes);
}

absl::Status SqliteStore::ApplyOne(const RequeueGroup& change) {
  EVILMOE_RETURN_IF_ERROR(
      writer_.Run("DELETE FROM leases WHERE batch_id = ? AND idx = ?", change.batch_id, change.index));
  return writer_.Run("UPDATE groups SET num_losses = ? WHERE batch_id = ? AND idx = ?", change.num_losses,
                     change.batch_id, change.index);
}

absl::Status SqliteStore::ApplyOne(const FinishGroup& change) {
  EVILMOE_RETURN_IF_ERROR(
      writer_.Run("DELETE FROM leases WHERE batch_id = ? AND idx = ?", change.batch_id, change.group.index));
  const std::string_view result = change.group.result == nullptr ? std::string_view() : *change.group.result;
  return writer_.Run(
      "INSERT OR REPLACE INTO results SELECT batch_id, ?3, idx, ?4, ?5, ?6 FROM groups WHERE batch_id = ?1 AND idx = "
      "?2",
      change.batch_id, change.group.index, change.place, change.group.num_samples, change.group.lost_reason,
      SqliteBlob{result});
}

}  // namespace evilmoe
