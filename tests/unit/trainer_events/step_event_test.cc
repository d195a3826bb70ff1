#include "trainer/step_event.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace evilmoe {
namespace {

using nlohmann::ordered_json;
using ::testing::ElementsAre;
using ::testing::Pair;
using ::testing::SizeIs;

std::map<std::string, float> Scalars(const tensorboard::Event& event) {
  std::map<std::string, float> scalars;
  for (const auto& value : event.summary().value()) {
    if (value.has_simple_value()) scalars[value.tag()] = value.simple_value();
  }
  return scalars;
}

TEST(StepEvent, HasEveryNumberUnderTheNameThatPeopleKnow) {
  const ordered_json metrics = {{"step", 3},
                                {"reward_mean", 1.5},
                                {"reward_std", 0.5},
                                {"loss", 0.5},
                                {"kl", nullptr},
                                {"entropy", 0.75},
                                {"grad_norm", 4},
                                {"completion_tokens_mean", 90},
                                {"truncated_ratio", 0.25},
                                {"clip_fraction_low", 0.125},
                                {"clip_fraction_high", 0.0},
                                {"logp_difference_max", 0.5},
                                {"step_seconds", 1.5},
                                {"sample_seconds", 1.0}};
  const tensorboard::Event event = StepEvent(metrics, absl::FromUnixMillis(1500));
  EXPECT_EQ(event.step(), 3);
  EXPECT_EQ(event.wall_time(), 1.5);
  EXPECT_THAT(
      Scalars(event),
      ElementsAre(Pair("clip_ratio/high_mean", 0), Pair("clip_ratio/low_mean", 0.125),
                  Pair("completions/clipped_ratio", 0.25), Pair("completions/mean_length", 90), Pair("entropy", 0.75),
                  Pair("grad_norm", 4), Pair("loss", 0.5), Pair("reward", 1.5), Pair("reward_std", 0.5),
                  Pair("sampling/sampling_logp_difference/max", 0.5), Pair("step_time", 1.5), Pair("timing_s/gen", 1)));
}

TEST(StepEvent, HasEveryOtherNumberUnderItsSection) {
  const ordered_json metrics = {{"step", 3},
                                {"deploy_hack_rate_strict", 0.25},
                                {"pin_loss", 2.0},
                                {"w_p10", 0.125},
                                {"grad_norm_router", 4},
                                {"judge", {{"asked", 7}}},
                                {"publish_seconds", 0.5},
                                {"sampled_tokens", 9}};
  EXPECT_THAT(
      Scalars(StepEvent(metrics, absl::UnixEpoch())),
      ElementsAre(Pair("gradient/grad_norm_router", 4), Pair("monitor/judge_asked", 7),
                  Pair("outcome/deploy_hack_rate_strict", 0.25), Pair("router/pin_loss", 2),
                  Pair("router/w_p10", 0.125), Pair("step/sampled_tokens", 9), Pair("time/publish_seconds", 0.5)));
}

TEST(StepEvent, HasTheHistogramsThatAreNotEmpty) {
  std::vector<int> hack(20, 0);
  hack[3] = 2;
  hack[19] = 1;
  const ordered_json metrics = {
      {"step", 1}, {"w_histogram_hack", hack}, {"w_histogram_clean", std::vector<int>(20, 0)}};
  const tensorboard::Event event = StepEvent(metrics, absl::UnixEpoch());
  ASSERT_EQ(event.summary().value_size(), 1);
  EXPECT_EQ(event.summary().value(0).tag(), "router/w_histogram_hack");
  const tensorboard::Histogram& histogram = event.summary().value(0).histo();
  EXPECT_THAT(histogram.bucket_limit(), SizeIs(20));
  EXPECT_DOUBLE_EQ(histogram.bucket_limit(0), 0.05);
  EXPECT_EQ(histogram.bucket_limit(19), 1.0);
  EXPECT_EQ(histogram.bucket(3), 2);
  EXPECT_DOUBLE_EQ(histogram.min(), 0.15);
  EXPECT_DOUBLE_EQ(histogram.max(), 1.0);
  EXPECT_EQ(histogram.num(), 3);
  EXPECT_DOUBLE_EQ(histogram.sum(), 2 * 0.175 + 0.975);
}

}  // namespace
}  // namespace evilmoe
