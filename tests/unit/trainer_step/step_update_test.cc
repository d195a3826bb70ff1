#include "trainer/step_update.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

namespace evilmoe {
namespace {

std::vector<TrainGroup> Groups(const std::vector<int>& sizes) {
  std::vector<TrainGroup> groups;
  int32_t id = 0;
  for (const int size : sizes) {
    TrainGroup group{.prompt_ids = {static_cast<int32_t>(groups.size())}};
    for (int i = 0; i < size; ++i) group.samples.push_back({.ids = {id++}});
    groups.push_back(std::move(group));
  }
  return groups;
}

TEST(MinibatchesTest, EverySampleIsInOneOfThemAndKnowsItsPlace) {
  const std::vector<TrainGroup> groups = Groups({3, 1, 4, 2, 2});
  for (const int count : {1, 2, 3, 5}) {
    const Minibatches batches(groups, count, 7);
    ASSERT_EQ(batches.size(), count);
    std::vector<size_t> places;
    for (int m = 0; m < count; ++m) {
      EXPECT_LE(batches.groups(m).size(),
                (groups.size() + static_cast<size_t>(count) - 1) / static_cast<size_t>(count));
      size_t next = 0;
      for (const TrainGroup& group : batches.groups(m)) {
        for (const TrainSample& sample : group.samples) {
          const size_t place = batches.sample_places(m)[next++];
          EXPECT_EQ(static_cast<size_t>(sample.ids[0]), place);
          places.push_back(place);
        }
      }
    }
    std::ranges::sort(places);
    std::vector<size_t> all(12);
    std::iota(all.begin(), all.end(), size_t{0});
    EXPECT_EQ(places, all) << count;
  }
}

TEST(MinibatchesTest, TheSeedDealsThem) {
  const std::vector<TrainGroup> groups = Groups({1, 1, 1, 1, 1, 1, 1, 1});
  EXPECT_EQ(Minibatches(groups, 2, 1).sample_places(0), Minibatches(groups, 2, 1).sample_places(0));
  EXPECT_NE(Minibatches(groups, 2, 1).sample_places(0), Minibatches(groups, 2, 2).sample_places(0));
}

TEST(UpdateMeanTest, TakesMeansSumsMaximaAndTheLastW) {
  StepUpdate one, two;
  one.stats = {.loss = 1, .w = {0.25}, .deployed_factor = {0.75}, .kl = 4, .ratio_max = 9, .tokens = 10};
  two.stats = {.loss = 3, .w = {0.5}, .deployed_factor = {0.5}, .ratio_max = 2, .tokens = 5};
  one.grad_norm = 2;
  two.grad_norm = 6;
  two.dropped = true;
  UpdateMean mean(3);
  mean.Add(one, {2});
  mean.Add(two, {0});
  const StepUpdate got = mean.Get();
  EXPECT_EQ(got.stats.loss, 2);
  EXPECT_EQ(got.grad_norm, 4);
  EXPECT_EQ(got.stats.kl, 4);  // of those that have one
  EXPECT_EQ(got.stats.ratio_max, 9);
  EXPECT_EQ(got.stats.ratio_mean, 1);
  EXPECT_EQ(got.stats.tokens, 15);
  EXPECT_EQ(got.stats.w, (std::vector<double>{0.5, 0, 0.25}));
  EXPECT_EQ(got.stats.deployed_factor, (std::vector<double>{0.5, 0, 0.75}));
  EXPECT_TRUE(got.dropped);
}

}  // namespace
}  // namespace evilmoe
