#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "common/clock.h"
#include "services/page/run_board.h"
#include "services/page/run_source.h"

namespace evilmoe {

struct StreamOptions {
  std::string run_id;      // whose events are sent; empty: of none
  int64_t after_seq = 0;   // the last event that the reader has
  absl::Duration turn = absl::Seconds(1);        // how long one wait takes, so how soon an end is noticed
  absl::Duration heartbeat = absl::Seconds(2);   // silence at most: a reader that is gone is found by it
  absl::Duration lifetime = absl::Minutes(10);   // then the reader comes again, with its token as it is then
};

// Sends server-sent events until `write` says that the reader is gone, `ended` is true, or the lifetime is over:
//   runs    a list of runs (RunSummary) that changed; all of them at the start
//   event   an event of the run, with its seq as the id to resume from; whole, in order
//   run     the run as it is, where it changed
//   problem {"code", "message"}: the stream ends behind it
// and a comment when there was nothing for a while. Holds the calling thread.
void ServeEvents(RunSource& source, RunBoard& board, const StreamOptions& options, const Clock& clock,
                 const std::function<bool(std::string_view)>& write, const std::function<bool()>& ended);

}  // namespace evilmoe
