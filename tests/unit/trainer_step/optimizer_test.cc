#include "trainer/optimizer.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

namespace evilmoe {
namespace {

// The update by its definition, in double precision.
struct ReferenceAdamW {
  double p, anchor, m = 0, v = 0;
  int t = 0;
  void Step(double g, const AdamWOptions& o) {
    ++t;
    p -= o.learning_rate * o.decay * (p - anchor);
    m = o.beta1 * m + (1 - o.beta1) * g;
    v = o.beta2 * v + (1 - o.beta2) * g * g;
    p -= o.learning_rate * (m / (1 - std::pow(o.beta1, t))) / (std::sqrt(v / (1 - std::pow(o.beta2, t))) + o.epsilon);
  }
};

TEST(AdamWTest, AgreesWithTheDefinitionAndDecaysToTheAnchor) {
  const AdamWOptions options{.learning_rate = 0.05, .beta1 = 0.9, .beta2 = 0.99, .decay = 0.3};
  at::Tensor p = at::tensor({1.0f, -2.0f});
  AdamW adam({p}, {at::tensor({0.5f, 0.0f})}, options);
  ReferenceAdamW want[2] = {{1.0, 0.5}, {-2.0, 0.0}};
  for (int t = 0; t < 20; ++t) {
    const double g[2] = {std::sin(t), 0.1 * t};
    adam.Step({at::tensor({static_cast<float>(g[0]), static_cast<float>(g[1])})}, 1.0);
    for (int i = 0; i < 2; ++i) want[i].Step(g[i], options);
  }
  for (int i = 0; i < 2; ++i) EXPECT_NEAR(p[i].item<double>(), want[i].p, 1e-5);
}

TEST(AdamWTest, GoesOnAfterARestoreAsIfItHadNotStopped) {
  const auto gradient = [](int t) { return at::tensor({std::cos(static_cast<float>(t))}); };
  at::Tensor straight = at::tensor({1.0f}), stopped = at::tensor({1.0f});
  AdamW a({straight}, {}, {}), b({stopped}, {}, {});
  for (int t = 0; t < 6; ++t) a.Step({gradient(t)}, 1.0);
  for (int t = 0; t < 3; ++t) b.Step({gradient(t)}, 1.0);
  AdamW c({stopped}, {}, {});
  c.Restore(b.moments(), b.steps_done());
  for (int t = 3; t < 6; ++t) c.Step({gradient(t)}, 1.0);
  EXPECT_TRUE(at::equal(straight, stopped));
}

TEST(ClipGradNormTest, ScalesOnlyWhatIsTooLong) {
  std::vector<at::Tensor> gradients = {at::tensor({3.0f}), at::Tensor(), at::tensor({4.0f})};
  EXPECT_NEAR(ClipGradNorm(gradients, 10.0), 5.0, 1e-6);
  EXPECT_EQ(gradients[0].item<float>(), 3.0f);
  EXPECT_NEAR(ClipGradNorm(gradients, 1.0), 5.0, 1e-6);
  EXPECT_NEAR(gradients[2].item<double>(), 0.8, 1e-5);
}

struct ScheduleCase {
  const char* name;
  const char* schedule;
  int64_t step;
  double want;
};
class ScheduleTest : public ::testing::TestWithParam<ScheduleCase> {};

TEST_P(ScheduleTest, Factor) {
  EXPECT_NEAR(ScheduleFactor(GetParam().schedule, GetParam().step, 100, 10), GetParam().want, 1e-9);
}

INSTANTIATE_TEST_SUITE_P(Cases, ScheduleTest,
                         ::testing::ValuesIn(std::vector<ScheduleCase>{{"WarmsUp", "constant", 0, 0.1},
                                                                       {"Constant", "constant", 60, 1.0},
                                                                       {"CosineHalf", "cosine", 50, 0.55},
                                                                       {"LinearThreeQuarters", "linear", 75, 0.25}}),
                         [](const auto& c) { return c.param.name; });

}  // namespace
}  // namespace evilmoe
