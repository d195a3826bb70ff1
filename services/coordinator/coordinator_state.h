#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/coordinator/coordinator_metrics.h"
#include "services/coordinator/store.h"
#include "services/coordinator/worker_table.h"

namespace evilmoe {

// What a worker hands in.
struct CompletedGroup {
  int64_t index = 0;
  int num_samples = 0;
  AdapterName adapter;
  std::string result;  // opaque
};

struct AcquiredJob {
  JobRecord job;
  RunRecord run;
  bool after_pause = false;  // it goes on after a pause, as far as this life of the coordinator knows
};

// Who asks for a job.
struct TrainerOffer {
  std::string trainer_id;    // unique to one process's life
  std::string trainer_name;  // the same over its lives
  int slots = 1;
  std::string host;
};

struct GrantedLease {
  int64_t lease_id = 0;
  GroupTask task;
};
struct Granted {
  std::vector<GrantedLease> leases;  // empty: nothing to do, and nothing below holds
  BatchRecord batch;
  AdapterName adapter;
  std::string config_yaml;
  std::string model_fingerprint;
};

struct FetchedGroups {
  std::vector<FinishedGroup> groups;
  int64_t next = 0;  // place behind the last of them
  int64_t num_groups = 0, num_finished = 0;
};

struct WorkerView {
  std::string worker_id, kind, host, run_id;
  int64_t seen_unix_ms = 0;
  int num_leases = 0;
  AdapterName adapter;
};
struct CoordinatorStatus {
  std::vector<WorkerView> workers;
  int64_t groups_waiting = 0, groups_leased = 0;
  int slots_used = 0, slots_total = 0;
};

// What somebody may be waiting for.
struct Changed {
  bool jobs = false;               // a job can be taken
  bool leases = false;             // a group can be leased
  std::set<int64_t> batches;       // a group of it finished, or it is gone
  std::set<std::string> runs;      // it has a new event, or another state
};

// The coordinator as a value: every run, job, batch, group, lease and adapter name, and what each call does to them. Pure:
// no thread, no lock, no disk, no messages; time comes in as an argument. A method either fails and changes nothing, or
// changes this value and adds to the changes that make the store the same (TakeChanges()). The codes are those of
// coordinator.proto.
//
// Costs: a call is O(log) in batches, groups and workers, but for the runs that have open jobs, which a lease and an
// acquisition walk through, and for messages that list things. Memory goes with what is open: a closed batch leaves
// nothing behind; a run, its record and the keys of its events.
//
// Not thread-safe. `metrics` must outlive it.
class CoordinatorState {
 public:
  struct Options {
    absl::Duration lease_timeout = absl::Seconds(60);    // > 0; a worker not heard of for so long loses its groups
    absl::Duration trainer_timeout = absl::Seconds(60);  // > 0; likewise a trainer its job
    int device_slots = 0;                                // that running jobs use together, at most; 0 = no limit
  };
  static constexpr int kMaxLosses = 5;        // a group whose lease is lost once more is done without a result
  static constexpr int kMaxLostTrainers = 3;  // a job whose trainer is lost once more without a new step has failed
  // What callers may make it keep; more is ResourceExhausted.
  static constexpr size_t kMaxOpenRuns = 10'000;           // whose last job has not ended
  static constexpr size_t kMaxJobs = 1000;                 // of a run
  static constexpr int64_t kMaxEvents = int64_t{1} << 21;  // of a run

  // DataLoss: the contents contradict themselves. Leases and jobs get a whole timeout from now: their holders could not
  // reach a coordinator.
  static absl::StatusOr<CoordinatorState> Create(StoreContents contents, Options options, absl::Time now,
                                                 CoordinatorMetrics& metrics);

  // What was changed since the last call, for the store and for who waits.
  std::vector<StoreChange> TakeChanges() { return std::exchange(changes_, {}); }
  Changed TakeChanged() { return std::exchange(changed_, {}); }

