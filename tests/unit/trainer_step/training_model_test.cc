#include "trainer/training_model.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/unit/trainer_step/training_loop_fixture.h"

namespace evilmoe {
namespace {

class TrainingModelTest : public TrainingLoopTest {
 protected:
  TrainingModelTest() { config_.optimizer.decay_to_init = 0; }

  // Two groups of two samples that pull apart.
  static std::vector<TrainGroup> Groups() {
    std::vector<TrainGroup> groups;
    for (int32_t g = 0; g < 2; ++g) {
      TrainGroup group{.prompt_ids = {300 + g, 301, 302}};
      for (int32_t i = 0; i < 2; ++i) {
        group.samples.push_back({.ids = {400 + g, 410 + i, 420}, .sampler_logprobs = {-2, -2, -2}});
        group.samples.back().advantage = i == 0 ? 1 : -1;
      }
      groups.push_back(std::move(group));
    }
    return groups;
  }
  // One step of a fresh model with this config.
  TrainingModel::Update Step() {
    auto model = TrainingModel::Load(config_, 1);
    EXPECT_TRUE(model.ok()) << model.status();
    model_ = *std::move(model);
    state_ = model_->State(0);
    direction_ = Tensor("router.u").detach().clone();
    const auto update = model_->Step(0, Groups());
    EXPECT_TRUE(update.ok()) << update.status();
    return *update;
  }
  static at::Tensor Find(const TrainerState& state, const std::string& name) {
    for (const auto& [key, tensor] : state.tensors) {
      if (key == name) return tensor;
    }
    ADD_FAILURE() << name;
    return {};
  }
  at::Tensor Tensor(const std::string& name) const { return Find(state_, name); }
  const AdamW& Optimizer(const std::string& name) const {
    const auto found = std::ranges::find(state_.optimizers, name, &std::pair<std::string, AdamW*>::first);
    EXPECT_NE(found, state_.optimizers.end()) << name;
    return *found->second;
  }
  // The norm of the gradients that an optimizer was given in its first step: m = (1 − β1) g.
  double NormGiven(const AdamW& optimizer) const {
    double squares = 0;
    const std::vector<at::Tensor> moments = optimizer.moments();
    for (size_t i = 0; i < moments.size(); i += 2) squares += moments[i].square().sum().item<double>();
    return std::sqrt(squares) / (1 - config_.optimizer.betas[0]);
  }

  std::unique_ptr<TrainingModel> model_;
  TrainerState state_;
  at::Tensor direction_;  // u before the step
};

TEST_F(TrainingModelTest, TheNormOfTheAdapterIsClippedAndTheRoutersIsLeft) {
  config_.optimizer.max_grad_norm = 1e9;
  const TrainingModel::Update free = Step();
  ASSERT_GT(free.grad_norm, 0);
  ASSERT_GT(free.grad_norm_router, 0);
  EXPECT_NEAR(NormGiven(Optimizer("adapter")), free.grad_norm, 1e-4 * free.grad_norm);
  const std::vector<at::Tensor> router_moments = Optimizer("direction").moments();
  const at::Tensor u = Tensor("router.u").detach().clone();

  config_.optimizer.max_grad_norm = free.grad_norm / 8;
  const TrainingModel::Update clipped = Step();
  EXPECT_EQ(clipped.grad_norm, free.grad_norm);  // measured before
  EXPECT_NEAR(NormGiven(Optimizer("adapter")), free.grad_norm / 8, 1e-4 * free.grad_norm);
  EXPECT_EQ(clipped.grad_norm_router, free.grad_norm_router);
  EXPECT_TRUE(at::equal(Optimizer("direction").moments()[0], router_moments[0]));
  EXPECT_TRUE(at::equal(Tensor("router.u").detach(), u));
}

// The first step of AdamW is as long as the learning rate in every element that has a gradient.
TEST_F(TrainingModelTest, TheRouterHasLearningRatesOfItsOwnThatNoScheduleScales) {
  config_.optimizer.learning_rate = 1e-3;
  config_.optimizer.warmup_steps = 10;
  config_.router.learning_rate = 2e-3;
  config_.router.scale_learning_rate = 3e-2;
  auto model = TrainingModel::Load(config_, 1);
  ASSERT_TRUE(model.ok()) << model.status();
  const double scale = Find((*model)->State(0), "router.log_scale").item<double>();
  const TrainingModel::Update update = Step();
  EXPECT_DOUBLE_EQ(update.learning_rate, 1e-4);
  const TrainedAdapter::Parameter& last = state_.adapter->parameters().back();
  EXPECT_NEAR((last.value - last.anchor).abs().max().item<double>(), 1e-4, 1e-5);
  EXPECT_NEAR((Tensor("router.u").detach() - direction_).abs().max().item<double>(), 2e-3, 2e-4);
  EXPECT_NEAR(std::abs(Tensor("router.log_scale").item<double>() - scale), 3e-2, 3e-3);
}

}  // namespace
}  // namespace evilmoe
