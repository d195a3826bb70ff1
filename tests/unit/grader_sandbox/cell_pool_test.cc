#include "grader_sandbox/cell_pool.h"

#include <atomic>
#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "common/mutex.h"
#include "gmock/gmock.h"
#include "tests/unit/grader_sandbox/sandbox_test_kit.h"

namespace evilmoe {
namespace {

using ::testing::ElementsAre;

constexpr absl::Duration kPatience = absl::Seconds(20);

// What the pool did, in order. Work of this journal runs until it is let go, or interrupted.
class Journal {
 public:
  CellPool::Work Entry(const std::string& name, const std::string& caller = "caller") {
    return {.caller = caller,
            .run = [this, name](Cell&, const Interrupt& interrupt) { Run(name, interrupt); },
            .refuse = [this, name](const absl::Status& why) { Note(name + " refused: " + CodeOf(why)); }};
  }
  void LetGo() {
    const MutexLock lock(mu_);
    may_end_ = true;
    mu_.NotifyAll();
  }
  bool AwaitLines(size_t num) {
    const MutexLock lock(mu_);
    return mu_.AwaitFor(kPatience, [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return lines_.size() >= num; });
  }
  std::vector<std::string> lines() {
    const MutexLock lock(mu_);
    return lines_;
  }

 private:
  static std::string CodeOf(const absl::Status& status) { return absl::StatusCodeToString(status.code()); }

  void Run(const std::string& name, const Interrupt& interrupt) {
    Note(name + " runs");
    absl::Status status;
    {
      const MutexLock lock(mu_);
      const auto ended = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return may_end_ || !(status = interrupt()).ok(); };
      while (!mu_.AwaitFor(absl::Milliseconds(5), ended)) {
      }
    }
    Note(name + (status.ok() ? " done" : " interrupted: " + CodeOf(status)));
  }
  void Note(const std::string& line) {
    const MutexLock lock(mu_);
    lines_.push_back(line);
    mu_.NotifyAll();
  }

  Mutex mu_;
  bool may_end_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::string> lines_ ABSL_GUARDED_BY(mu_);
};

class CellPoolTest : public ::testing::Test {
 protected:
  // How many wait in the end; none if nothing is stuck.
  int AwaitEmpty() {
    const auto end = std::chrono::steady_clock::now() + absl::ToChronoSeconds(kPatience);
    while (pool_->num_waiting() > 0 && std::chrono::steady_clock::now() < end) std::this_thread::yield();
    return pool_->num_waiting();
  }

