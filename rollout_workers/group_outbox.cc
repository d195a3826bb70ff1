#include "rollout_workers/group_outbox.h"

#include <utility>

#include "rollout_workers/call_outcome.h"
#include "rollout_workers/retry_pause.h"

namespace evilmoe {
namespace {

constexpr absl::Duration kSlice = absl::Milliseconds(200);
constexpr absl::Duration kHurriedPause = absl::Milliseconds(50);
// Of answers that may be about the thing itself, such as a message that is too large; a connection has no such limit.
constexpr int kMaxTries = 10;

constexpr size_t kMaxDetailBytes = 1000;  // the coordinator takes 4096

// As a message can hold it: valid UTF-8 and not too long, whatever an error's text quotes and wherever it is cut.
std::string DetailText(const std::string& detail) {
  const nlohmann::json head = detail.substr(0, kMaxDetailBytes);
  const std::string valid = head.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return nlohmann::json::parse(valid).get<std::string>() + (detail.size() > kMaxDetailBytes ? "..." : "");
}

bool Away(const absl::Status& status) { return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status); }

}  // namespace

GroupOutbox::GroupOutbox(WorkerSession& session, GroupsInFlight& in_flight, RolloutMetrics& metrics, const Clock& clock,
                         Logger& logger)
    : session_(session), in_flight_(in_flight), metrics_(metrics), clock_(clock), logger_(logger) {}

void GroupOutbox::Put(Item item) {
  MutexLock lock(mu_);
  items_.push_back(std::move(item));
  mu_.NotifyAll();
}

void GroupOutbox::HandIn(int64_t lease_id, GroupsInFlight::Finished finished) {
  v1::CompleteGroupRequest request;
  request.set_worker_id(session_.worker_id());
  request.set_lease_id(lease_id);
  *request.mutable_result() = std::move(finished.result);
  request.mutable_result()->set_worker_id(session_.worker_id());
  request.mutable_result()->mutable_times()->set_handed_in_unix_us(absl::ToUnixMicros(clock_.Now()));
  Put({.lease_id = lease_id, .request = std::move(request), .begun = finished.begun});
}

v1::AbandonGroupRequest GroupOutbox::Abandonment(int64_t lease_id, const std::string& reason,
                                                 const std::string& detail) const {
  v1::AbandonGroupRequest request;
  request.set_worker_id(session_.worker_id());
  request.set_lease_id(lease_id);
  request.set_reason(reason);
  request.set_detail(DetailText(detail));
  return request;
}

void GroupOutbox::GiveBack(int64_t lease_id, const std::string& reason, const std::string& detail) {
  if (!in_flight_.Drop(lease_id)) return;
  logger_.Warn("group_abandoned", {{"lease_id", lease_id}, {"reason", reason}, {"error", detail}});
  metrics_.groups_given_back.Increment();
  Put({.lease_id = lease_id, .request = Abandonment(lease_id, reason, detail), .begun = clock_.Now()});
}

void GroupOutbox::Loop(const std::stop_token& stop) {
  const std::stop_callback wake(stop, [this] {
    MutexLock lock(mu_);
    mu_.NotifyAll();
  });
  RetryPause pause(session_.worker_id());
  while (!stop.stop_requested()) {
    Item item;
    {
      MutexLock lock(mu_);
      mu_.AwaitFor(kSlice, [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return stop.stop_requested() || !items_.empty(); });
      if (stop.stop_requested() || items_.empty()) continue;
      item = std::move(items_.front());
      items_.pop_front();
      saying_ = true;
    }
    ++item.num_tries;
    const bool settled = Settle(item, Say(item));
    MutexLock lock(mu_);
    saying_ = false;
    if (settled) {
      pause.Reset();
      mu_.NotifyAll();
      continue;
    }
    items_.push_back(std::move(item));  // behind the others: what troubles this one may not trouble them
    const absl::Duration wait = hurry_ ? kHurriedPause : pause.Next();
    const bool hurried = hurry_;
    mu_.AwaitFor(wait, [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return stop.stop_requested() || hurry_ != hurried; });
  }
}

absl::Status GroupOutbox::Say(const Item& item) {
  if (const auto* group = std::get_if<v1::CompleteGroupRequest>(&item.request)) return session_.Complete(*group);
  return session_.Abandon(std::get<v1::AbandonGroupRequest>(item.request));
}

bool GroupOutbox::Settle(const Item& item, const absl::Status& answer) {
  if (std::holds_alternative<v1::CompleteGroupRequest>(item.request)) return SettleCompletion(item, answer);
  if (OutcomeOf(answer) == CallOutcome::kLater && (Away(answer) || item.num_tries < kMaxTries)) return false;
  if (!answer.ok() && !absl::IsAborted(answer)) {
    logger_.Warn("abandon_not_told", {{"lease_id", item.lease_id}, {"error", std::string(answer.message())}});
  }
  return true;
}

bool GroupOutbox::SettleCompletion(const Item& item, const absl::Status& answer) {
  const CallOutcome outcome = OutcomeOf(answer);
  if (outcome == CallOutcome::kLater && (Away(answer) || item.num_tries < kMaxTries)) return false;
  metrics_.group_seconds.Observe(absl::ToDoubleSeconds(clock_.Now() - item.begun));
  if (outcome == CallOutcome::kOk) {
    in_flight_.Drop(item.lease_id);
    metrics_.groups_completed.Increment();
    return true;
  }
  if (outcome == CallOutcome::kTaken) {
    in_flight_.Drop(item.lease_id);
    metrics_.groups_taken.Increment();
    logger_.Info("completion_not_needed", {{"lease_id", item.lease_id}, {"why", std::string(answer.message())}});
    return true;
  }
  metrics_.groups_refused.Increment();
  logger_.Warn("completion_refused", {{"lease_id", item.lease_id}, {"error", std::string(answer.message())}});
  GiveBack(item.lease_id, "INFRA_LOST", std::string(answer.message()));
  return true;
}

void GroupOutbox::Hurry() {
  MutexLock lock(mu_);
  hurry_ = true;
  mu_.NotifyAll();
}

size_t GroupOutbox::num_waiting() const {
  MutexLock lock(mu_);
  return items_.size() + (saying_ ? 1 : 0);
}

bool GroupOutbox::AwaitEmpty(absl::Duration timeout) {
  MutexLock lock(mu_);
  return mu_.AwaitFor(timeout, [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return items_.empty() && !saying_; });
}

}  // namespace evilmoe
