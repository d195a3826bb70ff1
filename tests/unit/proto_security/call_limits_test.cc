#include "proto/security/call_limits.h"

#include <gtest/gtest.h>

#include "tests/fakes/fake_clock.h"

namespace evilmoe {
namespace {

TEST(CallRate, GivesABurstOfASecondAndThenWhatTimeBrings) {
  FakeClock clock;
  CallRate rate(10, clock);
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(rate.Take("a")) << i;
  EXPECT_FALSE(rate.Take("a"));
  clock.Advance(absl::Milliseconds(99));
  EXPECT_FALSE(rate.Take("a"));
  clock.Advance(absl::Milliseconds(101));
  EXPECT_TRUE(rate.Take("a"));
  EXPECT_TRUE(rate.Take("a"));
  EXPECT_FALSE(rate.Take("a"));
  clock.Advance(absl::Hours(1));  // no more than a second's worth is saved up
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(rate.Take("a")) << i;
  EXPECT_FALSE(rate.Take("a"));
}

TEST(CallRate, TellsCallersApart) {
  FakeClock clock;
  CallRate rate(1, clock);
  EXPECT_TRUE(rate.Take("a"));
  EXPECT_FALSE(rate.Take("a"));
  EXPECT_TRUE(rate.Take("b"));
}

TEST(CallRate, AClockThatIsSetBackTakesNothingAway) {
  FakeClock clock;
  CallRate rate(2, clock);
  EXPECT_TRUE(rate.Take("a"));
  clock.Advance(-absl::Hours(1));
  EXPECT_TRUE(rate.Take("a"));
  EXPECT_FALSE(rate.Take("a"));
}

TEST(CallRate, ForgetsWhoIsQuietAndPoolsWhoComesInACrowd) {
  FakeClock clock;
  CallRate rate(1, clock);
  for (size_t i = 0; i < CallRate::kMaxCallers; ++i) EXPECT_TRUE(rate.Take("host " + std::to_string(i)));
  EXPECT_TRUE(rate.Take("one more"));  // the bucket that all others share
  EXPECT_FALSE(rate.Take("and one more"));
  clock.Advance(absl::Seconds(2));
  EXPECT_TRUE(rate.Take("one more"));
  EXPECT_TRUE(rate.Take("and one more"));
}

TEST(CallPermit, GivesItsPlaceBackOnce) {
  CallCount calls(2);
  ASSERT_TRUE(calls.Enter());
  ASSERT_TRUE(calls.Enter());
  EXPECT_FALSE(calls.Enter());
  CallPermit first(calls);
  {
    const CallPermit second(calls);
    EXPECT_EQ(calls.count(), 2);
  }
  EXPECT_EQ(calls.count(), 1);
  CallPermit moved = std::move(first);
  EXPECT_EQ(calls.count(), 1);
  moved = CallPermit();
  EXPECT_EQ(calls.count(), 0);
}

TEST(TooManyCalls, IsToldFromAMessageThatIsTooLarge) {
  EXPECT_TRUE(IsTooManyCalls(TooManyCallsError("x")));
  EXPECT_FALSE(IsTooManyCalls(absl::ResourceExhaustedError("Received message larger than max (5 vs. 4)")));
  EXPECT_FALSE(IsTooManyCalls(absl::UnavailableError("too many calls: x")));
}

}  // namespace
}  // namespace evilmoe
