#include "policy/sampler/reference_sampler.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include "common/seed.h"
#include "common/status_macros.h"
#include "policy/mixlora_forward.h"
#include "policy/packed_batch.h"
#include "policy/qwen3.h"
#include "policy/torch_guard.h"

namespace evilmoe {
namespace {

class DefinitionProjector final : public Projector {
 public:
  DefinitionProjector(const Lora2r* adapter, at::Tensor w_N1) : adapter_(adapter), w_N1_(std::move(w_N1)) {}

  at::Tensor Project(ModuleId id, const at::Tensor& x_NI, const at::Tensor& weight_OI) override {
    const at::Tensor base = at::linear(x_NI, weight_OI);
    const int position = adapter_ == nullptr ? -1 : adapter_->position(id);
    if (position < 0) return base;
    const AdapterModule& m = adapter_->modules()[static_cast<size_t>(position)];
    const int64_t r = adapter_->rank();
    const at::Tensor x = x_NI.to(at::kFloat);
    const auto expert = [&](int64_t begin) {
      const auto product = [&](const at::Tensor& a, const at::Tensor& b) {
        return at::linear(at::linear(x, a.narrow(0, begin, r)), b.narrow(1, begin, r));
      };
      return product(m.a, m.b) - product(m.a0, m.b0);
    };
    const at::Tensor delta = (expert(0) + w_N1_ * expert(r)) * adapter_->options().scale;
    return (base.to(at::kFloat) + delta).to(base.scalar_type());
  }

 private:
  const Lora2r* adapter_;
  const at::Tensor w_N1_;  // per row
};

// Logits after `ids`.
std::vector<float> NextLogits(const Qwen3Weights& weights, Projector& projector, const std::vector<int32_t>& ids) {
  const c10::NoGradGuard no_grad;
  const auto length = static_cast<int64_t>(ids.size());
  const at::Tensor hidden = Qwen3Hidden(weights, Pack({{.ids = ids}}), projector).narrow(0, length - 1, 1);
  const at::Tensor logits = at::linear(hidden, weights.head).to(at::kFloat).contiguous();
  const float* data = logits.const_data_ptr<float>();
  return {data, data + logits.numel()};
}

// next: logits after a sequence of ids.
template <typename Next>
absl::StatusOr<std::vector<FinishedSample>> SampleWith(const Qwen3Config& config, const SampleGroup& group, Next next) {
  EVILMOE_RETURN_IF_ERROR(ValidateGroup(group, config));
  std::vector<FinishedSample> samples;
  for (int i = 0; i < group.num_samples; ++i) {
    FinishedSample sample{.tag = group.tag, .sample = i};
    std::vector<int32_t> ids = group.prompt_ids;
    do {
      using Logits = std::vector<float>;
      EVILMOE_ASSIGN_OR_RETURN(const Logits logits, TorchGuard("reference sampler", [&] { return next(ids); }));
      const double uniform = CounterUniform(SampleSeed(group, i), sample.ids.size());
      sample.Append(SampleToken(logits, group.settings, uniform));
      ids.push_back(sample.ids.back());
    } while (!HasEnded(sample, group.settings));
    samples.push_back(std::move(sample));
  }
  return samples;
}

}  // namespace

absl::StatusOr<std::vector<FinishedSample>> SampleReference(const Qwen3Weights& weights, const Lora2r* adapter,
                                                            const SampleGroup& group) {
  return SampleWith(weights.config, group, [&](const std::vector<int32_t>& ids) {
    at::Tensor w = at::full({static_cast<int64_t>(ids.size()), 1}, group.completion_w, at::kFloat);
    w.narrow(0, 0, static_cast<int64_t>(group.prompt_ids.size()) - 1).fill_(group.prompt_w);
    DefinitionProjector projector(adapter, w);
    return NextLogits(weights, projector, ids);
  });
}

absl::StatusOr<std::vector<FinishedSample>> SampleReference(const Qwen3Weights& weights, const MixLora& adapter,
                                                            const SampleGroup& group) {
  return SampleWith(weights.config, group, [&](const std::vector<int32_t>& ids) {
    MixLoraProjector projector(adapter, /*balance_gradient=*/0);
    return NextLogits(weights, projector, ids);
  });
}

}  // namespace evilmoe
