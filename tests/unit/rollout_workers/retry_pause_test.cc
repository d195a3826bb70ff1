#include "rollout_workers/retry_pause.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace evilmoe {
namespace {

TEST(RetryPause, DoublesToItsCapAndStaysInTheUpperHalf) {
  RetryPause pause("w-1", absl::Milliseconds(100), absl::Seconds(10));
  for (const int64_t limit_ms : {100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000, 10000}) {
    const absl::Duration got = pause.Next();
    EXPECT_GE(got, absl::Milliseconds(limit_ms) / 2);
    EXPECT_LT(got, absl::Milliseconds(limit_ms));
  }
  pause.Reset();
  EXPECT_LT(pause.Next(), absl::Milliseconds(100));
}

TEST(RetryPause, IsTheSameForANameAndAnotherForAnother) {
  RetryPause first("w-1"), again("w-1"), other("w-2");
  int num_same = 0;
  for (int i = 0; i < 20; ++i) {
    const absl::Duration pause = first.Next();
    EXPECT_EQ(pause, again.Next());
    num_same += pause == other.Next() ? 1 : 0;
  }
  EXPECT_EQ(num_same, 0);
}

TEST(PauseFor, EndsWithTheStop) {
  EXPECT_TRUE(PauseFor(absl::Milliseconds(1), std::stop_token()));
  std::stop_source stop;
  const auto begin = std::chrono::steady_clock::now();
  const std::jthread stopper([&] { stop.request_stop(); });
  EXPECT_FALSE(PauseFor(absl::Minutes(5), stop.get_token()));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::minutes(1));
}

}  // namespace
}  // namespace evilmoe
