#include "trainer/two_expert_adapter.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cmath>

#include "absl/strings/str_cat.h"

namespace evilmoe {
namespace {

// A and B of each module in turn.
std::vector<TrainedAdapter::Parameter> ParametersOf(const Lora2r& lora) {
  std::vector<TrainedAdapter::Parameter> parameters;
  for (const AdapterModule& m : lora.modules()) {
    const std::string name = absl::StrCat("layers.", m.id.layer, ".", LinearName(m.id.linear));
    parameters.push_back({name + ".A", m.a, m.a0});
    parameters.push_back({name + ".B", m.b, m.b0});
  }
  return parameters;
}

// An expert's part of parameter i: rows of A, columns of B.
at::Tensor Block(const at::Tensor& t, size_t i, int64_t rank, bool quarantine) {
  return t.narrow(i % 2 == 0 ? 0 : 1, quarantine ? rank : 0, rank);
}

class RoutedPass final : public AdapterPass {
 public:
  RoutedPass(const Lora2r& lora, const AdapterLeaves& leaves, Routing routing)
      : projector_(lora, leaves, std::move(routing)) {}
  Projector& projector() override { return projector_; }

 private:
  RoutedProjector projector_;
};

std::vector<at::Tensor> InOrder(const AdapterLeaves& leaves) {
  std::vector<at::Tensor> all;
  for (size_t m = 0; m < leaves.a.size(); ++m) all.insert(all.end(), {leaves.a[m], leaves.b[m]});
  return all;
}

class TwoExpertReplica final : public AdapterReplica {
 public:
  TwoExpertReplica(const Lora2r& lora, AdapterLeaves leaves)
      : AdapterReplica(InOrder(leaves)), lora_(lora), leaves_(std::move(leaves)) {}

  std::unique_ptr<AdapterPass> Begin(PassRows rows) const override {
    return std::make_unique<RoutedPass>(lora_, leaves_, std::move(rows.routing));
  }
  void TakeQuarantine(const std::vector<at::Tensor>& other) const override {
    const c10::NoGradGuard no_grad;
    for (size_t i = 0; i < other.size(); ++i) {
      Block(leaves()[i].grad(), i, lora_.rank(), /*quarantine=*/true).copy_(Block(other[i], i, lora_.rank(), true));
    }
  }

 private:
  const Lora2r& lora_;
  const AdapterLeaves leaves_;
};

}  // namespace

TwoExpertAdapter::TwoExpertAdapter(const Lora2r& lora) : TrainedAdapter(ParametersOf(lora)), lora_(lora) {}

std::unique_ptr<AdapterReplica> TwoExpertAdapter::Replica() const {
  return std::make_unique<TwoExpertReplica>(lora_, MakeLeaves(lora_));
}

BlockNorms TwoExpertAdapter::Norms(const std::vector<at::Tensor>& gradients) const {
  const auto norm = [&](bool quarantine) {
    double squares = 0;
    for (const size_t side : {size_t{0}, size_t{1}}) {
      for (size_t i = side; i < gradients.size(); i += 2) {
        if (!gradients[i].defined()) continue;
        squares += Block(gradients[i], i, lora_.rank(), quarantine).square().sum().item<double>();
      }
    }
    return std::sqrt(squares);
  };
  return {norm(false), norm(true)};
}

}  // namespace evilmoe
