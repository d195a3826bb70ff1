#include "rollout_workers/rollout_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace evilmoe {
namespace {

using ::testing::HasSubstr;

constexpr char kLeast[] = "coordinator: unix:/c\ngrader: unix:/g\nworker_id: w\n";

TEST(RolloutWorkerConfig, LeastFileHasItsDefaults) {
  const auto config = ParseRolloutWorkerConfig(kLeast, "r.yaml");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_TRUE(config->adapter_cache.empty());
  EXPECT_EQ(config->drain_s, 3);
  EXPECT_EQ(config->max_samples, 128);
}

TEST(RolloutWorkerConfig, ReadsCacheAndDrain) {
  const auto config = ParseRolloutWorkerConfig(std::string(kLeast) + "adapter_cache: /var/a\ndrain_s: 600\n", "r.yaml");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->adapter_cache, "/var/a");
  EXPECT_EQ(config->drain_s, 600);
}

TEST(RolloutWorkerConfig, RefusesADrainOutOfRange) {
  for (const char* value : {"-1", "86401", "soon"}) {
    const auto config = ParseRolloutWorkerConfig(std::string(kLeast) + "drain_s: " + value + "\n", "r.yaml");
    EXPECT_TRUE(absl::IsInvalidArgument(config.status())) << value;
    EXPECT_THAT(std::string(config.status().message()), HasSubstr("r.yaml:4:10: drain_s"));
  }
}

}  // namespace
}  // namespace evilmoe
