#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "services/coordinator/postgres_store.h"
#include "services/coordinator/stored_rows.h"

namespace evilmoe {
namespace {

constexpr const char* kSelectRuns =
    "SELECT r.run_id, r.name, r.arm, r.phase, r.config_yaml, r.config_sha256, r.steps_total, r.steps_done, r.error, "
    "r.created_ms, r.finished_ms, r.directory, r.priority, r.slots, r.sweep, r.model_fingerprint, a.step, a.sha256, "
    "a.size, (SELECT coalesce(max(seq), 0) FROM events e WHERE e.run_id = r.run_id) FROM runs r LEFT JOIN LATERAL "
    "(SELECT step, sha256, size FROM adapters WHERE run_id = r.run_id ORDER BY position DESC LIMIT 1) a ON true "
    "ORDER BY r.created_ms, r.run_id";

RunRecord ReadRun(const PostgresRow& row) { return StoredRun(row); }
JobRecord ReadJob(const PostgresRow& row) { return StoredJob(row); }
BatchRecord ReadBatch(const PostgresRow& row) { return StoredBatchRecord(row, row.Bytes(7)); }

// Reads every row with `read`, which makes an item of it.
template <typename Item, typename Read>
absl::Status ReadAll(PostgresConnection& connection, const char* sql, std::vector<Item>& items, Read read) {
  return connection.Query(sql, {}, [&](const PostgresRow& row) {
    items.push_back(read(row));
    return absl::OkStatus();
  });
}

absl::Status LoadRuns(PostgresConnection& connection, StoreContents& contents) {
  EVILMOE_RETURN_IF_ERROR(ReadAll(connection, kSelectRuns, contents.runs, ReadRun));
  EVILMOE_RETURN_IF_ERROR(
      ReadAll(connection,
              "SELECT position, job_id, run_id, type, params, phase, trainer_id, trainer_name, incarnation, "
              "num_lost_trainers FROM jobs ORDER BY position",
              contents.jobs, ReadJob));
  for (const RunRecord& run : contents.runs) {
    const PostgresParameters of_run = PostgresScalars(run.run_id);
    std::vector<std::string>& keys = contents.event_keys[run.run_id];
    EVILMOE_RETURN_IF_ERROR(connection.Query("SELECT key FROM events WHERE run_id = $1::text ORDER BY seq", of_run,
                                             [&](const PostgresRow& row) {
                                               keys.push_back(row.Text(0));
                                               return absl::OkStatus();
                                             }));
    if (HasEnded(run.phase)) continue;
    EVILMOE_RETURN_IF_ERROR(connection.Query(
        "SELECT step, sha256, size FROM adapters WHERE run_id = $1::text ORDER BY position", of_run,
        [&](const PostgresRow& row) {
          contents.adapters.push_back(
              {.run_id = run.run_id, .step = row.Int(0), .sha256 = row.Text(1), .size_bytes = row.Int(2)});
          return absl::OkStatus();
        }));
  }
  return absl::OkStatus();
}

// Finds batches and groups for the rows that hang on them; all are in order.
class GroupFinder {
 public:
  explicit GroupFinder(std::vector<StoredBatch>& batches) {
    for (StoredBatch& batch : batches) batches_[batch.batch.id] = &batch;
  }
  absl::StatusOr<StoredBatch*> Batch(int64_t id) const {
    const auto found = batches_.find(id);
    if (found != batches_.end()) return found->second;
    return absl::DataLossError(absl::StrCat("batch ", id, ": rows hang on it, and it is not there"));
  }
  absl::StatusOr<StoredGroup*> Group(int64_t id, int64_t index) const {
    EVILMOE_ASSIGN_OR_RETURN(StoredBatch* const batch, Batch(id));
    const auto index_of = [](const StoredGroup& group) { return group.task.index; };
    const auto found = std::ranges::lower_bound(batch->groups, index, {}, index_of);
    if (found != batch->groups.end() && found->task.index == index) return &*found;
    return absl::DataLossError(absl::StrCat("batch ", id, ": a lease or result of group ", index, ", which is none"));
  }

