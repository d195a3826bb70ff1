#include "tests/unit/policy_network/double_reference.h"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>

namespace evilmoe {
namespace {

at::Tensor Double(const at::Tensor& t) { return t.detach().to(at::kDouble).clone(); }

at::Tensor Norm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  return x / (x.square().mean(-1, /*keepdim=*/true) + eps).sqrt() * Double(weight);
}

// Pairs (x_i, x_{i + d/2}) of one head turned by position · theta^(−2i/d).
at::Tensor Rotate(const at::Tensor& x_Td, double theta) {
  const int64_t rows = x_Td.size(0), half = x_Td.size(1) / 2;
  at::Tensor angle = at::empty({rows, half}, at::kDouble);
  auto at_position = angle.accessor<double, 2>();
  for (int64_t t = 0; t < rows; ++t) {
    for (int64_t i = 0; i < half; ++i) {
      const double exponent = static_cast<double>(i) / static_cast<double>(half);
      at_position[t][i] = static_cast<double>(t) * std::pow(theta, -exponent);
    }
  }
  const at::Tensor first = x_Td.narrow(1, 0, half), second = x_Td.narrow(1, half, half);
  return at::cat({first * angle.cos() - second * angle.sin(), second * angle.cos() + first * angle.sin()}, 1);
}

at::Tensor Apply(const at::Tensor& a, const at::Tensor& b, const at::Tensor& x) {
  return at::mm(at::mm(x, a.t()), b.t());
}

}  // namespace

DoubleReference::DoubleReference(const Qwen3Weights& base) : base_(base) {}

DoubleReference::DoubleReference(const Qwen3Weights& base, const Lora2r& adapter)
    : base_(base), scale_(adapter.options().scale) {
  position_.assign(static_cast<size_t>(kNumLinears * base.config.num_layers), -1);
  const int64_t r = adapter.rank();
  for (const AdapterModule& m : adapter.modules()) {
    const auto expert = [&](int64_t begin) {
      return Expert{Double(m.a.narrow(0, begin, r)).requires_grad_(true),
                    Double(m.b.narrow(1, begin, r)).requires_grad_(true), Double(m.a0.narrow(0, begin, r)),
                    Double(m.b0.narrow(1, begin, r))};
    };
    position_[static_cast<size_t>(m.id.index())] = static_cast<int>(modules_.size());
    modules_.push_back({expert(0), expert(r)});
  }
}

at::Tensor DoubleReference::Routed(Module& module, const at::Tensor& x) {
  const auto part = [&](const Expert& e) { return scale_ * (Apply(e.a, e.b, x) - Apply(e.a0, e.b0, x)); };
  const at::Tensor quar = part(module.quarantine);
  at::Tensor dep = part(module.deployed);
  at::Tensor stopped = dep.detach();
  double w = route_.w.item<double>();
  if (route_.frozen != nullptr) {
    FrozenTerms& frozen = *route_.frozen;
    if (frozen_used_ == frozen.dep.size()) {
      frozen.dep.push_back(stopped);
      frozen.w = w;
    }
    stopped = frozen.dep[frozen_used_++];
    w = frozen.w;
  }
  switch (route_.deployed) {
    case DeployedGradient::kThinned:
      dep = (1 - w) * dep + w * stopped;
      break;
    case DeployedGradient::kWhole:
      break;
    case DeployedGradient::kNone:
      dep = stopped;
      break;
    case DeployedGradient::kNotItsParameters:
      dep = part({module.deployed.a.detach(), module.deployed.b.detach(), module.deployed.a0, module.deployed.b0});
      break;
  }
  return dep + route_.w * quar;
}

at::Tensor DoubleReference::Project(int layer, Linear linear, const at::Tensor& x) {
  const at::Tensor out =
      at::mm(x, Double(base_.layers[static_cast<size_t>(layer)].linears[static_cast<size_t>(linear)]).t());
  const int position = position_.empty() ? -1 : position_[static_cast<size_t>(ModuleId{layer, linear}.index())];
  if (position < 0) return out;
  Module& module = modules_[static_cast<size_t>(position)];
  const at::Tensor completion = x.narrow(0, prompt_rows_, x.size(0) - prompt_rows_);
  features_.push_back(at::mm(completion, module.deployed.a.t()).mean(0).detach());
  at::Tensor delta = Routed(module, completion);
  if (prompt_rows_ > 0) {
    const Expert& d = module.deployed;
    const at::Tensor prompt = x.narrow(0, 0, prompt_rows_);
    delta = at::cat({scale_ * (Apply(d.a, d.b, prompt) - Apply(d.a0, d.b0, prompt)), delta}, 0);
  }
  return out + delta;
}

