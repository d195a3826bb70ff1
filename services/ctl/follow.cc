#include "services/ctl/follow.h"

#include "services/ctl/run_view.h"

namespace evilmoe {
namespace {

constexpr absl::Duration kPoll = absl::Milliseconds(250);
constexpr int kMaxLostPolls = 240;  // a minute

bool HasEnded(const RunSummary& run, int64_t start_seq, int64_t seen_seq) {
  if (run.state == "interrupted") return true;
  // A job that was just queued may meet the summary of the job before it: its end brings a new event.
  const bool is_this_job = start_seq == 0 || run.last_seq > start_seq;
  return IsFinished(run) && is_this_job && seen_seq >= run.last_seq;
}

}  // namespace

absl::StatusOr<FollowResult> Follow(RunFeed& feed, const FollowOptions& options, std::ostream& out) {
  RunView view;
  FollowResult result;
  int64_t seq = options.after_seq;
  int lost_polls = 0;
  bool bar_shown = false;
  while (true) {
    const bool alive = options.is_alive == nullptr || options.is_alive();  // asked before what it may still write
    absl::StatusOr<FeedPage> page = feed.Next(seq);
    if (!page.ok() && (!absl::IsUnavailable(page.status()) || ++lost_polls > kMaxLostPolls)) return page.status();
    if (page.ok()) {
      lost_polls = 0;
      result.run = std::move(page->run);
      std::string text;
      for (const RunEventView& event : page->events) {
        text += options.json ? EventLine(event) + "\n" : view.Render(event);
        seq = event.seq;
      }
      if (!alive && !HasEnded(result.run, options.after_seq, seq)) result.run.state = "interrupted";
      const bool ended = HasEnded(result.run, options.after_seq, seq);
      const std::string bar = options.terminal && !options.json && !ended ? view.ProgressBar(result.run) : "";
      if (bar_shown) out << "\r\033[K";
      out << text << bar << std::flush;
      bar_shown = !bar.empty();
      result.final_line = view.final_line().value_or("");
      if (ended) return result;
    }
    if (options.pause(kPoll)) {
      if (bar_shown) out << "\n" << std::flush;
      result.detached = true;
      return result;
    }
  }
}

}  // namespace evilmoe
