#include "rollout_workers/worker_session.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/process.h"
#include "common/status_macros.h"
#include "rollout_workers/call_outcome.h"
#include "rollout_workers/retry_pause.h"

namespace evilmoe {
namespace {

constexpr size_t kMaxRemembered = 256;  // acknowledgements; one that is forgotten is said again

std::string NameOf(const v1::AdapterVersion& version) { return absl::StrCat(version.run_id(), "/", version.sha256()); }

}  // namespace

WorkerSession::WorkerSession(std::string worker_id, CoordinatorClient& coordinator, GroupsInFlight& in_flight,
                             RolloutMetrics& metrics, const Clock& clock, Logger& logger)
    : worker_id_(std::move(worker_id)),
      host_(HostName()),
      coordinator_(coordinator),
      in_flight_(in_flight),
      metrics_(metrics),
      clock_(clock),
      logger_(logger) {}

absl::Status WorkerSession::Note(absl::Status status) {
  if (OutcomeOf(status) != CallOutcome::kForbidden) return status;
  MutexLock lock(mu_);
  if (failure_.ok()) {
    failure_ = Annotate(status, "the coordinator refuses this worker; check the token, its role and the address");
  }
  return failure_;
}

absl::Status WorkerSession::failure() const {
  MutexLock lock(mu_);
  return failure_;
}

absl::Duration WorkerSession::heartbeat_interval() const {
  MutexLock lock(mu_);
  return heartbeat_interval_;
}

std::vector<int64_t> WorkerSession::TakeLost() {
  MutexLock lock(mu_);
  return std::exchange(lost_, {});
}

absl::Status WorkerSession::Begin(const std::stop_token& stop) {
  RetryPause pause(worker_id_);
  while (true) {
    const absl::Status sent = SendHeartbeat();
    const CallOutcome outcome = OutcomeOf(sent);
    if (outcome == CallOutcome::kOk || outcome == CallOutcome::kForbidden || outcome == CallOutcome::kRefused) {
      return sent;
    }
    if (!PauseFor(pause.Next(), stop)) return absl::CancelledError("stopped before the coordinator answered");
  }
}

void WorkerSession::HeartbeatLoop(const std::stop_token& stop) {
  RetryPause pause(worker_id_);
  absl::Duration wait = heartbeat_interval();
  while (PauseFor(wait, stop)) {
    const bool sent = SendHeartbeat().ok();
    wait = heartbeat_interval();
    if (sent)
      pause.Reset();
    else
      wait = std::min(wait, pause.Next());
  }
}

absl::Status WorkerSession::SendHeartbeat() {
  const absl::Status sent = CallHeartbeat();
  if (!sent.ok()) {
    NoteAway(sent);
    return sent;
  }
  std::optional<absl::Time> away_since;
  {
    MutexLock lock(mu_);
    away_since = std::exchange(away_since_, std::nullopt);
  }
  if (away_since) ComeBack(clock_.Now() - *away_since);
  return absl::OkStatus();
}

absl::Status WorkerSession::CallHeartbeat() {
  v1::HeartbeatRequest request;
  request.set_worker_id(worker_id_);
  request.set_host(host_);
  for (const int64_t id : in_flight_.LeaseIds()) request.add_lease_ids(id);
  const absl::StatusOr<v1::HeartbeatResponse> response = coordinator_.Heartbeat(request);
  EVILMOE_RETURN_IF_ERROR(Note(response.status()));
  NoteLost(*response);
  return absl::OkStatus();
}

void WorkerSession::NoteAway(const absl::Status& status) {
  MutexLock lock(mu_);
  if (away_since_) return;  // said before
  away_since_ = clock_.Now();
  logger_.Warn("coordinator_away", {{"error", std::string(status.message())}});
}

void WorkerSession::NoteLost(const v1::HeartbeatResponse& response) {
  for (const int64_t id : response.lost_lease_ids()) {
    if (!in_flight_.DropUnfinished(id)) continue;
    logger_.Warn("lease_lost", {{"lease_id", id}});
    MutexLock lock(mu_);
    lost_.push_back(id);
  }
  if (response.lease_timeout_ms() <= 0) return;
  MutexLock lock(mu_);
  heartbeat_interval_ = absl::Milliseconds(response.lease_timeout_ms()) / 4;
}

void WorkerSession::ComeBack(absl::Duration away) {
  metrics_.reconnects.Increment();
  logger_.Info("coordinator_back", {{"away_s", absl::ToDoubleSeconds(away)}});
  {
    MutexLock lock(mu_);
    acknowledged_.clear();
  }
  for (const v1::AdapterVersion& version : in_flight_.Adapters()) {
    // Refused where its groups are lost too; those find out by themselves.
    if (const absl::Status told = Acknowledge(version); !told.ok()) {
      logger_.Warn("adapter_not_acknowledged", {{"sha256", version.sha256()}, {"error", std::string(told.message())}});
    }
  }
}

absl::StatusOr<v1::LeaseGroupsResponse> WorkerSession::Lease(int max_groups, absl::Duration wait) {
  v1::LeaseGroupsRequest request;
  request.set_worker_id(worker_id_);
  request.set_max_groups(max_groups);
  request.set_wait_ms(static_cast<int32_t>(absl::ToInt64Milliseconds(wait)));
  absl::StatusOr<v1::LeaseGroupsResponse> response = coordinator_.LeaseGroups(request);
  if (OutcomeOf(response.status()) == CallOutcome::kUnknown) {  // it started again
    NoteAway(response.status());
    // Whichever heartbeat gets through first, this one or that of the other thread, comes back, and comes back once.
    EVILMOE_RETURN_IF_ERROR(SendHeartbeat());
    response = coordinator_.LeaseGroups(request);
  }
  EVILMOE_RETURN_IF_ERROR(Note(response.status()));
  return response;
}

absl::Status WorkerSession::Acknowledge(const v1::AdapterVersion& version) {
  {
    MutexLock lock(mu_);
    if (acknowledged_.contains(NameOf(version))) return absl::OkStatus();
  }
  v1::AcknowledgeAdapterRequest request;
  request.set_worker_id(worker_id_);
  *request.mutable_version() = version;
  EVILMOE_RETURN_IF_ERROR(Note(coordinator_.AcknowledgeAdapter(request).status()));
  MutexLock lock(mu_);
  if (acknowledged_.size() >= kMaxRemembered) acknowledged_.clear();
  acknowledged_.insert(NameOf(version));
  return absl::OkStatus();
}

absl::Status WorkerSession::Complete(const v1::CompleteGroupRequest& request) {
  const absl::Status done = Note(coordinator_.CompleteGroup(request).status());
  if (OutcomeOf(done) != CallOutcome::kUnknown) return done;
  {
    MutexLock lock(mu_);
    acknowledged_.erase(NameOf(request.result().adapter()));
  }
  // A refusal of that is no news: the group's own tells which adapter it wants.
  if (const absl::Status told = Acknowledge(request.result().adapter()); !told.ok()) {
    return OutcomeOf(told) == CallOutcome::kUnknown ? done : told;
  }
  return Note(coordinator_.CompleteGroup(request).status());
}

absl::Status WorkerSession::Abandon(const v1::AbandonGroupRequest& request) {
  return Note(coordinator_.AbandonGroup(request).status());
}

}  // namespace evilmoe
