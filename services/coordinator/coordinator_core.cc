#include "services/coordinator/coordinator_core.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace evilmoe {
namespace {

constexpr int kDefaultEvents = 1000;
constexpr int kMaxEvents = 10000;
constexpr int kEventsAtATime = 64;                   // read from the store: a bound on bytes
constexpr size_t kMaxEventBytes = size_t{16} << 20;  // of an answer, but for the last of these reads
constexpr const char* kJobs = "jobs";
constexpr const char* kLeases = "leases";

std::string EventsTopic(const std::string& run_id) { return absl::StrCat("events/", run_id); }
std::string BatchTopic(int64_t batch_id) { return absl::StrCat("batch/", batch_id); }
bool Always() { return true; }

// Events after `after_seq`, at most `most` of them, fewer where they are large; at least one if there is one.
absl::StatusOr<std::vector<EventRecord>> ReadPage(Store& store, const std::string& run_id, int64_t after_seq,
                                                  int most) {
  std::vector<EventRecord> page;
  for (size_t num_bytes = 0; num_bytes < kMaxEventBytes && std::ssize(page) < most;) {
    const int wanted = std::min(kEventsAtATime, most - static_cast<int>(page.size()));
    EVILMOE_ASSIGN_OR_RETURN(std::vector<EventRecord> next,
                             store.ReadEvents(run_id, page.empty() ? after_seq : page.back().seq, wanted));
    for (EventRecord& event : next) {
      num_bytes += event.payload_json.size();
      page.push_back(std::move(event));
    }
    if (std::ssize(next) < wanted) break;
  }
  return page;
}

}  // namespace

absl::StatusOr<std::unique_ptr<CoordinatorCore>> CoordinatorCore::Create(Store& store, Options options,
                                                                         const Clock& clock, Logger& logger,
                                                                         CoordinatorMetrics& metrics,
                                                                         Watchers watchers) {
  EVILMOE_ASSIGN_OR_RETURN(StoreContents contents, store.Load());
  logger.Info("store_loaded", {{"store", store.Description()},
                               {"epoch", contents.epoch},
                               {"runs", contents.runs.size()},
                               {"open_batches", contents.batches.size()}});
  EVILMOE_ASSIGN_OR_RETURN(CoordinatorState state,
                           CoordinatorState::Create(std::move(contents), options, clock.Now(), metrics));
  return std::unique_ptr<CoordinatorCore>(
      new CoordinatorCore(store, std::move(state), options, clock, logger, metrics, std::move(watchers)));
}

CoordinatorCore::CoordinatorCore(Store& store, CoordinatorState state, Options options, const Clock& clock,
                                 Logger& logger, CoordinatorMetrics& metrics, Watchers watchers)
    : options_(options),
      watchers_(std::move(watchers)),
      store_(store),
      clock_(clock),
      logger_(logger),
      metrics_(metrics),
      state_(std::move(state)),
      commits_(store, logger, metrics, [this](const absl::Status& why) {
        if (watchers_.broken) watchers_.broken(why);
      }) {
  MutexLock lock(mu_);
  for (const RunRecord& run : state_.ListRuns("")) durable_seq_[run.run_id] = run.last_seq;
}

absl::Time CoordinatorCore::DeadlineOf(const WaitOptions& wait) const {
  return clock_.Now() + std::min(wait.wait, kMaxWait);
}

void CoordinatorCore::LogLocked(const std::vector<StoreChange>& changes) {
  for (const StoreChange& change : changes) {
    if (const auto* event = std::get_if<PutEvent>(&change); event != nullptr && event->event.kind == "state") {
      logger_.Info("run_state", {{"run", event->run_id}, {"change", event->event.payload_json}});
    } else if (const auto* adapter = std::get_if<PutAdapter>(&change)) {
      logger_.Info("adapter_published", {{"run", adapter->adapter.run_id},
                                         {"step", adapter->adapter.step},
                                         {"sha256", adapter->adapter.sha256}});
    } else if (const auto* batch = std::get_if<PutBatch>(&change)) {
      logger_.Info("batch_opened", {{"run", batch->batch.run_id}, {"batch", batch->batch.key},
                                    {"groups", batch->groups->size()}});
    } else if (const auto* requeued = std::get_if<RequeueGroup>(&change)) {
      logger_.Warn("group_requeued", {{"batch", requeued->batch_id}, {"group", requeued->index},
                                      {"losses", requeued->num_losses}});
    } else if (const auto* done = std::get_if<FinishGroup>(&change); done != nullptr && done->group.result == nullptr) {
      logger_.Warn("group_lost", {{"batch", done->batch_id}, {"group", done->group.index},
                                  {"reason", done->group.lost_reason}});
    }
  }
}

