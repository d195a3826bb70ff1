#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/logger.h"
#include "common/mutex.h"
#include "services/coordinator/commit_loop.h"
#include "services/coordinator/coordinator_metrics.h"
#include "services/coordinator/coordinator_state.h"
#include "services/coordinator/parked_calls.h"
#include "services/coordinator/store.h"

namespace evilmoe {

// How long a call may wait for something to happen (capped at kMaxWait), and who asks: `gone` says that the caller
// has hung up, so that nothing is handed to it; nullptr = never.
struct WaitOptions {
  absl::Duration wait = absl::ZeroDuration();
  std::function<bool()> gone;
};

// Takes an answer: once, on any thread, without a lock of the core.
template <typename T>
using Reply = std::function<void(absl::StatusOr<T>)>;
using StatusReply = std::function<void(absl::Status)>;

// The coordinator without its face: one method an RPC, with the codes and promises of coordinator.proto. A call changes
// the state under one mutex, which is never held across a write or a reply; its answer is given when all that the state
// held then is durable (commit_loop.h), so nobody ever learns what a crash could take back. A call that has to wait is
// parked and holds no thread.
//
// Thread-safe. All references must outlive it; answers may come until it is destroyed.
class CoordinatorCore {
 public:
  using Options = CoordinatorState::Options;
  static constexpr absl::Duration kMaxWait = absl::Seconds(30);
  static constexpr size_t kMaxFetchBytes = size_t{64} << 20;  // of results in one answer: well inside a message

  struct Watchers {
    // A run has a new event or another state, both durable. On any thread, without a lock; must return soon.
    std::function<void(const std::string& run_id)> run_changed;
    // The store can take nothing more; the coordinator answers Unavailable from now on.
    std::function<void(absl::Status)> broken;
  };

  // Errors of Store::Load() and CoordinatorState::Create().
  static absl::StatusOr<std::unique_ptr<CoordinatorCore>> Create(Store& store, Options options, const Clock& clock,
                                                                 Logger& logger, CoordinatorMetrics& metrics,
                                                                 Watchers watchers = {});

  // ---- runs, jobs, events ----
  void SubmitRun(RunRecord run, Reply<RunRecord> reply);
  void SubmitJob(JobRecord job, StatusReply reply);
  void GetRun(const std::string& run_id, Reply<RunRecord> reply);
  void ListRuns(const std::string& sweep, Reply<std::vector<RunRecord>> reply);
  void CancelRun(const std::string& run_id, Reply<RunRecord> reply);
  void PauseRun(const std::string& run_id, Reply<RunRecord> reply);
  void ResumeRun(const std::string& run_id, Reply<RunRecord> reply);
  void RetryRun(const std::string& run_id, Reply<RunRecord> reply);
  struct EventPage {
    std::vector<EventRecord> events;
    RunRecord run;
  };
  void ListEvents(const std::string& run_id, int64_t after_seq, int limit, const WaitOptions& wait,
                  Reply<EventPage> reply);
  void AcquireJob(const TrainerOffer& offer, const WaitOptions& wait, Reply<AcquiredJob> reply);
  void HeartbeatJob(const JobFenceKey& fence, Reply<bool> reply);
  void ReleaseJob(const JobFenceKey& fence, StatusReply reply);
  void BeginJob(const JobFenceKey& fence, int64_t resume_step, const std::string& model_fingerprint,
                StatusReply reply);
  void RecordEvent(const JobFenceKey& fence, const std::string& key, EventRecord event, int64_t steps_done,
                   Reply<bool> reply);
  void FinishJob(const JobFenceKey& fence, bool ok, const std::string& error, StatusReply reply);

  // ---- adapters (core_adapters.cc) ----
  // Hashes and writes before it returns: not for a thread that serves others.
  void PublishAdapter(const JobFenceKey& fence, AdapterName adapter, const std::string& bytes, StatusReply reply);
  // The file with its bytes.
  absl::StatusOr<std::filesystem::path> AdapterFile(const AdapterName& adapter);
  void AcknowledgeAdapter(const std::string& worker_id, const AdapterName& adapter, StatusReply reply);

  // ---- batches ----
  void OpenBatch(const JobFenceKey& fence, BatchRecord batch, std::vector<GroupTask> groups, StatusReply reply);
  void FetchGroups(const JobFenceKey& fence, const std::string& key, int64_t after, const WaitOptions& wait,
                   Reply<FetchedGroups> reply);
  void CloseBatch(const JobFenceKey& fence, const std::string& key, StatusReply reply);

  // ---- workers and leases ----
  void Heartbeat(const std::string& worker_id, const std::string& host, const std::vector<int64_t>& lease_ids,
                 Reply<std::vector<int64_t>> reply);
  void LeaseGroups(const std::string& worker_id, int max_groups, const WaitOptions& wait, Reply<Granted> reply);
  void CompleteGroup(const std::string& worker_id, int64_t lease_id, CompletedGroup group, StatusReply reply);
  void AbandonGroup(const std::string& worker_id, int64_t lease_id, const std::string& reason,
                    const std::string& detail, StatusReply reply);