 private:
  std::map<int64_t, StoredBatch*> batches_;
};

absl::Status LoadGroups(PostgresConnection& connection, const GroupFinder& finder) {
  EVILMOE_RETURN_IF_ERROR(connection.Query(
      "SELECT batch_id, idx, num_samples, num_losses, spec FROM groups ORDER BY batch_id, idx", {},
      [&](const PostgresRow& row) {
        EVILMOE_ASSIGN_OR_RETURN(StoredBatch* const batch, finder.Batch(row.Int(0)));
        batch->groups.push_back(
            {.task = {.index = row.Int(1), .num_samples = static_cast<int>(row.Int(2)), .spec = row.Bytes(4)},
             .num_losses = row.Int(3)});
        return absl::OkStatus();
      }));
  EVILMOE_RETURN_IF_ERROR(connection.Query(
      "SELECT batch_id, idx, lease_id, worker_id, adapter_step, adapter_sha256, adapter_size FROM leases", {},
      [&](const PostgresRow& row) {
        EVILMOE_ASSIGN_OR_RETURN(StoredBatch* const batch, finder.Batch(row.Int(0)));
        EVILMOE_ASSIGN_OR_RETURN(StoredGroup* const group, finder.Group(row.Int(0), row.Int(1)));
        group->lease = PutLease{
            .batch_id = row.Int(0),
            .index = row.Int(1),
            .lease_id = row.Int(2),
            .worker_id = row.Text(3),
            .adapter = {
                .run_id = batch->batch.run_id, .step = row.Int(4), .sha256 = row.Text(5), .size_bytes = row.Int(6)}};
        return absl::OkStatus();
      }));
  return connection.Query(
      "SELECT batch_id, place, idx, num_samples, lost_reason, result FROM results", {}, [&](const PostgresRow& row) {
        EVILMOE_ASSIGN_OR_RETURN(StoredGroup* const group, finder.Group(row.Int(0), row.Int(2)));
        FinishGroup finished{
            .batch_id = row.Int(0),
            .place = row.Int(1),
            .group = {.index = row.Int(2), .num_samples = static_cast<int>(row.Int(3)), .lost_reason = row.Text(4)}};
        if (finished.group.lost_reason.empty()) {
          finished.group.result = std::make_shared<const std::string>(row.Bytes(5));
        }
        group->finished = std::move(finished);
        return absl::OkStatus();
      });
}

}  // namespace

absl::StatusOr<StoreContents> PostgresStore::LoadAll(PostgresConnection& connection) {
  StoreContents contents;
  // A whole table takes longer than a transaction of everyday.
  EVILMOE_RETURN_IF_ERROR(connection.Execute("BEGIN"));
  EVILMOE_RETURN_IF_ERROR(connection.Execute("SET LOCAL statement_timeout = '600s'"));
  EVILMOE_RETURN_IF_ERROR(connection.Query("UPDATE meta SET epoch = epoch + 1 RETURNING epoch, last_batch_id", {},
                                           [&](const PostgresRow& row) {
                                             contents.epoch = row.Int(0);
                                             contents.last_batch_id = row.Int(1);
                                             return absl::OkStatus();
                                           }));
  EVILMOE_RETURN_IF_ERROR(LoadRuns(connection, contents));
  std::vector<BatchRecord> batches;
  EVILMOE_RETURN_IF_ERROR(
      ReadAll(connection,
              "SELECT id, run_id, key, step, adapter_step, adapter_sha256, adapter_size, sampling, fingerprint, "
              "bind_at_lease, max_policy_lag FROM batches ORDER BY id",
              batches, ReadBatch));
  for (BatchRecord& batch : batches) contents.batches.push_back({.batch = std::move(batch)});
  EVILMOE_RETURN_IF_ERROR(LoadGroups(connection, GroupFinder(contents.batches)));
  EVILMOE_RETURN_IF_ERROR(connection.Execute("COMMIT"));
  return contents;
}

absl::StatusOr<StoreContents> PostgresStore::Load() {
  absl::StatusOr<StoreContents> contents;
  EVILMOE_RETURN_IF_ERROR(OnWriter([&](PostgresConnection& connection) {
    contents = LoadAll(connection);
    return contents.status();
  }));
  epoch_ = contents->epoch;
  return contents;
}

}  // namespace evilmoe