void CoordinatorCore::SettleLocked() {
  while (true) {
    const Changed changed = state_.TakeChanged();
    for (const std::string& run_id : changed.runs) {
      const int64_t last_seq = state_.GetRun(run_id)->last_seq;
      const auto durable = [this, run_id, last_seq](const absl::Status& status) {
        if (status.ok()) RunIsDurable(run_id, last_seq);
      };
      // Where nothing is to be written any more, it is told once the lock is free.
      if (!commits_.Add(state_.TakeChanges(), durable)) ready_.push_back([durable] { durable(absl::OkStatus()); });
    }
    if (changed.jobs) parked_.Wake(kJobs, Always);
    if (changed.leases) {
      parked_.Wake(kLeases, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return state_.HasWaitingGroups(); });
    }
    for (const int64_t batch_id : changed.batches) parked_.Wake(BatchTopic(batch_id), Always);
    const bool quiet = !changed.jobs && !changed.leases && changed.batches.empty() && changed.runs.empty();
    if (quiet) return;
  }
}

void CoordinatorCore::RunIsDurable(const std::string& run_id, int64_t last_seq) {
  Ready ready;
  {
    MutexLock lock(mu_);
    int64_t& durable = durable_seq_[run_id];
    durable = std::max(durable, last_seq);
    parked_.Wake(EventsTopic(run_id), Always);
    ready = TakeReadyLocked();
  }
  Answer(ready);
  if (watchers_.run_changed) watchers_.run_changed(run_id);
}

// ---- runs, jobs, events ----

void CoordinatorCore::SubmitRun(RunRecord run, Reply<RunRecord> reply) {
  Call<absl::StatusOr<RunRecord>>(
      [&run](CoordinatorState& state, absl::Time now) { return state.SubmitRun(std::move(run), now); },
      std::move(reply));
}

void CoordinatorCore::SubmitJob(JobRecord job, StatusReply reply) {
  Call<absl::Status>([&job](CoordinatorState& state, absl::Time now) { return state.SubmitJob(std::move(job), now); },
                     std::move(reply));
}

void CoordinatorCore::GetRun(const std::string& run_id, Reply<RunRecord> reply) {
  Call<absl::StatusOr<RunRecord>>([&run_id](CoordinatorState& state, absl::Time) { return state.GetRun(run_id); },
                                  std::move(reply));
}

void CoordinatorCore::ListRuns(const std::string& sweep, Reply<std::vector<RunRecord>> reply) {
  using Result = absl::StatusOr<std::vector<RunRecord>>;
  Call<Result>([&sweep](CoordinatorState& state, absl::Time) { return Result(state.ListRuns(sweep)); },
               std::move(reply));
}

void CoordinatorCore::CancelRun(const std::string& run_id, Reply<RunRecord> reply) {
  Call<absl::StatusOr<RunRecord>>(
      [&run_id](CoordinatorState& state, absl::Time now) { return state.CancelRun(run_id, now); }, std::move(reply));
}

void CoordinatorCore::PauseRun(const std::string& run_id, Reply<RunRecord> reply) {
  Call<absl::StatusOr<RunRecord>>(
      [&run_id](CoordinatorState& state, absl::Time now) { return state.PauseRun(run_id, now); }, std::move(reply));
}

void CoordinatorCore::ResumeRun(const std::string& run_id, Reply<RunRecord> reply) {
  Call<absl::StatusOr<RunRecord>>(
      [&run_id](CoordinatorState& state, absl::Time now) { return state.ResumeRun(run_id, now); }, std::move(reply));
}

void CoordinatorCore::RetryRun(const std::string& run_id, Reply<RunRecord> reply) {
  Call<absl::StatusOr<RunRecord>>(
      [&run_id](CoordinatorState& state, absl::Time now) { return state.RetryRun(run_id, now); }, std::move(reply));
}

