#include "trainer/optimizer.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <numbers>

#include "common/status_macros.h"
#include "policy/lora2r.h"

namespace evilmoe {

double ScheduleFactor(const std::string& schedule, int64_t step, int64_t steps, int64_t warmup) {
  double factor = 1.0;
  if (warmup > 0) factor = std::min(1.0, static_cast<double>(step + 1) / static_cast<double>(warmup));
  const double progress = static_cast<double>(step) / static_cast<double>(std::max<int64_t>(1, steps));
  if (schedule == "cosine") factor *= 0.1 + 0.9 * 0.5 * (1 + std::cos(std::numbers::pi * progress));
  if (schedule == "linear") factor *= 1 - progress;
  return factor;
}

AdamW::AdamW(std::vector<at::Tensor> parameters, std::vector<at::Tensor> anchors, const AdamWOptions& options)
    : options_(options), parameters_(std::move(parameters)), anchors_(std::move(anchors)) {
  EVILMOE_CHECK(anchors_.empty() || anchors_.size() == parameters_.size());
  anchors_.resize(parameters_.size());
  for (const at::Tensor& p : parameters_) {
    first_.push_back(at::zeros(p.sizes(), p.options().requires_grad(false)));
    second_.push_back(at::zeros(p.sizes(), p.options().requires_grad(false)));
  }
}

void AdamW::Step(const std::vector<at::Tensor>& gradients, double learning_rate_factor) {
  EVILMOE_CHECK(gradients.size() == parameters_.size());
  const c10::NoGradGuard no_grad;
  ++steps_done_;
  const double rate = options_.learning_rate * learning_rate_factor;
  const double correction1 = 1 - std::pow(options_.beta1, static_cast<double>(steps_done_));
  const double correction2 = 1 - std::pow(options_.beta2, static_cast<double>(steps_done_));
  for (size_t i = 0; i < parameters_.size(); ++i) {
    at::Tensor parameter = parameters_[i].detach();
    if (options_.decay > 0) DecayToInit(parameter, anchors_[i], rate * options_.decay);
    first_[i].mul_(options_.beta1);
    second_[i].mul_(options_.beta2);
    if (gradients[i].defined()) {
      first_[i].add_(gradients[i], 1 - options_.beta1);
      second_[i].addcmul_(gradients[i], gradients[i], 1 - options_.beta2);
    }
    const at::Tensor denominator = (second_[i] / correction2).sqrt_().add_(options_.epsilon);
    parameter.addcdiv_(first_[i], denominator, -rate / correction1);
  }
}

std::vector<at::Tensor> AdamW::moments() const {
  std::vector<at::Tensor> all;
  for (size_t i = 0; i < first_.size(); ++i) {
    all.push_back(first_[i]);
    all.push_back(second_[i]);
  }
  return all;
}

void AdamW::Restore(const std::vector<at::Tensor>& moments, int64_t steps_done) {
  EVILMOE_CHECK(moments.size() == 2 * first_.size());
  for (size_t i = 0; i < first_.size(); ++i) {
    first_[i].copy_(moments[2 * i]);
    second_[i].copy_(moments[2 * i + 1]);
  }
  steps_done_ = steps_done;
}

double ClipGradNorm(std::vector<at::Tensor>& gradients, double max_norm) {
  const c10::NoGradGuard no_grad;
  double squares = 0;
  for (const at::Tensor& g : gradients) {
    if (g.defined()) squares += g.square().sum().item<double>();
  }
  const double norm = std::sqrt(squares);
  if (norm > max_norm) {
    for (at::Tensor& g : gradients) {
      if (g.defined()) g.mul_(max_norm / (norm + 1e-6));
    }
  }
  return norm;
}

}  // namespace evilmoe
