#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/logger.h"
#include "common/mutex.h"
#include "services/coordinator/coordinator_metrics.h"
#include "services/coordinator/store.h"
#include "services/coordinator/worker_table.h"

namespace evilmoe {

// How long a call may wait for something to happen (capped at kMaxWait), and who asks: `gone` says that the caller
// has hung up, so that nothing is handed to it; nullptr = never.
struct WaitOptions {
  absl::Duration wait = absl::ZeroDuration();
  std::function<bool()> gone;
};

// What a worker hands in.
struct CompletedGroup {
  int64_t index = 0;
  int num_samples = 0;
  AdapterName adapter;
  std::string result;  // opaque
};

// The coordinator without its face: one method an RPC, with the codes and promises of coordinator.proto. Every change
// is on the disk before its method returns. Thread-safe: one mutex guards the store and is held across its writes
// (SQLite has one writer anyway). `clock`, `logger` and `metrics` must outlive it. It owns no thread.
class CoordinatorCore {
 public:
  struct Options {
    absl::Duration lease_timeout = absl::Seconds(60);  // > 0
  };
  static constexpr absl::Duration kMaxWait = absl::Seconds(30);
  static constexpr int kMaxLosses = 5;  // a group whose lease is lost once more is done without a result

  // Leases that the store knows get a whole lease timeout from now: their workers could not reach a coordinator.
  static absl::StatusOr<std::unique_ptr<CoordinatorCore>> Create(Store store, Options options, const Clock& clock,
                                                                 Logger& logger, CoordinatorMetrics& metrics);

  // ---- runs, jobs, events (core_jobs.cc) ----
  absl::StatusOr<RunRecord> SubmitRun(RunRecord run);
  absl::Status SubmitJob(JobRecord job);
  absl::StatusOr<RunRecord> GetRun(const std::string& run_id);
  absl::StatusOr<std::vector<RunRecord>> ListRuns();
  absl::StatusOr<RunRecord> CancelRun(const std::string& run_id);
  struct EventPage {
    std::vector<EventRecord> events;
    RunRecord run;
  };
  absl::StatusOr<EventPage> ListEvents(const std::string& run_id, int64_t after_seq, int limit,
                                       const WaitOptions& wait);
  struct AcquiredJob {
    JobRecord job;
    RunRecord run;
  };
  absl::StatusOr<AcquiredJob> AcquireJob(const std::string& trainer_id, const WaitOptions& wait);
  absl::Status BeginJob(const JobFenceKey& fence, int64_t resume_step);
  absl::Status RecordEvent(const JobFenceKey& fence, const std::string& key, EventRecord event, int64_t steps_done);
  absl::Status FinishJob(const JobFenceKey& fence, bool ok, const std::string& error);

  // ---- adapters (core_adapters.cc) ----
  // Returns how many workers hold it already.
  absl::StatusOr<int> PublishAdapter(const JobFenceKey& fence, AdapterName adapter, const std::string& bytes);
  // The file with its bytes.
  absl::StatusOr<std::filesystem::path> AdapterFile(const AdapterName& adapter);
  absl::Status AcknowledgeAdapter(const std::string& worker_id, const AdapterName& adapter);

  // ---- batches (core_batches.cc) ----
  absl::Status OpenBatch(const JobFenceKey& fence, BatchRecord batch, const std::vector<GroupTask>& groups);
  struct Fetched {
    std::vector<FinishedGroup> groups;
    Store::Progress progress;
  };
  absl::StatusOr<Fetched> FetchGroups(const JobFenceKey& fence, const std::string& key, const std::set<int64_t>& have,
                                      const WaitOptions& wait);
  absl::Status CloseBatch(const JobFenceKey& fence, const std::string& key);

