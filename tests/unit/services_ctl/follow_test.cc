#include "services/ctl/follow.h"

#include <gtest/gtest.h>

#include <deque>
#include <sstream>

#include "services/ctl/patience.h"
#include "tests/fakes/fake_clock.h"

namespace evilmoe {
namespace {

// Answers what it was scripted, then repeats the last answer.
class FakeFeed final : public RunFeed {
 public:
  explicit FakeFeed(std::deque<absl::StatusOr<FeedPage>> pages) : pages_(std::move(pages)) {}
  absl::StatusOr<FeedPage> Next(int64_t after_seq) override {
    asked_after.push_back(after_seq);
    absl::StatusOr<FeedPage> page = pages_.front();
    if (pages_.size() > 1) pages_.pop_front();
    return page;
  }
  std::vector<int64_t> asked_after;

 private:
  std::deque<absl::StatusOr<FeedPage>> pages_;
};

FeedPage Page(const std::string& state, int64_t last_seq, std::vector<RunEventView> events = {}) {
  FeedPage page;
  page.events = std::move(events);
  page.run.state = state;
  page.run.last_seq = last_seq;
  page.run.steps_total = 2;
  return page;
}

FollowOptions Patient(int64_t after_seq = 0) {
  FollowOptions options;
  options.after_seq = after_seq;
  options.pause = [](absl::Duration) { return false; };
  return options;
}

// Follows on a clock of its own, which goes on with every pause.
absl::StatusOr<FollowResult> Watch(RunFeed& feed, const FollowOptions& options, std::ostream& out) {
  FakeClock clock;
  FollowOptions timed = options;
  timed.pause = [&](absl::Duration wait) {
    clock.Advance(wait);
    return options.pause(wait);
  };
  return Follow(feed, timed, clock, out);
}

TEST(Follow, PrintsUntilTheRunHasEndedAndEverythingWasSeen) {
  FakeFeed feed({Page("queued", 0), Page("running", 1, {{1, 0, "warning", {{"message", "one"}}}}),
                 // The state is ahead of the events once.
                 Page("succeeded", 2), Page("succeeded", 2, {{2, 0, "ablation", {{"final_line", "the last"}}}})});
  std::ostringstream out;
  const absl::StatusOr<FollowResult> result = Watch(feed, Patient(), out);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->run.state, "succeeded");
  EXPECT_EQ(result->final_line, "the last");
  EXPECT_FALSE(result->detached);
  EXPECT_EQ(out.str(), "warning: one\n\nmode  markers  hack strict  hack loose  solve\n");
  EXPECT_EQ(feed.asked_after, (std::vector<int64_t>{0, 0, 1, 1}));
}

TEST(Follow, DoesNotTakeTheEndOfAnEarlierJobForItsOwn) {
  FakeFeed feed(
      {Page("succeeded", 7), Page("running", 8, {{8, 0, "state", {}}}), Page("failed", 9, {{9, 0, "state", {}}})});
  std::ostringstream out;
  const absl::StatusOr<FollowResult> result = Watch(feed, Patient(7), out);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->run.state, "failed");
}

TEST(Follow, EndsWithAnInterruptedRun) {
  FakeFeed feed({Page("running", 0), Page("interrupted", 0)});
  std::ostringstream out;
  EXPECT_EQ(Watch(feed, Patient(), out)->run.state, "interrupted");
}

TEST(Follow, EndsWithAPausedRun) {
  FakeFeed feed({Page("pausing", 3), Page("paused", 4, {{4, 0, "state", {}}})});
  std::ostringstream out;
  EXPECT_EQ(Watch(feed, Patient(3), out)->run.state, "paused");
}

TEST(Follow, SaysThePlaceInTheQueue) {
  FollowOptions options = Patient();
  int asked = 0;
  options.queue_note = [&] { return ++asked < 3 ? std::string("queued, place 2 of 2") : "queued, place 1 of 1"; };
  std::deque<absl::StatusOr<FeedPage>> pages(20, Page("queued", 0));
  pages.push_back(Page("running", 0));
  pages.push_back(Page("succeeded", 0));
  FakeFeed lines(pages);
  std::ostringstream out;
  ASSERT_TRUE(Watch(lines, options, out).ok());
  EXPECT_EQ(asked, 3) << "every eighth poll";
  EXPECT_EQ(out.str(), "queued, place 2 of 2\nqueued, place 1 of 1\n") << "a line a change";
  options.terminal = true;
  FakeFeed bar({Page("queued", 0), Page("running", 0), Page("succeeded", 0)});
  std::ostringstream drawn;
  ASSERT_TRUE(Watch(bar, options, drawn).ok());
  EXPECT_EQ(drawn.str(), "queued, place 1 of 1\r\033[K[..............................] 0/2\r\033[K");
}

