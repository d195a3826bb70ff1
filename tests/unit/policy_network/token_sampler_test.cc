#include "policy/sampler/token_sampler.h"

#include <cmath>

#include <gtest/gtest.h>

namespace evilmoe {
namespace {

// Probabilities 0.5, 0.25, 0.125, 0.125 at temperature 1.
const std::vector<float> kLogits = {std::log(4.0f), std::log(2.0f), 0.0f, 0.0f};

struct DrawCase {
  const char* name;
  SamplingSettings settings;
  double uniform;
  int32_t want_id;
  double want_probability;
};
class DrawTest : public ::testing::TestWithParam<DrawCase> {};

TEST_P(DrawTest, DrawsByTheInverseCdf) {
  const SampledToken token = SampleToken(kLogits, GetParam().settings, GetParam().uniform);
  EXPECT_EQ(token.id, GetParam().want_id);
  EXPECT_NEAR(std::exp(token.logprob), GetParam().want_probability, 1e-6);
}

INSTANTIATE_TEST_SUITE_P(Cases, DrawTest,
                         ::testing::ValuesIn(std::vector<DrawCase>{
                             {"First", {}, 0.49, 0, 0.5},
                             {"Second", {}, 0.51, 1, 0.25},
                             {"Last", {}, 0.99, 3, 0.125},
                             {"ColdIsSharper", {.temperature = 0.5}, 0.7, 0, 16.0 / 22},
                             {"TopKCutsButTheLogProbIsUncut", {.top_k = 1}, 0.99, 0, 0.5},
                             {"TopPKeepsTheTokenThatReachesIt", {.top_p = 0.6}, 0.9, 1, 0.25},
                             {"TopPOfAlmostNothingIsGreedy", {.top_p = 1e-9}, 0.99, 0, 0.5},
                         }),
                         [](const auto& c) { return c.param.name; });

}  // namespace
}  // namespace evilmoe
