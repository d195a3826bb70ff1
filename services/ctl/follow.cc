#include "services/ctl/follow.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "services/ctl/patience.h"
#include "services/ctl/run_view.h"

namespace evilmoe {
namespace {

constexpr absl::Duration kPoll = absl::Milliseconds(250);
constexpr int kPollsAQueueNote = 8;  // two seconds

bool HasEnded(const RunSummary& run, int64_t start_seq, int64_t seen_seq) {
  if (run.state == "interrupted") return true;
  // A job that was just queued may meet the summary of the job before it: its end brings a new event.
  const bool is_this_job = start_seq == 0 || run.last_seq > start_seq;
  return (IsFinished(run) || run.state == "paused") && is_this_job && seen_seq >= run.last_seq;
}

// Asked again every few polls.
std::string NoteOf(const FollowOptions& options, int poll, const std::string& last) {
  return options.queue_note != nullptr && poll % kPollsAQueueNote == 0 ? options.queue_note() : last;
}

}  // namespace

absl::StatusOr<FollowResult> Follow(RunFeed& feed, const FollowOptions& options, const Clock& clock, std::ostream& out) {
  RunView view;
  FollowResult result;
  int64_t seq = options.after_seq;
  Patience patience(clock);
  bool bar_shown = false;
  std::string note;
  for (int poll = 0;; ++poll) {
    const bool alive = options.is_alive == nullptr || options.is_alive();  // asked before what it may still write
    absl::StatusOr<FeedPage> page = feed.Next(seq);
    EVILMOE_RETURN_IF_ERROR(patience.Bear(page.status()));
    if (page.ok()) {
      result.run = std::move(page->run);
      std::string text;
      for (const RunEventView& event : page->events) {
        text += options.json ? EventLine(event) + "\n" : view.Render(event);
        seq = event.seq;
      }
      if (!alive && !HasEnded(result.run, options.after_seq, seq)) result.run.state = "interrupted";
      const bool ended = HasEnded(result.run, options.after_seq, seq);
      const std::string last_note = note;
      note = result.run.state == "queued" ? NoteOf(options, poll, note) : "";
      if (!options.terminal && !options.json && !note.empty() && note != last_note) text += note + "\n";
      const bool has_bar = options.terminal && !options.json && !ended;
      const std::string bar = !has_bar ? "" : note.empty() ? view.ProgressBar(result.run) : note;
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

std::string QueueNote(std::span<const RunSummary> runs, const std::string& run_id) {
  std::vector<const RunSummary*> waiting;
  for (const RunSummary& run : runs) {
    if (run.state == "queued") waiting.push_back(&run);
  }
  std::sort(waiting.begin(), waiting.end(), [](const RunSummary* a, const RunSummary* b) {
    return std::make_pair(-a->priority, a->run_id) < std::make_pair(-b->priority, b->run_id);
  });
  for (size_t i = 0; i < waiting.size(); ++i) {
    if (waiting[i]->run_id == run_id) return absl::StrCat("queued, place ", i + 1, " of ", waiting.size());
  }
  return "";
}

}  // namespace evilmoe
