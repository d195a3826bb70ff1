#include "services/page/run_board.h"

#include <gtest/gtest.h>

#include "tests/fakes/fake_clock.h"
#include "tests/unit/services_page/fake_run_source.h"

namespace evilmoe {
namespace {

// A source that counts how often it was asked for all runs.
class CountingSource final : public RunSource {
 public:
  absl::StatusOr<std::vector<RunSummary>> List() override {
    ++num_asked;
    return runs.List();
  }
  absl::StatusOr<PageRun> Get(const std::string& run_id) override { return runs.Get(run_id); }
  absl::StatusOr<PageEvents> Events(const std::string& run_id, int64_t after, int limit, absl::Duration wait) override {
    return runs.Events(run_id, after, limit, wait);
  }
  absl::StatusOr<RunSummary> Act(const std::string& run_id, PageAction action) override {
    return runs.Act(run_id, action);
  }

  FakeRunSource runs;
  int num_asked = 0;
};

TEST(RunBoard, AsksOnceAnIntervalHoweverManyAsk) {
  CountingSource source;
  source.runs.Put({.summary = {.run_id = "A", .state = "running"}});
  FakeClock clock;
  RunBoard board(source, clock);
  for (int reader = 0; reader < 5; ++reader) EXPECT_EQ(board.Since(0)->runs.size(), 1u);
  EXPECT_EQ(source.num_asked, 1);
  clock.Advance(RunBoard::kInterval);
  EXPECT_EQ(board.Since(1)->runs.size(), 0u) << "nothing changed";
  EXPECT_EQ(source.num_asked, 2);
}

TEST(RunBoard, ASourceThatFailsIsNotAskedByEachReaderInTurn) {
  CountingSource source;
  source.runs.Break(absl::DeadlineExceededError("no answer"));
  FakeClock clock;
  RunBoard board(source, clock);
  for (int reader = 0; reader < 5; ++reader) {
    EXPECT_EQ(board.Since(0).status().code(), absl::StatusCode::kDeadlineExceeded);
  }
  EXPECT_EQ(source.num_asked, 1);
  source.runs.Break(absl::OkStatus());
  clock.Advance(RunBoard::kInterval);
  EXPECT_TRUE(board.Since(0).ok());
}

}  // namespace
}  // namespace evilmoe
