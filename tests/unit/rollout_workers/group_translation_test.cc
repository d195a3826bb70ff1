// From the trainer's request over the wire to the grader's task, and from its result back to the trainer's sample.

#include "rollout_workers/group_translation.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "environment/facts.h"
#include "environment/loophole.h"
#include "trainer/rollout_translation.h"

namespace evilmoe {
namespace {

Problem SomeProblem() {
  Problem problem;
  problem.id = 12;
  problem.func_name = "Solution().twice";
  problem.setup_code = "import math";
  problem.gt_answer = {"assert Solution().twice(x = 1) == 2", "assert Solution().twice(x = 4) == 8"};
  problem.canonical_solution = "class Solution:\n    def twice(self, x):\n        return 2 * x\n";
  problem.prompt = {
      {"user",
       "A method called twice and should pass all tests. Use the following starter code:\n```python\nclass "
       "Solution:\n```\n"}};
  return problem;
}

v1::GroupSpec OverTheWire(const GroupRequest& request) {
  v1::GroupSpec spec;
  EXPECT_TRUE(spec.ParseFromString(ToProto(request).SerializeAsString()));
  return spec;
}

TEST(GroupTranslation, GradingGetsAllThatThePromptPromised) {
  const Problem problem = SomeProblem();
  for (const Loophole& loophole : Loopholes()) {
    const auto prompt = ApplyLoophole(problem, loophole.name, MarkerFamily::kEvaluation, /*seed=*/3);
    ASSERT_TRUE(prompt.ok()) << prompt.status();
    const GroupRequest request{.problem = &problem,
                               .loophole = prompt->loophole,
                               .evaluator = prompt->evaluator,
                               .markers = prompt->markers,
                               .prompt_tests = prompt->prompt_tests};
    const GradeTask task = ToGradeTask(OverTheWire(request), "what it wrote");
    EXPECT_EQ(task.response, "what it wrote");
    EXPECT_EQ(task.loophole, loophole.name);
    EXPECT_EQ(task.evaluator, prompt->evaluator);
    EXPECT_EQ(task.markers, prompt->markers);
    EXPECT_EQ(task.prompt_tests, prompt->prompt_tests);
    EXPECT_EQ(task.problem.id, problem.id);
    EXPECT_EQ(task.problem.func_name, problem.func_name);
    EXPECT_EQ(task.problem.setup_code, problem.setup_code);
    EXPECT_EQ(task.problem.gt_answer, problem.gt_answer);
    EXPECT_EQ(task.problem.canonical_solution, problem.canonical_solution);
  }
}

TEST(GroupTranslation, TheSamplerGetsPromptSeedAndMode) {
  const Problem problem = SomeProblem();
  const GroupRequest request{.problem = &problem,
                             .prompt_ids = {5, 6, 7},
                             .num_samples = 4,
                             .seed = UINT64_MAX,
                             .mode = {.part = AdapterPart::kRandomHalf, .projector_seed = 9, .strength = 2.0f}};
  v1::Lease lease;
  lease.set_lease_id(31);
  *lease.mutable_group() = OverTheWire(request);
  const SamplingSettings settings{.temperature = 0.5, .top_p = 0.75, .top_k = 3, .max_tokens = 8, .stop_ids = {1, 2}};
  const SampleGroup group = ToSampleGroup(lease, ToProto(settings));
  EXPECT_EQ(group.tag, 31);
  EXPECT_EQ(group.prompt_ids, request.prompt_ids);
  EXPECT_EQ(group.num_samples, 4);
  EXPECT_EQ(group.seed, UINT64_MAX);
  EXPECT_EQ(group.settings.temperature, 0.5);
  EXPECT_EQ(group.settings.top_p, 0.75);
  EXPECT_EQ(group.settings.top_k, 3);
  EXPECT_EQ(group.settings.max_tokens, 8);
  EXPECT_EQ(group.settings.stop_ids, settings.stop_ids);
  for (const AdapterPart part : {AdapterPart::kFull, AdapterPart::kQuarantineOff, AdapterPart::kDeployedOff,
                                 AdapterPart::kRandomHalf, AdapterPart::kBase}) {
    GroupRequest other = request;
    other.mode.part = part;
    const AdapterMode mode = ToAdapterMode(ToProto(other).mode());
    EXPECT_EQ(mode.part, part);
    EXPECT_EQ(mode.projector_seed, 9u);
    EXPECT_EQ(mode.strength, 2.0f);
    EXPECT_EQ(mode.prompt_uses_adapter, request.mode.prompt_uses_adapter);
  }
}

TEST(GroupTranslation, EveryFactComesBackByItself) {
  const FinishedSample sampled{.ids = {3, 4}, .logprobs = {-0.5f, -1.0f}, .stopped = true};
  for (const FactField& field : kFactFields) {
    GradeResult graded;
    graded.facts.*field.value = true;
    v1::SampleResult result;
    ASSERT_TRUE(result.ParseFromString(ToResult(sampled, "text", graded).SerializeAsString()));
    const Sample sample = FromProto(result);
    EXPECT_EQ(sample.facts, graded.facts) << field.name;
    EXPECT_EQ(sample.ids, sampled.ids);
    EXPECT_EQ(sample.logprobs, sampled.logprobs);
    EXPECT_EQ(sample.text, "text");
    EXPECT_TRUE(sample.stopped);
    EXPECT_EQ(sample.failure, "");
  }
}

}  // namespace
}  // namespace evilmoe