  // ---- runs, jobs, events (state_jobs.cc) ----
  absl::StatusOr<RunRecord> SubmitRun(RunRecord run, absl::Time now);
  absl::Status SubmitJob(JobRecord job, absl::Time now);
  absl::StatusOr<RunRecord> GetRun(const std::string& run_id) const;
  std::vector<RunRecord> ListRuns(const std::string& sweep) const;  // oldest first
  absl::StatusOr<RunRecord> CancelRun(const std::string& run_id, absl::Time now);
  absl::StatusOr<RunRecord> PauseRun(const std::string& run_id, absl::Time now);
  absl::StatusOr<RunRecord> ResumeRun(const std::string& run_id, absl::Time now);
  absl::StatusOr<RunRecord> RetryRun(const std::string& run_id, absl::Time now);
  // nullopt: no job for this trainer now.
  absl::StatusOr<std::optional<AcquiredJob>> AcquireJob(const TrainerOffer& offer, absl::Time now);
  // True: a pause is asked for.
  absl::StatusOr<bool> HeartbeatJob(const JobFenceKey& fence, absl::Time now);
  absl::Status ReleaseJob(const JobFenceKey& fence, absl::Time now);
  absl::Status BeginJob(const JobFenceKey& fence, int64_t resume_step, const std::string& model_fingerprint,
                        absl::Time now);
  // True: a pause is asked for.
  absl::StatusOr<bool> RecordEvent(const JobFenceKey& fence, const std::string& key, EventRecord event,
                                   int64_t steps_done, absl::Time now);
  absl::Status FinishJob(const JobFenceKey& fence, bool ok, const std::string& error, absl::Time now);

  // ---- adapters (state_adapters.cc) ----
  absl::StatusOr<RunRecord> CheckFence(const JobFenceKey& fence) const;
  absl::Status PublishAdapter(const JobFenceKey& fence, const AdapterName& adapter, absl::Time now);
  absl::StatusOr<AdapterName> FindAdapter(const AdapterName& adapter) const;  // NotFound
  absl::Status AcknowledgeAdapter(const std::string& worker_id, const AdapterName& adapter, absl::Time now);

  // ---- batches (state_batches.cc) ----
  absl::Status OpenBatch(const JobFenceKey& fence, BatchRecord batch, std::vector<GroupTask> groups, absl::Time now);
  // nullopt: nothing new, and the batch is not done. At most about max_bytes of results, at least one group.
  absl::StatusOr<std::optional<FetchedGroups>> FetchGroups(const JobFenceKey& fence, const std::string& key,
                                                           int64_t after, size_t max_bytes, absl::Time now);
  absl::StatusOr<int64_t> FindBatch(const JobFenceKey& fence, const std::string& key) const;  // its id; NotFound
  FetchedGroups Progress(int64_t batch_id, int64_t after) const;  // without groups
  absl::Status CloseBatch(const JobFenceKey& fence, const std::string& key, absl::Time now);

  // ---- workers and leases (state_leases.cc) ----
  // ResourceExhausted: the worker is new and there are WorkerTable::kMaxWorkers. Else Heartbeat() may follow.
  absl::Status CheckRegistration(const std::string& worker_id) const;
  // Returns those of the leases that are no longer the worker's.
  std::vector<int64_t> Heartbeat(const std::string& worker_id, const std::string& host,
                                 const std::vector<int64_t>& lease_ids, absl::Time now);
  bool IsRegistered(const std::string& worker_id) const { return workers_.IsRegistered(worker_id); }
  // Without leases: no group for this worker now.
  absl::StatusOr<Granted> LeaseGroups(const std::string& worker_id, int max_groups, absl::Time now);
  absl::Status CompleteGroup(const std::string& worker_id, int64_t lease_id, CompletedGroup group, absl::Time now);
  absl::Status AbandonGroup(const std::string& worker_id, int64_t lease_id, const std::string& reason,
                            const std::string& detail, absl::Time now);
  // Frees leases past their deadline and lets jobs go whose trainer was asked to pause and is silent; says how many.
  // To be called about once a second.
  int ExpireOverdue(absl::Time now);

  // ---- the whole (coordinator_state.cc) ----
  CoordinatorStatus Status(absl::Time now) const;
  bool HasWaitingGroups() const;
  void SetGauges(absl::Time now) const;

