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

// By hand, of 100 steps with 10 of warm-up: min(1, (t + 1) / 10) times 1, 1 − t / 100 or 0.1 + 0.45 (1 + cos(π t /
// 100)).
INSTANTIATE_TEST_SUITE_P(Cases, ScheduleTest,
                         ::testing::ValuesIn(std::vector<ScheduleCase>{
                             {"ConstantFirst", "constant", 0, 0.1},
                             {"ConstantLastOfWarmup", "constant", 9, 1.0},
                             {"ConstantAfter", "constant", 60, 1.0},
                             {"LinearFirst", "linear", 0, 0.1},
                             {"LinearHalfWarm", "linear", 4, 0.5 * 0.96},
                             {"LinearThreeQuarters", "linear", 75, 0.25},
                             {"LinearLast", "linear", 99, 0.01},
                             {"CosineFirst", "cosine", 0, 0.1},
                             {"CosineQuarter", "cosine", 25, 0.1 + 0.45 * (1 + 0.7071067811865476)},
                             {"CosineHalf", "cosine", 50, 0.55},
                             {"CosineFifth", "cosine", 20, 0.1 + 0.45 * (1 + 0.8090169943749475)},
                             {"CosineLast", "cosine", 99, 0.1 + 0.45 * (1 - 0.9995065603657316)}}),
                         [](const auto& c) { return c.param.name; });

// Without warm-up, what get_linear_schedule_with_warmup and get_cosine_schedule_with_warmup of transformers give: the
// same line, and the same cosine stretched from [0, 1] to [0.1, 1].
TEST(ScheduleFactorTest, WithoutWarmupIsThatOfTransformers) {
  for (int64_t t = 0; t < 40; ++t) {
    const double progress = static_cast<double>(t) / 40.0;
    const double linear = std::max(0.0, 1.0 - progress);
    const double cosine = 0.5 * (1.0 + std::cos(3.141592653589793 * progress));
    EXPECT_NEAR(ScheduleFactor("linear", t, 40, 0), linear, 1e-12) << t;
    EXPECT_NEAR(ScheduleFactor("cosine", t, 40, 0), 0.1 + 0.9 * cosine, 1e-12) << t;
  }
}

}  // namespace
}  // namespace evilmoe
