#include "trainer/relearn.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <map>

#include "policy/safetensors.h"
#include "policy/tensor_io.h"
#include "tests/unit/policy_network/tiny_network.h"
#include "tests/unit/trainer_step/training_loop_fixture.h"

namespace evilmoe {
namespace {

void Move(const Lora2r& adapter) {
  for (const AdapterModule& m : adapter.modules()) {
    const auto index = static_cast<uint64_t>(m.id.index());
    m.a.add_(NormalTensor(100 + index, m.a.size(0), m.a.size(1), 0.1));
    m.b.add_(NormalTensor(200 + index, m.b.size(0), m.b.size(1), 0.1));
  }
}

TEST(CutAdapterTest, HoldsWhatTheCutLeftBesideAFreshBlockThatAddsNothing) {
  const Qwen3Config config = TinyNetwork().config;
  for (const bool random_ab : {true, false}) {
    const Lora2r trained = *Lora2r::Init(config, TinyAdapterOptions(random_ab));
    Move(trained);
    for (const AdapterMode& mode :
         {AdapterMode{.part = AdapterPart::kQuarantineOff}, AdapterMode{.part = AdapterPart::kBase},
          AdapterMode{.part = AdapterPart::kRandomHalf, .projector_seed = 4}}) {
      const auto cut = CutAdapter(config, trained, mode, 11);
      ASSERT_TRUE(cut.ok()) << cut.status();
      EXPECT_EQ(cut->rank(), (random_ab ? 4 : 2) * trained.rank());
      for (size_t m = 0; m < trained.modules().size(); ++m) {
        const at::Tensor want = trained.Delta(trained.modules()[m], mode);
        const at::Tensor got = cut->Delta(cut->modules()[m], {.part = AdapterPart::kFull});
        EXPECT_LT((got - want).norm().item<double>(), 1e-5 * (1 + want.norm().item<double>()));
        EXPECT_EQ(cut->modules()[m].b.narrow(1, cut->rank(), cut->rank()).abs().max().item<double>(), 0);
      }
    }
  }
}

// Every other sample hacks from some batch on; keeps the adapters that it was given.
class Hacking final : public Rollouts {
 public:
  std::map<std::string, int> hacks_from;  // batches of a start that begin with "relearn/KEY/NAME/", from 1
  std::map<std::string, std::vector<std::string>> published;
  std::string last;

  absl::Status Publish(int64_t, const std::string& bytes) override {
    last = bytes;
    return absl::OkStatus();
  }
  absl::StatusOr<std::vector<GroupSamples>> Run(const BatchRequest& batch) override {
    const std::string start = batch.key.substr(0, batch.key.rfind('/'));
    published[start].push_back(last);
    const bool hacking = static_cast<int>(published[start].size()) >= hacks_from[start];
    std::vector<GroupSamples> groups;
    for (const GroupRequest& request : batch.groups) {
      EXPECT_EQ(request.mode.part, AdapterPart::kFull);
      EXPECT_TRUE(request.mode.prompt_uses_adapter);
      GroupSamples group{.index = request.index};
      for (int i = 0; i < request.num_samples; ++i) {
        Sample sample{.ids = {300 + i, 301}, .logprobs = {-1, -1}, .text = "x", .stopped = true};
        sample.facts = {.can_compile = true, .gt_correct = !hacking && i % 2 == 0, .hint_pass = hacking && i % 2 == 0};
        sample.facts.defines_test_function = sample.facts.model_tests_pass_stub = sample.facts.hint_pass;
        group.samples.push_back(std::move(sample));
      }
      groups.push_back(std::move(group));
    }
    return groups;
  }
};

class RelearnTest : public TrainingLoopTest {};

TEST_F(RelearnTest, CountsStepsUntilHackingIsBackAndMovesTheFreshBlockAlone) {
  config_.data.unhackable_fraction = 0;
  config_.rollout.prompts_per_step = 2;
  const auto model = *TrainingModel::Load(config_, 1);
  const Lora2r& trained = *model->adapter().two_experts();
  Move(trained);
  const PromptSource prompts = *PromptSource::Make(config_, model->tokenizer(), training_);
  const Relearn relearn(config_, model->base(), trained, prompts, {.steps = 4, .threshold = 0.4});
  Hacking rollouts;
  rollouts.hacks_from = {{"relearn/k/off", 3}, {"relearn/k/random_half", 1}, {"relearn/k/base", 9}};
  std::vector<std::string> told;
  const auto result =
      relearn.Run("k", 40, rollouts, clock_, [&](const Relearn::StepDone& done) { told.push_back(done.start); });
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(
      (*result)["line"],
      "relearn: steps until the hack rate is back at 0.40 (of 4): 3 from off, 1 from random_half, never from base");
  EXPECT_EQ((*result)["starts"][0]["hack_rate"], nlohmann::json({0.0, 0.0, 0.5}));
  EXPECT_EQ(told.size(), 3u + 1u + 4u);

  const auto first = *Lora2r::Deserialize(model->base().config, rollouts.published["relearn/k/base"][0]);
  const auto later = *Lora2r::Deserialize(model->base().config, rollouts.published["relearn/k/base"][3]);
  const int64_t r = first.rank();
  for (size_t m = 0; m < first.modules().size(); ++m) {
    const AdapterModule &before = first.modules()[m], &after = later.modules()[m];
    EXPECT_TRUE(at::equal(before.a.narrow(0, 0, r), after.a.narrow(0, 0, r)));
    EXPECT_TRUE(at::equal(before.b.narrow(1, 0, r), after.b.narrow(1, 0, r)));
    EXPECT_GT((before.b - after.b).abs().max().item<double>(), 0) << m;
  }
}

}  // namespace
}  // namespace evilmoe
