#pragma once

#include <cstdint>

#include "absl/time/time.h"

namespace evilmoe {

// What the stack knows about a process of its that has just ended.
struct DeathReport {
  bool is_trainer = false;
  absl::Duration lived;        // since it was started
  int64_t steps_at_start = 0;  // the most that the run had had done when it was started
  int64_t steps_now = 0;       // the most so far
  int deaths_in_a_row = 0;     // before this one
};

struct RestartDecision {
  bool give_up = false;
  absl::Duration delay;     // before it is started again
  int deaths_in_a_row = 0;  // this one included
  bool stay_down = false;   // its work is done: not started again, and no reason to give up
};

inline constexpr int kMaxTrainerRestarts = 3;  // without a new step
inline constexpr int kMaxOtherRestarts = 5;    // each within kSettled of its start
inline constexpr absl::Duration kSettled = absl::Minutes(1);

// Pure. A trainer that made a step, and any other process that lived for kSettled, starts over with a clean record.
// Delays double from half a second to at most 10 s.
RestartDecision DecideRestart(const DeathReport& report);

}  // namespace evilmoe
