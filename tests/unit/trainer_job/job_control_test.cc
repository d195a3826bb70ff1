#include "trainer/job_control.h"

#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "tests/fakes/fake_clock.h"
#include "trainer/job_heartbeat.h"

namespace evilmoe {
namespace {

struct HearCase {
  const char* name;
  absl::StatusOr<bool> heard;
  bool want_stop;
  bool want_held;
};
class JobControlTest : public ::testing::TestWithParam<HearCase> {};

TEST_P(JobControlTest, TakesFromAnAnswer) {
  JobControl control({});
  control.Hear(false);
  control.Hear(GetParam().heard);
  EXPECT_EQ(control.stop().stop_requested(), GetParam().want_stop);
  EXPECT_EQ(control.Held().ok(), GetParam().want_held);
  control.Hear(false);  // neither is taken back
  EXPECT_EQ(control.stop().stop_requested(), GetParam().want_stop);
  EXPECT_EQ(control.Held().ok(), GetParam().want_held);
}

INSTANTIATE_TEST_SUITE_P(Cases, JobControlTest,
                         ::testing::ValuesIn(std::vector<HearCase>{
                             {"NoPause", false, false, true},
                             {"Pause", true, true, true},
                             {"Lost", absl::AbortedError("a newer incarnation"), false, false},
                             {"CoordinatorGone", absl::UnavailableError("gone"), false, true}}),
                         [](const auto& c) { return c.param.name; });

TEST(JobControl, StopsWithItsProcess) {
  std::stop_source process;
  JobControl control(process.get_token());
  EXPECT_FALSE(control.stop().stop_requested());
  process.request_stop();
  EXPECT_TRUE(control.stop().stop_requested());
  JobControl later(process.get_token());
  EXPECT_TRUE(later.stop().stop_requested());
  EXPECT_TRUE(later.Held().ok());
}

TEST(JobHeartbeatPeriod, IsAQuarterOfTheTimeout) {
  EXPECT_EQ(JobHeartbeatPeriod(30000), absl::Milliseconds(7500));
  EXPECT_EQ(JobHeartbeatPeriod(2), absl::Microseconds(500));
  EXPECT_EQ(JobHeartbeatPeriod(0), absl::Seconds(5));
}

class JobHeartbeatTest : public ::testing::Test {
 protected:
  // Beats until `answers` are used up, the last one of which must end the loop, and waits for that.
  void BeatThrough(const std::vector<absl::StatusOr<bool>>& answers) {
    std::promise<void> last;
    size_t next = 0;
    const auto beat = [&]() -> absl::StatusOr<bool> {
      const absl::StatusOr<bool> answer = answers.at(next++);
      if (next == answers.size()) last.set_value();
      return answer;
    };
    const JobHeartbeat heartbeat(beat, absl::ZeroDuration(), control_, logger_);
    EXPECT_EQ(last.get_future().wait_for(std::chrono::seconds(30)), std::future_status::ready);
  }

  FakeClock clock_;
  Logger logger_ = *Logger::Open("/dev/null", "test", clock_);
  JobControl control_{{}};
};

TEST_F(JobHeartbeatTest, GoesOnThroughFailuresUntilTheJobIsLost) {
  BeatThrough({false, absl::UnavailableError("gone"), false, absl::AbortedError("taken over")});
  EXPECT_FALSE(control_.stop().stop_requested());
  EXPECT_EQ(control_.Held().code(), absl::StatusCode::kAborted);
}

TEST_F(JobHeartbeatTest, PassesAPauseOnAndGoesOn) {
  BeatThrough({true, false, absl::AbortedError("released")});
  EXPECT_TRUE(control_.stop().stop_requested());
}

TEST_F(JobHeartbeatTest, DoesNotWaitOutItsPeriodAtTheEnd) {
  const JobHeartbeat heartbeat([]() -> absl::StatusOr<bool> { return absl::InternalError("not asked"); },
                               absl::Hours(1000), control_, logger_);
}

}  // namespace
}  // namespace evilmoe
