#include "grader_sandbox/fair_queue.h"

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "gmock/gmock.h"

namespace evilmoe {
namespace {

struct Waiting {
  uint64_t ticket;
  std::string caller;
  double came_s;
  double expected_s;
};

struct OrderCase {
  std::string name;
  std::vector<Waiting> pushed;
  std::vector<uint64_t> removed;
  std::vector<uint64_t> order;
};

class FairQueueOrderTest : public ::testing::TestWithParam<OrderCase> {};

TEST_P(FairQueueOrderTest, PopsInOrder) {
  FairQueue queue;
  for (const auto& [ticket, caller, came_s, expected_s] : GetParam().pushed) {
    queue.Push(ticket, caller, came_s, expected_s);
  }
  for (const uint64_t ticket : GetParam().removed) EXPECT_TRUE(queue.Remove(ticket));
  EXPECT_EQ(queue.size(), GetParam().order.size());
  std::vector<uint64_t> order;
  while (const std::optional<uint64_t> ticket = queue.Pop()) order.push_back(*ticket);
  EXPECT_EQ(order, GetParam().order);
  EXPECT_EQ(queue.size(), 0u);
}

INSTANTIATE_TEST_SUITE_P(
    Cases, FairQueueOrderTest,
    ::testing::ValuesIn(std::vector<OrderCase>{
        {"Empty", {}, {}, {}},
        {"OneCallerInOrderOfComing", {{1, "a", 0, 0}, {2, "a", 1, 0}, {3, "a", 2, 0}}, {}, {1, 2, 3}},
        {"SameTimeGoesByTicket", {{2, "a", 0, 0}, {1, "a", 0, 0}}, {}, {1, 2}},
        {"CallersTakeTurns",
         {{1, "a", 0, 0}, {2, "a", 1, 0}, {3, "a", 2, 0}, {4, "b", 3, 0}, {5, "c", 4, 0}, {6, "b", 5, 0}},
         {},
         {1, 4, 5, 2, 6, 3}},
        {"LongestExpectedFirst", {{1, "a", 0, 1}, {2, "a", 0, 3}, {3, "a", 0, 2}}, {}, {2, 3, 1}},
        {"LongestExpectedDoesNotPassAnotherCaller", {{1, "a", 0, 0}, {2, "b", 0, 100}}, {}, {1, 2}},
        {"WhatWaitsLongPassesWhatTakesLong", {{1, "a", 0, 1}, {2, "a", 28, 30}, {3, "a", 30, 30}}, {}, {2, 1, 3}},
        {"RemovedInTheMiddle", {{1, "a", 0, 0}, {2, "a", 1, 0}, {3, "a", 2, 0}}, {2}, {1, 3}},
        {"CallerThatIsRemovedLosesItsTurn", {{1, "a", 0, 0}, {2, "b", 0, 0}, {3, "c", 0, 0}}, {1}, {2, 3}},
        {"AllRemoved", {{1, "a", 0, 0}, {2, "b", 0, 0}}, {2, 1}, {}}}),
    [](const auto& c) { return c.param.name; });

TEST(FairQueueTest, RemoveKnowsWhatIsInThere) {
  FairQueue queue;
  EXPECT_FALSE(queue.Remove(1));
  queue.Push(1, "a", 0, 0);
  EXPECT_TRUE(queue.Remove(1));
  EXPECT_FALSE(queue.Remove(1));
  queue.Push(1, "a", 0, 0);
  EXPECT_EQ(queue.Pop(), 1u);
  EXPECT_FALSE(queue.Remove(1));
  EXPECT_EQ(queue.Pop(), std::nullopt);
}

// A caller with a thousand samples does not hold up one that has a few and comes later.
TEST(FairQueueTest, LateCallerWaitsForOneTurnOfEach) {
  FairQueue queue;
  for (uint64_t ticket = 0; ticket < 1000; ++ticket) queue.Push(ticket, "many", 0, 1);
  EXPECT_LT(queue.Pop(), 1000u);
  std::set<size_t> places;
  for (uint64_t ticket = 1000; ticket < 1003; ++ticket) queue.Push(ticket, "few", 10, 0);
  for (size_t place = 0; place < 6; ++place) {
    if (queue.Pop() >= 1000u) places.insert(place);
  }
  EXPECT_EQ(places, (std::set<size_t>{1, 3, 5}));
}

// However much comes that is expected to take long: what came earlier than the difference is served.
TEST(FairQueueTest, NothingStarves) {
  FairQueue queue;
  queue.Push(0, "a", 0, 0);
  int num_before = 0;
  for (uint64_t now = 1; now <= 100; ++now, ++num_before) {
    queue.Push(now, "a", static_cast<double>(now), 30);
    if (queue.Pop() == 0u) break;
  }
  EXPECT_EQ(num_before, 29);
}

}  // namespace
}  // namespace evilmoe