  Journal journal_;
  std::atomic<int> depth_ = 0;
  std::optional<CellPool> pool_{std::in_place, TestHost(), 1, 2, [this](int depth) { depth_ = depth; }};
};

TEST_F(CellPoolTest, RunsOneAfterAnotherInFairOrder) {
  ASSERT_TRUE(pool_->Submit(journal_.Entry("a1", "a")).ok());
  ASSERT_TRUE(journal_.AwaitLines(1));
  ASSERT_TRUE(pool_->Submit(journal_.Entry("a2", "a")).ok());
  ASSERT_TRUE(pool_->Submit(journal_.Entry("b1", "b")).ok());
  EXPECT_EQ(pool_->num_slots(), 1);
  EXPECT_EQ(pool_->num_running(), 1);
  EXPECT_EQ(pool_->num_waiting(), 2);
  journal_.LetGo();
  ASSERT_TRUE(journal_.AwaitLines(6));
  EXPECT_THAT(journal_.lines(), ElementsAre("a1 runs", "a1 done", "a2 runs", "a2 done", "b1 runs", "b1 done"));
}

TEST_F(CellPoolTest, FullQueueTakesNothing) {
  ASSERT_TRUE(pool_->Submit(journal_.Entry("first")).ok());
  ASSERT_TRUE(journal_.AwaitLines(1));
  ASSERT_TRUE(pool_->Submit(journal_.Entry("second")).ok());
  ASSERT_TRUE(pool_->Submit(journal_.Entry("third")).ok());
  EXPECT_EQ(pool_->Submit(journal_.Entry("fourth")).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(depth_, 2);
  journal_.LetGo();
  ASSERT_TRUE(journal_.AwaitLines(6));
  EXPECT_EQ(journal_.lines().size(), 6u);
  EXPECT_EQ(journal_.lines().back(), "third done");
}

TEST_F(CellPoolTest, WaitingWorkThatIsCancelledIsRefusedOnce) {
  ASSERT_TRUE(pool_->Submit(journal_.Entry("first")).ok());
  ASSERT_TRUE(journal_.AwaitLines(1));
  const absl::StatusOr<uint64_t> second = pool_->Submit(journal_.Entry("second"));
  ASSERT_TRUE(second.ok());
  pool_->Cancel(*second);
  pool_->Cancel(*second);
  EXPECT_EQ(pool_->num_waiting(), 0);
  EXPECT_EQ(depth_, 0);
  journal_.LetGo();
  ASSERT_TRUE(journal_.AwaitLines(3));
  pool_.reset();
  EXPECT_THAT(journal_.lines(), ElementsAre("first runs", "second refused: CANCELLED", "first done"));
}

TEST_F(CellPoolTest, RunningWorkThatIsCancelledIsInterruptedAndFreesItsSlot) {
  const absl::StatusOr<uint64_t> first = pool_->Submit(journal_.Entry("first"));
  ASSERT_TRUE(first.ok());
  ASSERT_TRUE(journal_.AwaitLines(1));
  ASSERT_TRUE(pool_->Submit(journal_.Entry("second")).ok());
  pool_->Cancel(*first);
  ASSERT_TRUE(journal_.AwaitLines(3));
  EXPECT_THAT(journal_.lines(), ElementsAre("first runs", "first interrupted: CANCELLED", "second runs"));
  pool_->Cancel(*first);  // done: nobody knows it
  journal_.LetGo();
  ASSERT_TRUE(journal_.AwaitLines(4));
  EXPECT_EQ(journal_.lines().back(), "second done");
}

TEST_F(CellPoolTest, TicketsOfNobodyAreLeftAlone) {
  pool_->Cancel(0);
  pool_->Cancel(12345);
  journal_.LetGo();
  ASSERT_TRUE(pool_->Submit(journal_.Entry("only")).ok());
  ASSERT_TRUE(journal_.AwaitLines(2));
  EXPECT_THAT(journal_.lines(), ElementsAre("only runs", "only done"));
}

TEST_F(CellPoolTest, EndOfThePoolEndsAllWork) {
  ASSERT_TRUE(pool_->Submit(journal_.Entry("first")).ok());
  ASSERT_TRUE(journal_.AwaitLines(1));
  ASSERT_TRUE(pool_->Submit(journal_.Entry("second")).ok());
  pool_.reset();
  EXPECT_EQ(depth_, 0);
  EXPECT_THAT(journal_.lines(), ::testing::UnorderedElementsAre("first runs", "second refused: UNAVAILABLE",
                                                               "first interrupted: CANCELLED"));
}

// Whatever the threads do to each other, each piece of work is run or refused, once.
TEST_F(CellPoolTest, EachIsRunOrRefusedOnce) {
  constexpr int kThreads = 4;
  constexpr int kEach = 500;
  std::vector<std::atomic<int>> told(kThreads * kEach);
  std::atomic<int> num_accepted = 0;
  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < kThreads; ++thread) {
      threads.emplace_back([&, thread] {
        for (int i = thread * kEach; i < (thread + 1) * kEach; ++i) {
          const absl::StatusOr<uint64_t> ticket =
              pool_->Submit({.caller = std::to_string(thread),
                             .run = [&told, i](Cell&, const Interrupt&) { ++told[i]; },
                             .refuse = [&told, i](const absl::Status&) { ++told[i]; }});
          if (!ticket.ok()) continue;
          ++num_accepted;
          if (i % 2 == 0) pool_->Cancel(*ticket);
        }
      });
    }
  }
  EXPECT_EQ(AwaitEmpty(), 0);
  pool_.reset();
  EXPECT_EQ(depth_, 0);
  int num_told = 0;
  for (const std::atomic<int>& times : told) {
    EXPECT_LE(times, 1);
    num_told += times;
  }
  EXPECT_GT(num_accepted, 0);
  EXPECT_EQ(num_told, num_accepted);
}

}  // namespace
}  // namespace evilmoe