void CoordinatorCore::ListEvents(const std::string& run_id, int64_t after_seq, int limit, const WaitOptions& wait,
                                 Reply<EventPage> reply) {
  const int most = limit <= 0 ? kDefaultEvents : std::min(limit, kMaxEvents);
  // The store is read when the lock is free again, by whoever answers.
  const auto read = [this, run_id, after_seq, most, reply](absl::StatusOr<RunRecord> run) {
    if (!run.ok()) return reply(run.status());
    EventPage page{.run = *std::move(run)};
    absl::StatusOr<std::vector<EventRecord>> events = ReadPage(store_, run_id, after_seq, most);
    if (!events.ok()) return reply(events.status());
    page.events = *std::move(events);
    reply(std::move(page));
  };
  const auto look = [this, run_id, after_seq](CoordinatorState& state, absl::Time) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_)
      -> absl::StatusOr<std::optional<RunRecord>> {
    EVILMOE_ASSIGN_OR_RETURN(RunRecord run, state.GetRun(run_id));
    const auto durable = durable_seq_.find(run_id);
    if (durable == durable_seq_.end() || durable->second <= after_seq) return std::optional<RunRecord>();
    return std::optional(std::move(run));
  };
  const auto nothing = [this, run_id]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return state_.GetRun(run_id); };
  CallOrPark<RunRecord>(EventsTopic(run_id), wait, look, nothing, read);
}

void CoordinatorCore::AcquireJob(const TrainerOffer& offer, const WaitOptions& wait, Reply<AcquiredJob> reply) {
  CallOrPark<AcquiredJob>(
      kJobs, wait, [offer](CoordinatorState& state, absl::Time now) { return state.AcquireJob(offer, now); },
      [] { return absl::StatusOr<AcquiredJob>(absl::NotFoundError("no job waits for a trainer")); }, std::move(reply));
}

void CoordinatorCore::HeartbeatJob(const JobFenceKey& fence, Reply<bool> reply) {
  Call<absl::StatusOr<bool>>(
      [&fence](CoordinatorState& state, absl::Time now) { return state.HeartbeatJob(fence, now); }, std::move(reply));
}

void CoordinatorCore::ReleaseJob(const JobFenceKey& fence, StatusReply reply) {
  Call<absl::Status>([&fence](CoordinatorState& state, absl::Time now) { return state.ReleaseJob(fence, now); },
                     std::move(reply));
}

void CoordinatorCore::BeginJob(const JobFenceKey& fence, int64_t resume_step, const std::string& model_fingerprint,
                               StatusReply reply) {
  Call<absl::Status>(
      [&](CoordinatorState& state, absl::Time now) {
        return state.BeginJob(fence, resume_step, model_fingerprint, now);
      },
      std::move(reply));
}

void CoordinatorCore::RecordEvent(const JobFenceKey& fence, const std::string& key, EventRecord event,
                                  int64_t steps_done, Reply<bool> reply) {
  Call<absl::StatusOr<bool>>(
      [&](CoordinatorState& state, absl::Time now) {
        return state.RecordEvent(fence, key, std::move(event), steps_done, now);
      },
      std::move(reply));
}

void CoordinatorCore::FinishJob(const JobFenceKey& fence, bool ok, const std::string& error, StatusReply reply) {
  Call<absl::Status>(
      [&](CoordinatorState& state, absl::Time now) { return state.FinishJob(fence, ok, error, now); },
      std::move(reply));
}

// ---- batches ----

void CoordinatorCore::OpenBatch(const JobFenceKey& fence, BatchRecord batch, std::vector<GroupTask> groups,
                                StatusReply reply) {
  Call<absl::Status>(
      [&](CoordinatorState& state, absl::Time now) {
        return state.OpenBatch(fence, std::move(batch), std::move(groups), now);
      },
      std::move(reply));
}

void CoordinatorCore::FetchGroups(const JobFenceKey& fence, const std::string& key, int64_t after,
                                  const WaitOptions& wait, Reply<FetchedGroups> reply) {
  int64_t batch_id = 0;
  {
    MutexLock lock(mu_);
    batch_id = state_.FindBatch(fence, key).value_or(0);  // 0: the call will fail, and wait for nothing
  }
  CallOrPark<FetchedGroups>(
      BatchTopic(batch_id), wait,
      [fence, key, after](CoordinatorState& state, absl::Time now) {
        return state.FetchGroups(fence, key, after, kMaxFetchBytes, now);
      },
      // Looked for again: the batch may be another one by now, or none.
      [this, fence, key, after]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) -> absl::StatusOr<FetchedGroups> {
        EVILMOE_ASSIGN_OR_RETURN(const int64_t id, state_.FindBatch(fence, key));
        return state_.Progress(id, after);
      },
      std::move(reply));
}

