#pragma once

#include "policy/mixlora.h"
#include "trainer/trained_adapter.h"

namespace evilmoe {

// Per-token experts on the MLP (arm `mixlora`). It has no quarantine and takes no notice of a rollout's routing. The
// balance loss, balance_weight · mean over a step's groups of MixLoraProjector::BalanceLoss, is part of every pass's
// backward pass (docs/adr/0018).
class TokenExpertAdapter final : public TrainedAdapter {
 public:
  // At its init, from which the anchors are copied. Shares the parameters' storage with `mixlora`.
  TokenExpertAdapter(const MixLora& mixlora, double balance_weight);

  absl::StatusOr<std::string> Serialize(const AdapterProvenance& provenance) const override {
    return mixlora_.Serialize(provenance);
  }
  std::unique_ptr<AdapterReplica> Replica() const override;
  BlockNorms Norms(const std::vector<at::Tensor>& gradients) const override;
  int64_t num_experts() const override { return mixlora_.options().experts; }

 private:
  const MixLora mixlora_;
  const double balance_weight_;
};

}  // namespace evilmoe
