#include "services/ctl/restart_policy.h"

#include <algorithm>

namespace evilmoe {

RestartDecision DecideRestart(const DeathReport& report) {
  const bool clean = report.is_trainer ? report.steps_now > report.steps_at_start : report.lived >= kSettled;
  RestartDecision decision;
  decision.deaths_in_a_row = clean ? 1 : report.deaths_in_a_row + 1;
  decision.give_up = decision.deaths_in_a_row > (report.is_trainer ? kMaxTrainerRestarts : kMaxOtherRestarts);
  const int doublings = std::min(decision.deaths_in_a_row - 1, 10);
  decision.delay = std::min(absl::Milliseconds(500) * (1 << doublings), absl::Seconds(10));
  return decision;
}

}  // namespace evilmoe
