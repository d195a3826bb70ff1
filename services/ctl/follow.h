#pragma once

#include <functional>
#include <optional>
#include <ostream>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "services/runs/run_feed.h"

namespace evilmoe {

struct FollowOptions {
  int64_t after_seq = 0;  // show what comes after this event
  bool terminal = false;  // a progress bar at the bottom
  bool json = false;      // events as JSON lines in place of text
  // Waits; true = the person wants to detach.
  std::function<bool(absl::Duration)> pause;
  // Whether anybody still works on the run; unset = yes. Without, a run that goes on counts as interrupted.
  std::function<bool()> is_alive;
  // What a queued run waits for, "queued, place 2 of 5"; asked every two seconds. Unset or empty: nothing is said.
  std::function<std::string()> queue_note;
};

struct FollowResult {
  RunSummary run;
  bool detached = false;
  std::string final_line;  // of the ablation that was seen; may be empty
};

// Prints a run's events as they come until it has ended (an interrupted or a paused run counts as ended) or the person
// detaches. The final line is left to the caller, since it has to stand last. Unavailable, DeadlineExceeded: the feed was
// lost for a minute.
absl::StatusOr<FollowResult> Follow(RunFeed& feed, const FollowOptions& options, const Clock& clock, std::ostream& out);

// "queued, place 2 of 5": by priority and then age, as the coordinator takes them; "" when the run does not wait.
std::string QueueNote(std::span<const RunSummary> runs, const std::string& run_id);

}  // namespace evilmoe