void CoordinatorCore::CloseBatch(const JobFenceKey& fence, const std::string& key, StatusReply reply) {
  Call<absl::Status>([&](CoordinatorState& state, absl::Time now) { return state.CloseBatch(fence, key, now); },
                     std::move(reply));
}

// ---- workers and leases ----

void CoordinatorCore::Heartbeat(const std::string& worker_id, const std::string& host,
                                const std::vector<int64_t>& lease_ids, Reply<std::vector<int64_t>> reply) {
  using Result = absl::StatusOr<std::vector<int64_t>>;
  Call<Result>(
      [&](CoordinatorState& state, absl::Time now) {
        if (absl::Status fits = state.CheckRegistration(worker_id); !fits.ok()) return Result(std::move(fits));
        if (!state.IsRegistered(worker_id)) logger_.Info("worker_registered", {{"worker", worker_id}, {"host", host}});
        return Result(state.Heartbeat(worker_id, host, lease_ids, now));
      },
      std::move(reply));
}

void CoordinatorCore::LeaseGroups(const std::string& worker_id, int max_groups, const WaitOptions& wait,
                                  Reply<Granted> reply) {
  CallOrPark<Granted>(
      kLeases, wait,
      [worker_id, max_groups](CoordinatorState& state, absl::Time now) -> absl::StatusOr<std::optional<Granted>> {
        EVILMOE_ASSIGN_OR_RETURN(Granted granted, state.LeaseGroups(worker_id, max_groups, now));
        return granted.leases.empty() ? std::nullopt : std::optional(std::move(granted));
      },
      [] { return absl::StatusOr<Granted>(Granted()); }, std::move(reply));
}

void CoordinatorCore::CompleteGroup(const std::string& worker_id, int64_t lease_id, CompletedGroup group,
                                    StatusReply reply) {
  Call<absl::Status>(
      [&](CoordinatorState& state, absl::Time now) {
        absl::Status done = state.CompleteGroup(worker_id, lease_id, std::move(group), now);
        if (absl::IsFailedPrecondition(done)) {
          logger_.Warn("adapter_refused", {{"worker", worker_id}, {"error", std::string(done.message())}});
        }
        return done;
      },
      std::move(reply));
}

void CoordinatorCore::AbandonGroup(const std::string& worker_id, int64_t lease_id, const std::string& reason,
                                   const std::string& detail, StatusReply reply) {
  Call<absl::Status>(
      [&](CoordinatorState& state, absl::Time now) {
        return state.AbandonGroup(worker_id, lease_id, reason, detail, now);
      },
      std::move(reply));
}

// ---- the process ----

void CoordinatorCore::GetStatus(Reply<CoordinatorStatus> reply) {
  using Result = absl::StatusOr<CoordinatorStatus>;
  Call<Result>([](CoordinatorState& state, absl::Time now) { return Result(state.Status(now)); }, std::move(reply));
}

absl::StatusOr<RunRecord> CoordinatorCore::PeekRun(const std::string& run_id) {
  MutexLock lock(mu_);
  return state_.GetRun(run_id);
}

std::vector<RunRecord> CoordinatorCore::PeekRuns() {
  MutexLock lock(mu_);
  return state_.ListRuns("");
}

int CoordinatorCore::ExpireOverdue() {
  Ready ready;
  int freed = 0;
  {
    MutexLock lock(mu_);
    freed = state_.ExpireOverdue(clock_.Now());
    AnswerLocked<absl::Status>(absl::OkStatus(), [](const absl::Status&) {});
    SettleLocked();
    ready = TakeReadyLocked();
  }
  Answer(ready);
  return freed;
}

void CoordinatorCore::GiveUpWaits() {
  Ready ready;
  {
    MutexLock lock(mu_);
    parked_.GiveUp(clock_.Now());
    ready = TakeReadyLocked();
  }
  Answer(ready);
}

void CoordinatorCore::UpdateGauges() {
  MutexLock lock(mu_);
  state_.SetGauges(clock_.Now());
  metrics_.calls_waiting.Set(static_cast<double>(parked_.size()));
}

void CoordinatorCore::Stop() {
  Ready ready;
  {
    MutexLock lock(mu_);
    stopping_ = true;
    parked_.GiveUp(absl::InfiniteFuture());
    ready = TakeReadyLocked();
  }
  Answer(ready);
}

}  // namespace evilmoe
