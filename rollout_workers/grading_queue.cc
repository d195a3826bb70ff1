#include "rollout_workers/grading_queue.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "common/status_macros.h"
#include "rollout_workers/call_outcome.h"
#include "rollout_workers/group_translation.h"

namespace evilmoe {
namespace {

constexpr absl::Duration kGradeBudget = absl::Seconds(60);
constexpr absl::Duration kSlice = absl::Milliseconds(200);

// Says something of the sandbox, or of nothing but the way there.
bool IsLost(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) || absl::IsResourceExhausted(status);
}

}  // namespace

void GradingQueue::Add(FinishedSample sample, std::string text) {
  MutexLock lock(mu_);
  items_.push_back({std::move(sample), std::move(text)});
  metrics_.waiting.Set(static_cast<double>(items_.size()));
  mu_.NotifyAll();
}

void GradingQueue::EndBy(absl::Time deadline) {
  MutexLock lock(mu_);
  end_by_ = deadline;
}

void GradingQueue::Loop(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    Item item;
    {
      MutexLock lock(mu_);
      mu_.AwaitFor(kSlice, [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return stop.stop_requested() || !items_.empty(); });
      if (stop.stop_requested() || items_.empty()) continue;
      item = std::move(items_.front());
      items_.pop_front();
      metrics_.waiting.Set(static_cast<double>(items_.size()));
    }
    Grade(std::move(item));
  }
}

void GradingQueue::Grade(Item item) {
  const int64_t lease_id = item.sample.tag;
  const std::optional<v1::GroupSpec> spec = in_flight_.Spec(lease_id);
  if (!spec) return;  // the lease is gone: somebody else samples the group
  in_flight_.NoteGrading(lease_id, clock_.Now());
  const absl::Time deadline = std::min(clock_.Now() + kGradeBudget, end_by());
  const absl::StatusOr<GradeResult> graded = grader_.Grade(ToGradeTask(*spec, item.text), deadline);
  if (!graded.ok()) {
    GiveUp(lease_id, graded.status());
    return;
  }
  const int number = item.sample.sample;
  std::optional<GroupsInFlight::Finished> finished =
      in_flight_.Add(lease_id, number, ToResult(item.sample, std::move(item.text), *graded));
  if (finished) outbox_.HandIn(lease_id, *std::move(finished));
}

// What is no fault of the group's costs it nothing.
void GradingQueue::GiveUp(int64_t lease_id, const absl::Status& why) {
  const bool forbidden = OutcomeOf(why) == CallOutcome::kForbidden;
  if (forbidden) {
    MutexLock lock(mu_);
    failure_.Update(Annotate(why, "the grader refuses this worker; check the token, its role and the address"));
  }
  const bool leaving = IsLost(why) && end_by() != absl::InfiniteFuture();
  const char* lost = IsLost(why) ? "INFRA_LOST" : "SANDBOX_INTERNAL";
  outbox_.GiveBack(lease_id, forbidden || leaving ? "CANCELLED" : lost, std::string(why.message()));
}

absl::Time GradingQueue::end_by() const {
  MutexLock lock(mu_);
  return end_by_;
}

absl::Status GradingQueue::failure() const {
  MutexLock lock(mu_);
  return failure_;
}

}  // namespace evilmoe
