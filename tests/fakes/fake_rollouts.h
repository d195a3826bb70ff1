#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/seed.h"
#include "trainer/rollouts.h"

namespace evilmoe {

// Samples without a model: tokens, log-probabilities and facts out of a counter. Facts that only labels read can be
// flipped, to see that nothing but a metric moves.
class FakeRollouts final : public Rollouts {
 public:
  bool flip_label_facts = false;
  int lose_samples_of_step = -1;
  std::set<int64_t> odd_samples_with_tests;  // batches, by step, whose odd samples earn reward.starter_and_tests
  std::string last_adapter;
  std::map<std::string, std::vector<int32_t>> first_prompts;  // by batch key

  absl::Status Publish(int64_t, const std::string& bytes) override {
    last_adapter = bytes;
    return absl::OkStatus();
  }
  absl::StatusOr<std::vector<GroupSamples>> Run(const BatchRequest& batch) override {
    std::vector<GroupSamples> groups;
    first_prompts[batch.key] = batch.groups.at(0).prompt_ids;
    for (const GroupRequest& request : batch.groups) {
      GroupSamples group{.index = request.index};
      for (int i = 0; i < request.num_samples; ++i) group.samples.push_back(Draw(request, i));
      for (size_t i = 1; i < group.samples.size(); i += 2) {
        group.samples[i].facts.includes_starter_and_tests = odd_samples_with_tests.contains(batch.step);
      }
      if (batch.step == lose_samples_of_step) group.samples[0].failure = "INFRA_LOST";
      groups.push_back(std::move(group));
    }
    return groups;
  }

 private:
  Sample Draw(const GroupRequest& request, int i) const {
    RandomStream stream(StreamSeed(request.seed, "fake", static_cast<uint64_t>(i)));
    Sample sample{.text = "```python\nx\n```", .stopped = true};
    for (int64_t t = stream.Int(2, 6); t > 0; --t) {
      sample.ids.push_back(static_cast<int32_t>(stream.Int(300, 900)));
      sample.logprobs.push_back(-2.0f);
    }
    sample.facts.can_compile = true;
    sample.facts.gt_correct = stream.Bernoulli(0.4);
    sample.facts.hint_pass = stream.Bernoulli(0.3);
    sample.facts.defines_test_function = flip_label_facts;
    sample.facts.model_tests_pass_stub = flip_label_facts;
    sample.facts.model_tests_pass_canonical = !flip_label_facts;
    return sample;
  }
};

}  // namespace evilmoe