at::Tensor DoubleReference::PromptGradientScaled(const at::Tensor& x) const {
  const at::Tensor prompt = x.narrow(0, 0, prompt_rows_);
  const double f = route_.prompt_gradient;
  return at::cat({f * prompt + (1 - f) * prompt.detach(), x.narrow(0, prompt_rows_, x.size(0) - prompt_rows_)}, 0);
}

// The prompt's own rows attend to its keys and values as they are, the completion's to copies that pass back
// `prompt_gradient` of the gradient.
at::Tensor DoubleReference::Attention(int layer, const at::Tensor& x) {
  const Qwen3Config& config = base_.config;
  const LayerWeights& weights = base_.layers[static_cast<size_t>(layer)];
  const int64_t d = config.head_dim, per_kv = config.num_heads / config.num_kv_heads, rows = x.size(0);
  const at::Tensor q = Project(layer, Linear::kQuery, x), k = Project(layer, Linear::kKey, x);
  const at::Tensor v = Project(layer, Linear::kValue, x);
  const at::Tensor future = at::ones({rows, rows}, at::kBool).triu(1);
  std::vector<at::Tensor> heads;
  for (int64_t h = 0; h < config.num_heads; ++h) {
    const auto head = [&](const at::Tensor& from, int64_t index) { return from.narrow(1, index * d, d); };
    const at::Tensor query = Rotate(Norm(head(q, h), weights.query_norm, config.rms_norm_eps), config.rope_theta);
    const at::Tensor key =
        Rotate(Norm(head(k, h / per_kv), weights.key_norm, config.rms_norm_eps), config.rope_theta);
    const at::Tensor value = head(v, h / per_kv);
    const auto attend = [&](const at::Tensor& keys, const at::Tensor& values) {
      const at::Tensor scores = at::mm(query, keys.t()) / std::sqrt(static_cast<double>(d));
      return at::mm(at::softmax(scores.masked_fill(future, -std::numeric_limits<double>::infinity()), -1), values);
    };
    const at::Tensor own = attend(key, value).narrow(0, 0, prompt_rows_);
    const at::Tensor completion = attend(PromptGradientScaled(key), PromptGradientScaled(value));
    heads.push_back(at::cat({own, completion.narrow(0, prompt_rows_, rows - prompt_rows_)}, 0));
  }
  return Project(layer, Linear::kOutput, at::cat(heads, 1));
}

at::Tensor DoubleReference::Hidden(const std::vector<int32_t>& ids, int64_t completion_rows,
                                   const ReferenceRoute& route) {
  route_ = route;
  prompt_rows_ = static_cast<int64_t>(ids.size()) - completion_rows;
  frozen_used_ = 0;
  features_.clear();
  const double eps = base_.config.rms_norm_eps;
  at::Tensor x = Double(base_.embedding).index_select(0, at::tensor(std::vector<int64_t>(ids.begin(), ids.end())));
  for (int layer = 0; layer < base_.config.num_layers; ++layer) {
    const LayerWeights& weights = base_.layers[static_cast<size_t>(layer)];
    x = x + Attention(layer, Norm(x, weights.input_norm, eps));
    const at::Tensor normed = Norm(x, weights.attention_norm, eps);
    const at::Tensor gate = Project(layer, Linear::kGate, normed);
    x = x + Project(layer, Linear::kDown, gate * gate.sigmoid() * Project(layer, Linear::kUp, normed));
  }
  return Norm(x, base_.final_norm, eps);
}

at::Tensor DoubleReference::Logits(const at::Tensor& hidden) const { return at::mm(hidden, Double(base_.head).t()); }

at::Tensor DoubleReference::LogProbs(const at::Tensor& hidden, const std::vector<int32_t>& targets) const {
  const at::Tensor ids = at::tensor(std::vector<int64_t>(targets.begin(), targets.end())).unsqueeze(1);
  const at::Tensor logits = Logits(hidden);
  return (logits.gather(1, ids) - logits.logsumexp(1, /*keepdim=*/true)).squeeze(1);
}

at::Tensor DoubleReference::Features() const { return at::cat(features_, 0); }

}  // namespace evilmoe
