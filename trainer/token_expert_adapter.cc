#include "trainer/token_expert_adapter.h"

#include <ATen/ATen.h>

#include <cmath>

#include "policy/mixlora_forward.h"

namespace evilmoe {
namespace {

std::vector<TrainedAdapter::Parameter> ParametersOf(const MixLora& mixlora) {
  std::vector<TrainedAdapter::Parameter> parameters;
  for (const auto& [name, tensor] : mixlora.Named()) parameters.push_back({name, tensor, tensor.detach().clone()});
  return parameters;
}

std::vector<at::Tensor> InOrder(const MixLora& leaves) {
  std::vector<at::Tensor> all;
  for (const auto& [name, leaf] : leaves.Named()) all.push_back(leaf);
  return all;
}

class TokenExpertPass final : public AdapterPass {
 public:
  TokenExpertPass(const MixLora& leaves, double balance_weight, const PassRows& rows)
      : projector_(leaves, balance_weight * rows.group_share, {.group_N = rows.group_N, .count = rows.num_groups}),
        group_share_(rows.group_share) {}

  Projector& projector() override { return projector_; }
  void AddTo(AdapterPassStats& stats) const override {
    const auto& dispatches = projector_.dispatches();
    stats.balance += projector_.BalanceLoss() * group_share_ / static_cast<double>(dispatches.size());
    for (const std::vector<int64_t>& layer : dispatches) {
      for (size_t e = 0; e < layer.size(); ++e) stats.dispatches[e] += static_cast<double>(layer[e]);
    }
  }

 private:
  MixLoraProjector projector_;
  const double group_share_;
};

class TokenExpertReplica final : public AdapterReplica {
 public:
  TokenExpertReplica(MixLora leaves, double balance_weight)
      : AdapterReplica(InOrder(leaves)), mixlora_(std::move(leaves)), balance_weight_(balance_weight) {}

  std::unique_ptr<AdapterPass> Begin(PassRows rows) const override {
    return std::make_unique<TokenExpertPass>(mixlora_, balance_weight_, rows);
  }
  void TakeQuarantine(const std::vector<at::Tensor>& /*other*/) const override {}  // there is none

 private:
  const MixLora mixlora_;
  const double balance_weight_;
};

}  // namespace

TokenExpertAdapter::TokenExpertAdapter(const MixLora& mixlora, double balance_weight)
    : TrainedAdapter(ParametersOf(mixlora)), mixlora_(mixlora), balance_weight_(balance_weight) {}

std::unique_ptr<AdapterReplica> TokenExpertAdapter::Replica() const {
  return std::make_unique<TokenExpertReplica>(mixlora_.Leaves(), balance_weight_);
}

BlockNorms TokenExpertAdapter::Norms(const std::vector<at::Tensor>& gradients) const {
  double squares = 0;
  for (const at::Tensor& g : gradients) {
    if (g.defined()) squares += g.square().sum().item<double>();
  }
  return {.deployed = std::sqrt(squares)};
}

}  // namespace evilmoe
