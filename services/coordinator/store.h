#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/coordinator/coordinator_types.h"
#include "services/coordinator/sqlite_database.h"
#include "services/coordinator/store_lock.h"

namespace evilmoe {

// What the coordinator must not forget, in one SQLite file (WAL, synchronous=FULL: what was answered is on the disk).
// It keeps rows and decides nothing. NotFound is spelt nullopt. Other errors: sqlite_database.h. Not thread-safe.
class Store {
 public:
  // Creates or migrates. DataLoss: not a database or a damaged one; FailedPrecondition: of a newer program, or
  // another's, or another Store writes it. The message names the path.
  static absl::StatusOr<Store> Open(const std::filesystem::path& path);
  // For tools while no coordinator runs, or beside one: only the Get, List and Find methods work. NotFound.
  static absl::StatusOr<Store> OpenReadOnly(const std::filesystem::path& path);

  // Changes outside a transaction are each their own one.
  absl::StatusOr<std::unique_ptr<SqliteTransaction>> Begin() { return SqliteTransaction::Begin(database_); }

  // ---- runs, jobs, events (store_runs.cc) ----
  absl::Status InsertRun(const RunRecord& run);
  absl::Status UpdateRun(const RunRecord& run);  // phase, error, steps_done, finished_unix_ms
  absl::StatusOr<std::optional<RunRecord>> GetRun(const std::string& run_id);
  absl::StatusOr<std::vector<RunRecord>> ListRuns();  // oldest first
  absl::StatusOr<int64_t> CountRuns(RunPhase phase);
  absl::Status InsertJob(const JobRecord& job);       // its order is given by the store
  absl::Status UpdateJob(const JobRecord& job);       // phase, trainer_id, incarnation
  absl::StatusOr<std::optional<JobRecord>> GetJob(const std::string& job_id);
  absl::StatusOr<std::vector<JobRecord>> ListOpenJobs();  // queued or running, oldest first
  // Gives the event the run's next seq. False: the key is taken, and nothing happened.
  absl::StatusOr<bool> InsertEvent(const std::string& run_id, const std::string& key, const EventRecord& event);
  absl::StatusOr<std::vector<EventRecord>> ListEvents(const std::string& run_id, int64_t after_seq, int limit);
  absl::StatusOr<int64_t> LastSeq(const std::string& run_id);  // 0 = no event yet
  // Makes the adapter the run's newest.
  absl::Status PutAdapter(const AdapterName& adapter);
  absl::StatusOr<std::optional<AdapterName>> FindAdapter(const std::string& run_id, const std::string& sha256);

  // ---- batches, groups, leases (store_batches.cc) ----
  absl::Status InsertBatch(const BatchRecord& batch, const std::vector<GroupTask>& groups);
  absl::StatusOr<std::optional<BatchRecord>> FindBatch(const std::string& run_id, const std::string& key);
  absl::StatusOr<std::optional<BatchRecord>> GetBatch(int64_t id);
  // Drops the run's batches, except those of `keep_step`, with their groups and leases; says how many leases that took.
  absl::StatusOr<int64_t> DeleteBatches(const std::string& run_id, std::optional<int64_t> keep_step);
  absl::Status DeleteBatch(int64_t id);
  absl::StatusOr<bool> HasBatchWithAdapter(const std::string& run_id, const std::string& sha256);
  // The oldest batch with a group that waits for a worker.
  absl::StatusOr<std::optional<BatchRecord>> OldestPendingBatch();
  // Leases up to `limit` of the batch's waiting groups, lowest index first, under new lease ids.
  struct NewLease {
    int64_t lease_id = 0;
    GroupTask task;
  };
  absl::StatusOr<std::vector<NewLease>> LeasePending(int64_t batch_id, int limit, const std::string& worker_id,
                                                     int64_t deadline_ms);
  absl::StatusOr<std::optional<LeasedGroup>> FindLease(int64_t lease_id);
  // False: the worker does not hold that lease.
  absl::StatusOr<bool> RenewLease(int64_t lease_id, const std::string& worker_id, int64_t deadline_ms);
  // No lease ends before `deadline_ms`.
  absl::Status ExtendAllLeases(int64_t deadline_ms);
  absl::StatusOr<std::vector<LeaseRow>> ListOverdueLeases(int64_t now_ms);
  absl::StatusOr<int64_t> CountLeases();
  // The group waits again, its lease is over.
  absl::Status RequeueLease(int64_t lease_id, int64_t num_losses);
  // The group is done. `lost_reason` set: without a result.
  absl::Status FinishLease(int64_t lease_id, const std::string& lost_reason, const std::string& result);
  struct Progress {
    int64_t num_groups = 0;
    int64_t num_finished = 0;
  };
  absl::StatusOr<Progress> BatchProgress(int64_t batch_id);
  // Finished groups that are not in `have`, by index, until their results pass `max_bytes` (at least one).
  absl::StatusOr<std::vector<FinishedGroup>> ListFinished(int64_t batch_id, const std::set<int64_t>& have,
                                                          size_t max_bytes);

 private:
  Store(StoreLock lock, SqliteDatabase database) : lock_(std::move(lock)), database_(std::move(database)) {}

  StoreLock lock_;  // nobody's for a reader; let go of last
  SqliteDatabase database_;
};

}  // namespace evilmoe
