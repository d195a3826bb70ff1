#pragma once

#include <cstdint>
#include <deque>
#include <stop_token>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/mutex.h"
#include "grader_sandbox/grader_interface.h"
#include "policy/sampler/sample_group.h"
#include "rollout_workers/group_in_flight.h"
#include "rollout_workers/group_outbox.h"
#include "rollout_workers/rollout_metrics.h"

namespace evilmoe {

// Grades each sample as it ends; a group whose last grade comes is handed in, one whose grade the infrastructure could
// not give is given back: the coordinator hands it out again. Thread-safe. Everything it is given must outlive it.
class GradingQueue {
 public:
  GradingQueue(Grader& grader, GroupsInFlight& in_flight, GroupOutbox& outbox, RolloutMetrics& metrics,
               const Clock& clock)
      : grader_(grader), in_flight_(in_flight), outbox_(outbox), metrics_(metrics), clock_(clock) {}

  // `sample.tag` is its lease; `text`: what it says.
  void Add(FinishedSample sample, std::string text);
  // Grades until stopped; on as many threads as grades are to be in flight.
  void Loop(const std::stop_token& stop);
  // No grade that begins from now on is waited for longer than until then: the worker is about to end.
  void EndBy(absl::Time deadline);
  // Why no grade will ever come (a wrong token, for one); OK while one may.
  absl::Status failure() const;

 private:
  struct Item {
    FinishedSample sample;
    std::string text;
  };
  void Grade(Item item);
  void GiveUp(int64_t lease_id, const absl::Status& why);
  absl::Time end_by() const;

  Grader& grader_;
  GroupsInFlight& in_flight_;
  GroupOutbox& outbox_;
  RolloutMetrics& metrics_;
  const Clock& clock_;
  mutable Mutex mu_;
  std::deque<Item> items_ ABSL_GUARDED_BY(mu_);
  absl::Time end_by_ ABSL_GUARDED_BY(mu_) = absl::InfiniteFuture();
  absl::Status failure_ ABSL_GUARDED_BY(mu_);
};

}  // namespace evilmoe
