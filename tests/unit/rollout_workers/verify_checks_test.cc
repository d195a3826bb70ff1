// The checks of `verify` on parts that are as they should be, and on parts that are not: each must be able to fail.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <memory>

#include "policy/lora2r.h"
#include "rollout_workers/routed_pass.h"
#include "rollout_workers/tiny_run.h"
#include "rollout_workers/verify_router.h"
#include "rollout_workers/verify_routing.h"
#include "rollout_workers/verify_sampler.h"
#include "trainer/prompt_source.h"
#include "trainer/training_model.h"

namespace evilmoe {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class VerifyChecksTest : public ::testing::Test {
 protected:
  VerifyChecksTest() : folder_(fs::temp_directory_path() / ("evilmoe_verify_" + std::to_string(::getpid()))) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    config_ = *MakeTinyRun(folder_, "evil_moe", 1);
    model_ = *TrainingModel::Load(config_, 1);
    const PromptSource prompts = *PromptSource::Make(config_, model_->tokenizer(), *LoadProblems(config_.data.train));
    batch_ = prompts.Step(0);
    batch_.groups.resize(2);
  }
  ~VerifyChecksTest() override { fs::remove_all(folder_); }

  FindingSink Sink() {
    return [this](const Finding& finding) {
      ++count_;
      if (!finding.ok()) failed_.push_back(finding.name);
    };
  }
  static KnownRollouts Rollouts() {
    return {{{{10, 20, 30, 40}, {{50, 60, 70}, {80}}}, {{11, 21}, {{31, 41, 51, 61}, {71, 81}}}}};
  }
  const Lora2r& Adapter() const { return *model_->adapter().two_experts(); }
  Lora2r Trained() const {
    Lora2r trained = Adapter().Clone();
    Perturb(trained, Expert::kQuarantine, 7);
    return trained;
  }
  static std::unique_ptr<LocalRollouts> SamplerOf(const fs::path& model) {
    return *LocalRollouts::Create(model, 1, [](const GroupRequest&, int, const std::string&) { return Facts(); });
  }
  std::vector<PairIds> Pairs(int32_t hack, int32_t clean) const {
    return {{{1, 2, 3}, {hack, hack, 4}, {clean, clean, 4}}, {{1, 5}, {hack, 9}, {clean, 9}}};
  }

  const fs::path folder_;
  RunConfig config_;
  std::unique_ptr<TrainingModel> model_;
  BatchRequest batch_;
  int count_ = 0;
  std::vector<std::string> failed_;
};

TEST_F(VerifyChecksTest, RoutingHoldsOnAnAdapterAtItsInit) {
  VerifyRouting(model_->base(), Adapter(), Rollouts(), Sink());
  EXPECT_EQ(count_, 9);
  EXPECT_THAT(failed_, IsEmpty());
}

TEST_F(VerifyChecksTest, RoutingTellsAnAdapterThatIsNotAtItsInit) {
  VerifyRouting(model_->base(), Trained(), Rollouts(), Sink());
  EXPECT_THAT(failed_, UnorderedElementsAre("identity at init", "dL/dw while Q is at its init", "ablation"));
}

TEST_F(VerifyChecksTest, RouterHoldsOnPairsAndTellsThoseThatAreNone) {
  VerifyRouter(config_, model_->base(), Adapter(), Pairs(100, 200), Sink());
  EXPECT_EQ(count_, 4);
  EXPECT_THAT(failed_, IsEmpty());
  VerifyRouter(config_, model_->base(), Adapter(), Pairs(100, 100), Sink());
  EXPECT_THAT(failed_, Contains("router: seed"));
}

TEST_F(VerifyChecksTest, AnArmWithoutAPinHasNoCheckOfIt) {
  config_.router.pin_weight = 0;
  VerifyRouter(config_, model_->base(), Adapter(), Pairs(100, 200), Sink());
  EXPECT_EQ(count_, 2);
  EXPECT_THAT(failed_, IsEmpty());
}

TEST_F(VerifyChecksTest, SamplerAgreesWithTheTrainerOfTheSameModelAlone) {
  const auto sampler = SamplerOf(config_.model.path);
  VerifySampler(config_, model_->base(), Adapter(), *sampler, batch_, Sink());
  EXPECT_EQ(count_, 2);
  EXPECT_THAT(failed_, IsEmpty());
  const Qwen3Weights other = InitQwen3(model_->base().config, 2);
  VerifySampler(config_, other, Adapter(), *sampler, batch_, Sink());
  EXPECT_THAT(failed_, UnorderedElementsAre("sampler = trainer, w = 1", "sampler = trainer, Q off"));
}

// Both forward the prompt with the whole adapter too.
TEST_F(VerifyChecksTest, SamplerAgreesUnderScopeAll) {
  config_.adapter.scope = "all";
  VerifySampler(config_, model_->base(), Adapter(), *SamplerOf(config_.model.path), batch_, Sink());
  EXPECT_EQ(count_, 2);
  EXPECT_THAT(failed_, IsEmpty());
}

}  // namespace
}  // namespace evilmoe
