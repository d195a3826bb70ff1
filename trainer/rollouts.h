#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "environment/facts.h"
#include "environment/problem.h"
#include "policy/adapter_mode.h"
#include "policy/sampler/token_sampler.h"

namespace evilmoe {

// What the trainer asks of the rollout side, and what comes back. Free of torch and of the wire.

// One prompt and its samples.
struct GroupRequest {
  int64_t index = 0;                 // within its batch
  const Problem* problem = nullptr;  // must outlive the request
  std::string loophole;              // as the prompt shows it; "none" when unhackable
  std::string evaluator;             // this and the next two as in RenderedPrompt
  std::vector<std::string> markers;
  std::string prompt_tests;
  std::vector<int32_t> prompt_ids;
  int num_samples = 1;
  uint64_t seed = 0;
  AdapterMode mode;
};

struct BatchRequest {
  std::string key;   // unique in the run: "step/12", "ablation/60/on"
  int64_t step = 0;  // training steps done before it
  SamplingSettings sampling;
  std::vector<GroupRequest> groups;
  // 0: every group is sampled with the adapter published last. Above 0: each with the newest one of the moment at which
  // its sampling begins, which is at most so many steps older than `step`.
  int max_policy_lag = 0;
  bool evaluation = false;  // nothing trains on it: a run that is to pause abandons it
};

// `failure` empty: sampled and graded. Otherwise the infrastructure lost it and no other field holds.
struct Sample {
  std::vector<int32_t> ids;
  std::vector<float> logprobs;  // of the sampler, at its temperature, one an id
  std::string text;
  bool stopped = false;  // false = cut at max_tokens
  Facts facts;
  std::string failure;
};

// When a group went through its stages, for the run's trace alone. The infinite past: not known.
struct GroupTimes {
  // By the trainer's clock.
  absl::Time opened = absl::InfinitePast();   // its batch was opened
  absl::Time fetched = absl::InfinitePast();  // it was here
  // By the clock of the worker that had it.
  absl::Time leased = absl::InfinitePast();
  absl::Time sampled = absl::InfinitePast();    // its last sample ended
  absl::Time grading = absl::InfinitePast();    // its first grade began
  absl::Time handed_in = absl::InfinitePast();  // its last grade was there
  std::string worker;
};

struct GroupSamples {
  int64_t index = 0;
  std::vector<Sample> samples;  // in order of sample number
  // Steps done in the adapter that they were sampled with; unset: nobody could sample them, or nobody said.
  std::optional<int64_t> policy_step = {};
  GroupTimes times = {};
};

// Whoever samples and grades.
class Rollouts {
 public:
  virtual ~Rollouts() = default;
  // Makes the adapter of `step` known. Idempotent.
  virtual absl::Status Publish(int64_t step, const std::string& adapter_bytes) = 0;
  // Opens a batch with a policy lag, so that its sampling may begin while others are trained on. Idempotent, and never
  // needed: Run() opens what is not open, and an implementation that cannot work ahead leaves it at that.
  virtual absl::Status Open(const BatchRequest& batch) {
    static_cast<void>(batch);
    return absl::OkStatus();
  }
  // Opens the batch, waits for all of it and closes it; groups come back in order of index. Unavailable: nobody
  // answered within the deadline of the implementation. Aborted: the run was cancelled or taken over. Cancelled: asked
  // to stop.
  virtual absl::StatusOr<std::vector<GroupSamples>> Run(const BatchRequest& batch) = 0;
};

}  // namespace evilmoe