TEST(QueueNote, GoesByPriorityAndThenAge) {
  const auto run = [](const std::string& id, const std::string& state, int priority) {
    RunSummary summary;
    summary.run_id = id;
    summary.state = state;
    summary.priority = priority;
    return summary;
  };
  const std::vector<RunSummary> runs = {run("A", "queued", 0), run("B", "running", 9), run("C", "queued", 5),
                                        run("D", "queued", 0)};
  EXPECT_EQ(QueueNote(runs, "C"), "queued, place 1 of 3");
  EXPECT_EQ(QueueNote(runs, "A"), "queued, place 2 of 3");
  EXPECT_EQ(QueueNote(runs, "D"), "queued, place 3 of 3");
  EXPECT_EQ(QueueNote(runs, "B"), "");
}

TEST(Follow, AJobThatNobodyWorksOnIsInterrupted) {
  // The stack went away between the submission of a second job and its first event.
  FakeFeed feed({Page("succeeded", 7)});
  FollowOptions options = Patient(7);
  int asked = 0;
  options.is_alive = [&] { return ++asked < 3; };
  std::ostringstream out;
  EXPECT_EQ(Watch(feed, options, out)->run.state, "interrupted");
  EXPECT_EQ(asked, 3);
}

TEST(Follow, DetachesWhenAsked) {
  FakeFeed feed({Page("running", 0)});
  FollowOptions options = Patient();
  int pauses = 0;
  options.pause = [&](absl::Duration) { return ++pauses == 3; };
  std::ostringstream out;
  EXPECT_TRUE(Watch(feed, options, out)->detached);
}

TEST(Patience, EndsWithAMinuteWithoutAnAnswer) {
  FakeClock clock;
  Patience patience(clock);
  const absl::Status lost = absl::UnavailableError("gone");
  EXPECT_TRUE(patience.Bear(lost).ok());
  clock.Advance(absl::Seconds(59));
  EXPECT_TRUE(patience.Bear(absl::DeadlineExceededError("slow")).ok());
  EXPECT_TRUE(patience.Bear(absl::OkStatus()).ok());
  clock.Advance(absl::Seconds(59));
  EXPECT_TRUE(patience.Bear(lost).ok()) << "counted from here";
  clock.Advance(absl::Seconds(60));
  EXPECT_EQ(patience.Bear(lost), lost);
  EXPECT_EQ(patience.Bear(absl::NotFoundError("no run")).code(), absl::StatusCode::kNotFound);
}

TEST(Follow, BearsALostFeedForAMinute) {
  FakeFeed comes_back(
      {absl::UnavailableError("gone"), absl::DeadlineExceededError("slow"), Page("succeeded", 0)});
  std::ostringstream out;
  EXPECT_TRUE(Watch(comes_back, Patient(), out).ok());
  FakeFeed stays_away({absl::UnavailableError("gone")});
  EXPECT_EQ(Watch(stays_away, Patient(), out).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(stays_away.asked_after.size(), 241u);
  FakeFeed not_there({absl::NotFoundError("no run")});
  EXPECT_EQ(Watch(not_there, Patient(), out).status().code(), absl::StatusCode::kNotFound);
}

TEST(Follow, DrawsTheBarOnATerminalAlone) {
  FollowOptions options = Patient();
  options.terminal = true;
  FakeFeed feed({Page("running", 0), Page("succeeded", 0)});
  std::ostringstream out;
  ASSERT_TRUE(Watch(feed, options, out).ok());
  EXPECT_EQ(out.str(), "[..............................] 0/2\r\033[K");
}

TEST(Follow, PrintsJsonLinesWhenAsked) {
  FollowOptions options = Patient();
  options.json = true;
  options.terminal = true;
  FakeFeed feed({Page("succeeded", 4, {{4, 9, "step", {{"step", 1}}}})});
  std::ostringstream out;
  ASSERT_TRUE(Watch(feed, options, out).ok());
  EXPECT_EQ(out.str(), "{\"seq\":4,\"unix_ms\":9,\"kind\":\"step\",\"payload\":{\"step\":1}}\n");
}

}  // namespace
}  // namespace evilmoe