 private:
  struct Group {
    GroupTask task;
    int64_t num_losses = 0;
    int64_t lease_id = 0;  // 0 = not leased
  };
  struct Batch {
    BatchRecord record;
    std::vector<Group> groups;                    // by index
    std::set<size_t> waiting;                     // places in `groups`
    std::vector<FinishedGroup> finished;          // in order of their ends
  };
  struct Lease {
    int64_t batch_id = 0;
    size_t group = 0;  // place in the batch
    std::string worker_id;
    AdapterName adapter;
    absl::Time deadline;
  };
  struct Job {
    JobRecord record;
    absl::Time heard;  // of its trainer
    std::string host;
    bool after_pause = false;  // its trainer, or its next one, goes on after a pause
  };
  struct Run {
    RunRecord record;
    std::vector<std::string> jobs;  // ids, by order
    std::set<std::string> event_keys;
    // Of a run whose last job has not ended:
    std::vector<AdapterName> adapters;
    std::map<std::string, int64_t> batches;  // key -> id
    int64_t num_leased = 0;
    absl::Time progress;  // its last event, or when its trainer got it
  };

  CoordinatorState(Options options, CoordinatorMetrics& metrics) : options_(options), metrics_(&metrics) {}
  absl::Status Take(StoreContents contents, absl::Time now);
  absl::Status TakeBatch(StoredBatch stored, absl::Time now);

  absl::StatusOr<Run*> FindRun(const std::string& run_id);
  absl::StatusOr<const Run*> FindRun(const std::string& run_id) const;
  // The job that `fence` holds, or Aborted; notes that its trainer lives.
  absl::StatusOr<Job*> Fenced(const JobFenceKey& fence, absl::Time now);
  absl::StatusOr<const Job*> Fenced(const JobFenceKey& fence) const;
  Job& LastJob(const Run& run) { return jobs_.at(run.jobs.back()); }
  void AddJob(Run& run, JobRecord job, absl::Time now);
  // Job and run get the phase; the run an event where it is new.
  void SetPhase(Run& run, Job& job, RunPhase phase, const std::string& error, absl::Time now);
  // False: the key is taken, and nothing happened.
  bool AddEvent(Run& run, const std::string& key, EventRecord event);
  void DropBatches(Run& run, std::optional<int64_t> keep_step);
  void DropBatch(Run& run, int64_t batch_id);
  int SlotsUsed() const;
  Job* ChooseJob(const TrainerOffer& offer, absl::Time now);
  void GiveTo(Run& run, Job& job, const TrainerOffer& offer, absl::Time now);

  // The adapter that a waiting group of the batch would be sampled with now; null: it has to wait.
  const AdapterName* AdapterFor(const Run& run, const Batch& batch) const;
  // The batch of the run whose groups are next; null: none waits that may start.
  Batch* FirstBatch(const Run& run);
  // The batch whose groups this worker gets; null: none.
  Batch* ChooseBatch(const std::string& worker_id);
  absl::StatusOr<Lease*> HeldLease(const std::string& worker_id, int64_t lease_id, absl::Time now);
  absl::Status CheckAdapter(const std::string& worker_id, const AdapterName& got, const AdapterName& expected) const;
  void EndLease(int64_t lease_id);
  void Finish(Batch& batch, FinishedGroup finished);
  // Queues the group again, or gives it up when it was lost too often.
  void LoseLease(int64_t lease_id, int64_t num_losses, const std::string& reason);

  Options options_;
  CoordinatorMetrics* metrics_;
  std::map<std::string, Run> runs_;
  std::map<std::string, Job> jobs_;
  std::set<std::string> open_runs_;  // whose last job has not ended
  std::map<int64_t, Batch> batches_;
  std::unordered_map<int64_t, Lease> leases_;
  WorkerTable workers_;
  int64_t epoch_ = 0;
  int64_t last_lease_ = 0;  // of this epoch
  int64_t last_batch_id_ = 0;
  int64_t last_job_order_ = 0;
  std::vector<StoreChange> changes_;
  Changed changed_;
};

}  // namespace evilmoe
