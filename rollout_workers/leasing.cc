#include "rollout_workers/leasing.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "rollout_workers/call_outcome.h"
#include "rollout_workers/retry_pause.h"

namespace evilmoe {
namespace {

constexpr absl::Duration kSlice = absl::Milliseconds(200);
constexpr int kMaxTries = 10;  // at a coordinator that answers, with an error

}  // namespace

void Leasing::Want(const std::vector<std::string>& held_adapters) {
  MutexLock lock(mu_);
  wanted_ = true;
  held_ = {held_adapters.begin(), held_adapters.end()};
  mu_.NotifyAll();
}

std::optional<LeasedGroups> Leasing::Take(absl::Duration timeout) {
  MutexLock lock(mu_);
  mu_.AwaitFor(timeout, [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return ready_.has_value() || woken_; });
  woken_ = false;
  return std::exchange(ready_, std::nullopt);
}

void Leasing::Wake() {
  MutexLock lock(mu_);
  woken_ = true;
  mu_.NotifyAll();
}

bool Leasing::AwaitWanted(const std::stop_token& stop) {
  MutexLock lock(mu_);
  mu_.AwaitFor(kSlice, [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return wanted_ || stop.stop_requested(); });
  return wanted_ && !stop.stop_requested();
}

void Leasing::Loop(const std::stop_token& stop) {
  const std::stop_callback wake(stop, [this] { Wake(); });
  RetryPause pause(parts_.session.worker_id());
  while (!stop.stop_requested() && parts_.session.failure().ok()) {
    if (!AwaitWanted(stop)) continue;
    if (LeaseOnce(stop))
      pause.Reset();
    else
      PauseFor(pause.Next(), stop);
  }
  MutexLock lock(mu_);
  ended_ = true;
  mu_.NotifyAll();
}

bool Leasing::AwaitEnd(absl::Duration timeout) {
  MutexLock lock(mu_);
  return mu_.AwaitFor(timeout, [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return ended_; });
}

bool Leasing::LeaseOnce(const std::stop_token& stop) {
  absl::StatusOr<v1::LeaseGroupsResponse> response = parts_.session.Lease(1, kLeaseWait);
  if (!response.ok()) {
    // That it is away, the session says once.
    if (OutcomeOf(response.status()) != CallOutcome::kLater) {
      parts_.logger.Warn("lease_failed", {{"error", std::string(response.status().message())}});
    }
    return false;
  }
  if (response->leases().empty()) return true;
  LeasedGroups groups{.response = *std::move(response)};
  const v1::AdapterVersion& adapter = groups.response.adapter();
  for (const v1::Lease& lease : groups.response.leases()) parts_.in_flight.Begin(lease, adapter, parts_.clock.Now());
  const absl::Status ready = stop.stop_requested() ? absl::CancelledError("worker is stopping") : Prepare(groups, stop);
  if (!ready.ok()) {
    GiveBack(groups, ready, stop);
    return false;
  }
  MutexLock lock(mu_);
  wanted_ = false;
  ready_ = std::move(groups);
  mu_.NotifyAll();
  return true;
}

absl::Status Leasing::Prepare(LeasedGroups& groups, const std::stop_token& stop) {
  EVILMOE_RETURN_IF_ERROR(CheckModel(groups));
  const v1::AdapterVersion& version = groups.response.adapter();
  bool held = false;
  {
    MutexLock lock(mu_);
    held = held_.contains(version.sha256());
  }
  absl::Status done;
  if (!held) done = Persist(groups, stop, [&] { return FetchAdapter(groups, stop); });
  // Its bytes have the hash, so they may be acknowledged although they are not loaded yet.
  if (done.ok()) done = Persist(groups, stop, [&] { return parts_.session.Acknowledge(version); });
  return absl::IsFailedPrecondition(done) ? absl::AbortedError(std::string(done.message())) : done;  // no model's fault
}

// FailedPrecondition: the run's base model is not to be had here.
absl::Status Leasing::CheckModel(LeasedGroups& groups) {
  const v1::LeaseGroupsResponse& response = groups.response;
  if (response.config_yaml() != run_config_) {
    absl::StatusOr<RunModel> model = ReadRunModel(response.config_yaml());
    if (!model.ok()) {
      return parts_.base_models.Refuse(response.run_id(), response.model_fingerprint(),
                                       std::string(model.status().message()));
    }
    run_config_ = response.config_yaml();
    model_ = *std::move(model);
  }
  groups.model = model_;
  return parts_.base_models.Check(response.run_id(), groups.model.folder, response.model_fingerprint());
}

absl::Status Leasing::FetchAdapter(LeasedGroups& groups, const std::stop_token& stop) {
  const v1::AdapterVersion& version = groups.response.adapter();
  const WantedAdapter wanted = {.sha256 = version.sha256(), .size_bytes = version.size_bytes()};
  const SendAdapter send = [&](int64_t offset, const TakeChunk& take) {
    return parts_.session.Note(parts_.coordinator.FetchAdapterFrom(version, offset, take));
  };
  EVILMOE_ASSIGN_OR_RETURN(FetchedAdapter fetched, parts_.adapters.Get(wanted, send, stop));
  parts_.metrics.adapter_bytes_sent.Increment(static_cast<double>(fetched.num_sent));
  parts_.metrics.adapter_bytes_cached.Increment(static_cast<double>(fetched.num_cached));
  parts_.logger.Info("adapter_fetched", {{"step", version.step()},
                                         {"sha256", version.sha256()},
                                         {"network_bytes", fetched.num_sent},
                                         {"cache_bytes", fetched.num_cached}});
  groups.adapter = std::move(fetched.bytes);
  return absl::OkStatus();
}

absl::Status Leasing::Persist(const LeasedGroups& groups, const std::stop_token& stop,
                              const std::function<absl::Status()>& what) {
  RetryPause pause(parts_.session.worker_id());
  for (int num_tries = 1;; ++num_tries) {
    const absl::Status done = what();
    const bool away = absl::IsUnavailable(done) || absl::IsDeadlineExceeded(done);
    if (OutcomeOf(done) != CallOutcome::kLater || (!away && num_tries >= kMaxTries)) return done;
    if (!AnyHeld(groups)) return absl::AbortedError("the leases were lost meanwhile");
    if (!PauseFor(pause.Next(), stop)) return absl::CancelledError("worker is stopping");
  }
}

bool Leasing::AnyHeld(const LeasedGroups& groups) const {
  return std::ranges::any_of(groups.response.leases(),
                             [&](const v1::Lease& lease) { return parts_.in_flight.Holds(lease.lease_id()); });
}

void Leasing::GiveBack(const LeasedGroups& groups, const absl::Status& why, const std::stop_token& stop) {
  const bool ours = stop.stop_requested() || OutcomeOf(why) == CallOutcome::kForbidden;
  const char* reason = ours ? "CANCELLED" : absl::IsFailedPrecondition(why) ? "WRONG_BASE_MODEL" : "INFRA_LOST";
  for (const v1::Lease& lease : groups.response.leases()) {
    parts_.outbox.GiveBack(lease.lease_id(), reason, std::string(why.message()));
  }
}

}  // namespace evilmoe
