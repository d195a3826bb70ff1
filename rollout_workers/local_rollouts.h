#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "environment/facts.h"
#include "rollout_workers/group_runner.h"
#include "rollout_workers/policy_cache.h"
#include "trainer/rollouts.h"

namespace evilmoe {

// The rollout side within one process: samples as a worker does over an fp32 base, and asks `judge` for the facts. Not
// thread-safe.
class LocalRollouts final : public Rollouts {
 public:
  // Of one sample of a group.
  using Judge = std::function<Facts(const GroupRequest& group, int sample, const std::string& text)>;
  // `model`: folder of the base. Errors of PolicyCache::UseModel.
  static absl::StatusOr<std::unique_ptr<LocalRollouts>> Create(const std::filesystem::path& model, int threads,
                                                               Judge judge);

  absl::Status Publish(int64_t step, const std::string& adapter_bytes) override;
  // At once and with the adapter published last, whatever policy lag the batch allows. FailedPrecondition: nothing was
  // published. Errors of GroupRunner.
  absl::StatusOr<std::vector<GroupSamples>> Run(const BatchRequest& batch) override;
  // Of the adapter that was published last.
  const std::string& adapter_sha256() const { return adapter_sha256_; }

 private:
  LocalRollouts(int threads, Judge judge)
      : runner_({.max_samples = 4096, .threads = threads}), judge_(std::move(judge)) {}

  PolicyCache policies_;
  GroupRunner runner_;
  const Judge judge_;
  int64_t adapter_step_ = 0;
  std::string adapter_sha256_;
};

}  // namespace evilmoe
