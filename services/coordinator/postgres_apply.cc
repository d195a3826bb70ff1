#include <string>
#include <type_traits>
#include <utility>

#include "common/status_macros.h"
#include "services/coordinator/postgres_store.h"

namespace evilmoe {
namespace {

// Rows of one statement: a message must stay far below 1 GiB, and nobody wants to hold all of a large batch twice.
constexpr size_t kMaxRows = 10000;
constexpr size_t kMaxBytes = size_t{8} << 20;

constexpr const char* kPutRuns =
    "INSERT INTO runs SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], "
    "$7::bigint[], $8::bigint[], $9::text[], $10::bigint[], $11::bigint[], $12::text[], $13::bigint[], $14::bigint[], "
    "$15::text[], $16::text[]) ON CONFLICT (run_id) DO UPDATE SET name = excluded.name, arm = excluded.arm, "
    "phase = excluded.phase, config_yaml = excluded.config_yaml, config_sha256 = excluded.config_sha256, "
    "steps_total = excluded.steps_total, steps_done = excluded.steps_done, error = excluded.error, "
    "created_ms = excluded.created_ms, finished_ms = excluded.finished_ms, directory = excluded.directory, "
    "priority = excluded.priority, slots = excluded.slots, sweep = excluded.sweep, "
    "model_fingerprint = excluded.model_fingerprint";
constexpr const char* kPutJobs =
    "INSERT INTO jobs SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::text[], "
    "$6::bigint[], "
    "$7::text[], $8::text[], $9::bigint[], $10::bigint[]) ON CONFLICT (job_id) DO UPDATE SET "
    "position = excluded.position, run_id = excluded.run_id, type = excluded.type, params = excluded.params, "
    "phase = excluded.phase, trainer_id = excluded.trainer_id, trainer_name = excluded.trainer_name, "
    "incarnation = excluded.incarnation, num_lost_trainers = excluded.num_lost_trainers";
// A new row has a new position.
constexpr const char* kDropAdapters =
    "DELETE FROM adapters a USING unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[]) AS n(run_id, step, "
    "sha256, "
    "size) WHERE a.run_id = n.run_id AND a.sha256 = n.sha256 AND a.step = n.step";
constexpr const char* kPutAdapters =
    "INSERT INTO adapters (run_id, step, sha256, size) SELECT run_id, step, sha256, size FROM unnest($1::text[], "
    "$2::bigint[], $3::text[], $4::bigint[]) WITH ORDINALITY AS n(run_id, step, sha256, size, place) ORDER BY place";
constexpr const char* kPutEvents =
    "INSERT INTO events SELECT run_id, seq, key, unix_ms, kind, payload FROM unnest($1::text[], $2::bigint[], "
    "$3::text[], $4::bigint[], $5::text[], $6::text[]) WITH ORDINALITY AS n(run_id, seq, key, unix_ms, kind, payload, "
    "place) ORDER BY place ON CONFLICT DO NOTHING";
constexpr const char* kDropById =
    "WITH gone AS (SELECT unnest($1::bigint[]) AS id), "
    "b AS (DELETE FROM batches USING gone WHERE batches.id = gone.id), "
    "l AS (DELETE FROM leases USING gone WHERE batch_id = gone.id), "
    "r AS (DELETE FROM results USING gone WHERE batch_id = gone.id) "
    "DELETE FROM groups USING gone WHERE batch_id = gone.id";
constexpr const char* kDropByKey =
    "WITH gone AS (DELETE FROM batches b USING unnest($1::text[], $2::text[]) AS n(run_id, key) WHERE "
    "b.run_id = n.run_id AND b.key = n.key RETURNING b.id), "
    "l AS (DELETE FROM leases USING gone WHERE batch_id = gone.id), "
    "r AS (DELETE FROM results USING gone WHERE batch_id = gone.id) "
    "DELETE FROM groups USING gone WHERE batch_id = gone.id";
constexpr const char* kRaiseLastBatch = "UPDATE meta SET last_batch_id = $1::bigint WHERE last_batch_id < $1::bigint";
constexpr const char* kPutBatches =
    "INSERT INTO batches SELECT id, run_id, key, step, adapter_step, adapter_sha256, adapter_size, sampling, "
    "fingerprint, "
    "bind_at_lease <> 0, max_policy_lag FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], "
    "$6::text[], $7::bigint[], $8::bytea[], $9::text[], $10::bigint[], $11::bigint[]) AS n(id, run_id, key, step, "
    "adapter_step, adapter_sha256, adapter_size, sampling, fingerprint, bind_at_lease, max_policy_lag)";
constexpr const char* kPutGroups =
    "INSERT INTO groups SELECT batch_id, idx, num_samples, 0, spec FROM unnest($1::bigint[], $2::bigint[], "
    "$3::bigint[], "
    "$4::bytea[]) AS n(batch_id, idx, num_samples, spec)";
constexpr const char* kRequeue =
    "UPDATE groups g SET num_losses = n.num_losses FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS "
    "n(batch_id, "
    "idx, num_losses) WHERE g.batch_id = n.batch_id AND g.idx = n.idx";
constexpr const char* kEndLeases =
    "DELETE FROM leases l USING unnest($1::bigint[], $2::bigint[]) AS n(batch_id, idx) WHERE l.batch_id = n.batch_id "
    "AND "
    "l.idx = n.idx";
constexpr const char* kPutLeases =
    "INSERT INTO leases SELECT n.* FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::bigint[], "
    "$6::text[], $7::bigint[]) AS n(batch_id, idx, lease_id, worker_id, adapter_step, adapter_sha256, adapter_size) "
    "WHERE EXISTS (SELECT FROM groups g WHERE g.batch_id = n.batch_id AND g.idx = n.idx) "
    "ON CONFLICT (batch_id, idx) DO UPDATE SET lease_id = excluded.lease_id, worker_id = excluded.worker_id, "
    "adapter_step = excluded.adapter_step, adapter_sha256 = excluded.adapter_sha256, "
    "adapter_size = excluded.adapter_size";
constexpr const char* kPutResults =
    "INSERT INTO results SELECT n.* FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], "
    "$6::bytea[]) AS n(batch_id, place, idx, num_samples, lost_reason, result) "
    "WHERE EXISTS (SELECT FROM groups g WHERE g.batch_id = n.batch_id AND g.idx = n.idx) "
    "ON CONFLICT (batch_id, place) DO UPDATE SET idx = excluded.idx, num_samples = excluded.num_samples, "
    "lost_reason = excluded.lost_reason, result = excluded.result";

// Gathers rows for the statement `sql` and sends them, as often as there are enough.
class Sender {
 public:
  Sender(PostgresConnection& connection, const char* sql) : connection_(connection), sql_(sql) {}
  template <typename... Values>
  absl::Status Add(const Values&... values) {
    rows_.Add(values...);
    return rows_.num_rows() >= kMaxRows || rows_.num_bytes() >= kMaxBytes ? Send() : absl::OkStatus();
  }
  absl::Status Send() { return rows_.num_rows() == 0 ? absl::OkStatus() : connection_.Send(sql_, rows_.Take()); }