  // ---- workers and leases (core_leases.cc) ----
  // Returns those of the leases that are no longer the worker's.
  absl::StatusOr<std::vector<int64_t>> Heartbeat(const std::string& worker_id, const std::vector<int64_t>& lease_ids);
  struct Granted {
    std::vector<Store::NewLease> leases;  // empty: nothing to do, and no batch
    BatchRecord batch;
    std::string config_yaml;
  };
  absl::StatusOr<Granted> LeaseGroups(const std::string& worker_id, int max_groups, const WaitOptions& wait);
  absl::Status CompleteGroup(const std::string& worker_id, int64_t lease_id, const CompletedGroup& group);
  absl::Status AbandonGroup(const std::string& worker_id, int64_t lease_id, const std::string& reason);
  // Frees leases past their deadline; says how many. To be called about once a second.
  absl::StatusOr<int> ExpireOverdue();

  // ---- the process (coordinator_core.cc) ----
  absl::Status UpdateGauges();
  // Ends every wait, now and later, with Unavailable.
  void Stop();
  absl::Duration lease_timeout() const { return options_.lease_timeout; }

 private:
  CoordinatorCore(Store store, Options options, const Clock& clock, Logger& logger, CoordinatorMetrics& metrics)
      : options_(options), clock_(clock), logger_(logger), metrics_(metrics), store_(std::move(store)) {}

  // Calls attempt() -> StatusOr<optional<T>> now and after every change until it gives a value or an error, or the
  // wait is over (nullopt).
  template <typename Attempt>
  std::invoke_result_t<Attempt> AwaitLocked(const WaitOptions& wait, Attempt attempt)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ChangedLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);  // wakes the waiting
  int64_t NowMs() const { return absl::ToUnixMillis(clock_.Now()); }
  int64_t LeaseDeadlineMs() const { return absl::ToUnixMillis(clock_.Now() + options_.lease_timeout); }

  absl::StatusOr<RunRecord> FindRunLocked(const std::string& run_id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The job that `fence` holds, or Aborted.
  absl::StatusOr<JobRecord> CheckFenceLocked(const JobFenceKey& fence) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status SetPhaseLocked(RunRecord& run, RunPhase phase, const std::string& error)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status DropBatchesLocked(const std::string& run_id, std::optional<int64_t> keep_step)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<std::optional<AcquiredJob>> TryAcquireLocked(const std::string& trainer_id)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<std::optional<Granted>> TryLeaseLocked(const std::string& worker_id, int max_groups)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<LeasedGroup> HeldLeaseLocked(const std::string& worker_id, int64_t lease_id)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status CheckAdapterLocked(const std::string& worker_id, const AdapterName& got, const AdapterName& expected)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Queues the group again, or gives it up when it was lost too often.
  absl::Status LoseLeaseLocked(int64_t lease_id, int64_t num_losses, const std::string& reason)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Options options_;
  const Clock& clock_;
  Logger& logger_;
  CoordinatorMetrics& metrics_;
  Mutex mu_;
  Store store_ ABSL_GUARDED_BY(mu_);
  WorkerTable workers_ ABSL_GUARDED_BY(mu_);
  uint64_t num_changes_ ABSL_GUARDED_BY(mu_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
};

template <typename Attempt>
std::invoke_result_t<Attempt> CoordinatorCore::AwaitLocked(const WaitOptions& wait, Attempt attempt) {
  using Result = std::invoke_result_t<Attempt>;
  Result result = typename Result::value_type();
  std::optional<uint64_t> seen;
  const auto done = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (stopping_ || (wait.gone && wait.gone())) {
      result = absl::UnavailableError(stopping_ ? "the coordinator is stopping" : "the caller has hung up");
      return true;
    }
    if (seen == num_changes_) return false;
    result = attempt();
    seen = num_changes_;  // after: an attempt that succeeds is a change of its own
    return !result.ok() || result->has_value();
  };
  mu_.AwaitFor(std::clamp(wait.wait, absl::ZeroDuration(), kMaxWait), done);
  return result;
}

}  // namespace evilmoe
