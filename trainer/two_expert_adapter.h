#pragma once

#include "policy/lora2r_forward.h"
#include "trainer/trained_adapter.h"

namespace evilmoe {

// A deployed and a quarantined expert that share rollouts by a routing weight: every arm but `mixlora`.
class TwoExpertAdapter final : public TrainedAdapter {
 public:
  // Shares the parameters' storage with `lora`.
  explicit TwoExpertAdapter(const Lora2r& lora);

  absl::StatusOr<std::string> Serialize(const AdapterProvenance& provenance) const override {
    return lora_.Serialize(provenance);
  }
  std::unique_ptr<AdapterReplica> Replica() const override;
  BlockNorms Norms(const std::vector<at::Tensor>& gradients) const override;
  const Lora2r* two_experts() const override { return &lora_; }

 private:
  const Lora2r lora_;
};

}  // namespace evilmoe