 private:
  PostgresConnection& connection_;
  const char* sql_;
  PostgresRows rows_;
};

// Sends a row for each item; `add(sender, item)` adds its values.
template <typename Items, typename Add>
absl::Status SendEach(PostgresConnection& connection, const char* sql, const Items& items, Add add) {
  Sender sender(connection, sql);
  for (const auto& item : items) EVILMOE_RETURN_IF_ERROR(add(sender, item));
  return sender.Send();
}

absl::Status SendRunsAndJobs(PostgresConnection& connection, const ChangeSet& set) {
  EVILMOE_RETURN_IF_ERROR(SendEach(connection, kPutRuns, set.runs, [](Sender& rows, const RunRecord* run) {
    return rows.Add(run->run_id, run->name, run->arm, run->phase, run->config_yaml, run->config_sha256,
                    run->steps_total, run->steps_done, run->error, run->created_unix_ms, run->finished_unix_ms,
                    run->directory, run->priority, run->slots, run->sweep, run->model_fingerprint);
  }));
  return SendEach(connection, kPutJobs, set.jobs, [](Sender& rows, const JobRecord* job) {
    return rows.Add(job->order, job->job_id, job->run_id, job->type, job->params_json, job->phase, job->trainer_id,
                    job->trainer_name, job->incarnation, job->num_lost_trainers);
  });
}

absl::Status SendAdaptersAndEvents(PostgresConnection& connection, const ChangeSet& set) {
  for (const char* const sql : {kDropAdapters, kPutAdapters}) {
    EVILMOE_RETURN_IF_ERROR(SendEach(connection, sql, set.adapters, [](Sender& rows, const AdapterName* adapter) {
      return rows.Add(adapter->run_id, adapter->step, adapter->sha256, adapter->size_bytes);
    }));
  }
  return SendEach(connection, kPutEvents, set.events, [](Sender& rows, const PutEvent* put) {
    return rows.Add(put->run_id, put->event.seq, put->key, put->event.unix_ms, put->event.kind,
                    put->event.payload_json);
  });
}

absl::Status SendBatches(PostgresConnection& connection, const ChangeSet& set) {
  EVILMOE_RETURN_IF_ERROR(
      SendEach(connection, kDropById, set.dropped_ids, [](Sender& rows, int64_t id) { return rows.Add(id); }));
  EVILMOE_RETURN_IF_ERROR(
      SendEach(connection, kDropByKey, set.dropped_keys,
               [](Sender& rows, const BatchRecord* batch) { return rows.Add(batch->run_id, batch->key); }));
  if (set.last_batch_id > 0) {
    EVILMOE_RETURN_IF_ERROR(connection.Send(kRaiseLastBatch, PostgresScalars(set.last_batch_id)));
  }
  EVILMOE_RETURN_IF_ERROR(SendEach(connection, kPutBatches, set.batches, [](Sender& rows, const PutBatch* put) {
    const BatchRecord& batch = put->batch;
    return rows.Add(batch.id, batch.run_id, batch.key, batch.step, batch.adapter.step, batch.adapter.sha256,
                    batch.adapter.size_bytes, PostgresBytes{batch.sampling}, batch.fingerprint, batch.bind_at_lease,
                    batch.max_policy_lag);
  }));
  return SendEach(connection, kPutGroups, set.batches, [](Sender& rows, const PutBatch* put) {
    for (const GroupTask& group : *put->groups) {
      EVILMOE_RETURN_IF_ERROR(rows.Add(put->batch.id, group.index, group.num_samples, PostgresBytes{group.spec}));
    }
    return absl::OkStatus();
  });
}

absl::Status SendGroupChanges(PostgresConnection& connection, const ChangeSet& set) {
  EVILMOE_RETURN_IF_ERROR(SendEach(connection, kRequeue, set.requeued, [](Sender& rows, const RequeueGroup* change) {
    return rows.Add(change->batch_id, change->index, change->num_losses);
  }));
  EVILMOE_RETURN_IF_ERROR(
      SendEach(connection, kEndLeases, set.ended_leases,
               [](Sender& rows, const ChangeSet::GroupKey& group) { return rows.Add(group.first, group.second); }));
  EVILMOE_RETURN_IF_ERROR(SendEach(connection, kPutLeases, set.leases, [](Sender& rows, const PutLease* lease) {
    return rows.Add(lease->batch_id, lease->index, lease->lease_id, lease->worker_id, lease->adapter.step,
                    lease->adapter.sha256, lease->adapter.size_bytes);
  }));
  return SendEach(connection, kPutResults, set.finished, [](Sender& rows, const FinishGroup* change) {
    const FinishedGroup& group = change->group;
    const std::string_view result = group.result == nullptr ? std::string_view() : *group.result;
    return rows.Add(change->batch_id, change->place, group.index, group.num_samples, group.lost_reason,
                    PostgresBytes{result});
  });
}

}  // namespace

absl::Status PostgresStore::SendAll(PostgresConnection& connection, const ChangeSet& set) {
  EVILMOE_RETURN_IF_ERROR(connection.Send("BEGIN"));
  EVILMOE_RETURN_IF_ERROR(connection.Send("SELECT fence($1::bigint)", PostgresScalars(*epoch_)));
  EVILMOE_RETURN_IF_ERROR(SendRunsAndJobs(connection, set));
  EVILMOE_RETURN_IF_ERROR(SendAdaptersAndEvents(connection, set));
  EVILMOE_RETURN_IF_ERROR(SendBatches(connection, set));
  EVILMOE_RETURN_IF_ERROR(SendGroupChanges(connection, set));
  return connection.Send("COMMIT");
}

absl::Status PostgresStore::Apply(std::span<const StoreChange> changes) {
  const ChangeSet set = MakeChangeSet(changes);
  return OnWriter([&](PostgresConnection& connection) {
    const absl::Status sent = SendAll(connection, set);
    const absl::Status done = connection.Finish();
    return sent.ok() ? done : sent;
  });
}

}  // namespace evilmoe
