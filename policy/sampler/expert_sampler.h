#pragma once

#include <cstdint>
#include <memory>

#include "policy/mixlora.h"
#include "policy/qwen3_weights.h"
#include "policy/sampler/group_sampler.h"

namespace evilmoe {

// A base model and per-token experts over it, which no weights can be merged with.
struct ExpertModel {
  Qwen3Weights base;
  MixLora adapter;
};

struct ExpertSamplerOptions {
  int max_running = 64;                        // samples that step together, >= 1
  int64_t kv_budget_bytes = int64_t{1} << 30;  // for keys and values, >= 1
};

// Samples with per-token experts in ATen, with a cache of keys and values. A group's samples start together and are
// forwarded together, apart from other groups: so a sample depends on its group and these options, and not on what else
// runs. More samples than options allow at once take turns, in chunks of one size. Runs on the thread's ATen threads.
class ExpertSampler final : public GroupSampler {
 public:
  // InvalidArgument: an option below 1.
  static absl::StatusOr<std::unique_ptr<ExpertSampler>> Create(std::shared_ptr<const ExpertModel> model,
                                                               const ExpertSamplerOptions& options);
  ~ExpertSampler() override;

  absl::Status Add(const SampleGroup& group) override;
  void Cancel(int64_t tag) override;
  int num_running() const override;
  int num_waiting() const override;
  PrefixUse TakePrefixUse() override;
  absl::StatusOr<std::vector<FinishedSample>> Step() override;

 private:
  class Impl;
  explicit ExpertSampler(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace evilmoe