  // ---- the process ----
  void GetStatus(Reply<CoordinatorStatus> reply);
  // Of one run as it is now, durable or not; for the process itself. NotFound.
  absl::StatusOr<RunRecord> PeekRun(const std::string& run_id);
  std::vector<RunRecord> PeekRuns();
  // Frees leases past their deadline; says how many. To be called about once a second.
  int ExpireOverdue();
  // Answers parked calls whose wait is over. To be called many times a second.
  void GiveUpWaits();
  void UpdateGauges();
  // Ends every wait, now and later, with Unavailable.
  void Stop();
  Store& store() { return store_; }
  const Options& options() const { return options_; }

 private:
  CoordinatorCore(Store& store, CoordinatorState state, Options options, const Clock& clock, Logger& logger,
                  CoordinatorMetrics& metrics, Watchers watchers);

  // Runs op(state, now) and has its result answered once it is durable.
  template <typename Result, typename Op>
  void Call(Op op, std::function<void(Result)> reply) ABSL_LOCKS_EXCLUDED(mu_);
  // The same for what gives an optional: where that is empty, again at every change of `topic`, until it gives something
  // or the wait is over; then it is `nothing`().
  template <typename T, typename Op, typename Nothing>
  void CallOrPark(const std::string& topic, const WaitOptions& wait, Op op, Nothing nothing, Reply<T> reply)
      ABSL_LOCKS_EXCLUDED(mu_);
  template <typename Result>
  void AnswerLocked(Result result, std::function<void(Result)> reply) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Hands on what the state changed: to the store, and to parked calls, whose turn may change more.
  void SettleLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void LogLocked(const std::vector<StoreChange>& changes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void RunIsDurable(const std::string& run_id, int64_t last_seq) ABSL_LOCKS_EXCLUDED(mu_);
  using Ready = std::vector<std::function<void()>>;
  Ready TakeReadyLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return std::exchange(ready_, {}); }
  static void Answer(const Ready& ready) {
    for (const auto& one : ready) one();
  }
  absl::Time DeadlineOf(const WaitOptions& wait) const;

  const Options options_;
  const Watchers watchers_;
  Store& store_;
  const Clock& clock_;
  Logger& logger_;
  CoordinatorMetrics& metrics_;
  Mutex mu_;
  CoordinatorState state_ ABSL_GUARDED_BY(mu_);
  ParkedCalls parked_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, int64_t> durable_seq_ ABSL_GUARDED_BY(mu_);  // of a run's events; absent: none
  Ready ready_ ABSL_GUARDED_BY(mu_);                                 // answers to be given once the lock is free
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  CommitLoop commits_;  // last: its thread uses all of the above
};

template <typename Result>
void CoordinatorCore::AnswerLocked(Result result, std::function<void(Result)> reply) {
  std::vector<StoreChange> changes = state_.TakeChanges();
  LogLocked(changes);
  // A reply is copied around; a result may be large.
  const auto held = std::make_shared<Result>(std::move(result));
  const auto answer = [held, reply = std::move(reply)](const absl::Status& durable) {
    reply(durable.ok() ? std::move(*held) : Result(durable));
  };
  if (!commits_.Add(std::move(changes), answer)) ready_.push_back([answer] { answer(absl::OkStatus()); });
}

template <typename Result, typename Op>
void CoordinatorCore::Call(Op op, std::function<void(Result)> reply) {
  Ready ready;
  {
    MutexLock lock(mu_);
    if (stopping_) {
      ready.push_back([reply] { reply(Result(absl::UnavailableError("the coordinator is stopping"))); });
    } else {
      AnswerLocked<Result>(op(state_, clock_.Now()), std::move(reply));
      SettleLocked();
      ready = TakeReadyLocked();
    }
  }
  Answer(ready);
}

template <typename T, typename Op, typename Nothing>
void CoordinatorCore::CallOrPark(const std::string& topic, const WaitOptions& wait, Op op, Nothing nothing,
                                 Reply<T> reply) {
  const auto attempt = [this, op, reply]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    absl::StatusOr<std::optional<T>> result = op(state_, clock_.Now());
    if (result.ok() && !result->has_value()) return false;
    AnswerLocked<absl::StatusOr<T>>(result.ok() ? absl::StatusOr<T>(**std::move(result)) : result.status(), reply);
    return true;
  };
  const auto give_up = [this, nothing, reply]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    AnswerLocked<absl::StatusOr<T>>(
        stopping_ ? absl::StatusOr<T>(absl::UnavailableError("the coordinator is stopping")) : nothing(), reply);
  };
  Ready ready;
  {
    MutexLock lock(mu_);
    const bool gone = wait.gone && wait.gone();
    if (stopping_ || gone) {
      ready.push_back([reply, gone] {
        reply(absl::UnavailableError(gone ? "the caller has hung up" : "the coordinator is stopping"));
      });
    } else if (attempt()) {
      SettleLocked();
    } else if (wait.wait <= absl::ZeroDuration()) {
      give_up();
    } else {
      parked_.Park(topic, {.deadline = DeadlineOf(wait), .gone = wait.gone, .attempt = attempt, .give_up = give_up});
    }
    for (auto& one : TakeReadyLocked()) ready.push_back(std::move(one));
  }
  Answer(ready);
}

}  // namespace evilmoe
