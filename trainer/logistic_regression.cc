#include "trainer/logistic_regression.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "policy/torch_guard.h"

namespace evilmoe {
namespace {

constexpr int kMaxIterations = 100;
constexpr int kMaxHalvings = 40;
constexpr double kTolerance = 1e-8;  // of the gradient's largest entry, a sample

class Objective {
 public:
  Objective(const at::Tensor& x_SD, const std::vector<bool>& is_positive, double l2) {
    const int64_t num_samples = x_SD.size(0);
    x_SD1_ = at::cat({x_SD.to(at::kDouble), at::ones({num_samples, 1}, at::kDouble)}, 1);
    sign_S_ = at::empty({num_samples}, at::kDouble);
    for (int64_t i = 0; i < num_samples; ++i) sign_S_[i] = is_positive[static_cast<size_t>(i)] ? 1.0 : -1.0;
    penalty_D1_ = at::full({x_SD1_.size(1)}, l2, at::kDouble);
    penalty_D1_[-1] = 0.0;
  }
  double Value(const at::Tensor& theta_D1) const {
    const at::Tensor margin_S = sign_S_ * at::mv(x_SD1_, theta_D1);
    return (at::softplus(-margin_S).sum() + 0.5 * (penalty_D1_ * theta_D1.square()).sum()).item<double>();
  }
  at::Tensor Gradient(const at::Tensor& theta_D1) const {
    const at::Tensor margin_S = sign_S_ * at::mv(x_SD1_, theta_D1);
    return at::mv(x_SD1_.t(), -sign_S_ * at::sigmoid(-margin_S)) + penalty_D1_ * theta_D1;
  }
  at::Tensor Hessian(const at::Tensor& theta_D1) const {
    const at::Tensor p_S = at::sigmoid(at::mv(x_SD1_, theta_D1));
    const at::Tensor curvature_S = p_S * (1 - p_S);
    // Saturated samples leave the bias no curvature of its own; a trace of it keeps the solve away from 0/0.
    return at::mm(x_SD1_.t(), x_SD1_ * curvature_S.unsqueeze(1)) + at::diag(penalty_D1_ + 1e-12);
  }
  int64_t num_samples() const { return x_SD1_.size(0); }
  int64_t num_parameters() const { return x_SD1_.size(1); }

 private:
  at::Tensor x_SD1_, sign_S_, penalty_D1_;
};

// theta after one damped step; the same tensor when no step makes the objective smaller.
at::Tensor NewtonStep(const Objective& objective, const at::Tensor& theta_D1, const at::Tensor& gradient_D1) {
  const at::Tensor step_D1 = at::linalg_solve(objective.Hessian(theta_D1), gradient_D1);
  const double before = objective.Value(theta_D1);
  double length = 1;
  for (int i = 0; i < kMaxHalvings; ++i, length /= 2) {
    at::Tensor next_D1 = theta_D1 - length * step_D1;
    if (objective.Value(next_D1) < before) return next_D1;
  }
  return theta_D1;
}

absl::StatusOr<LogisticModel> Minimise(const Objective& objective) {
  const c10::NoGradGuard no_grad;
  at::Tensor theta_D1 = at::zeros({objective.num_parameters()}, at::kDouble);
  LogisticModel model;
  const double enough = kTolerance * static_cast<double>(objective.num_samples());
  while (true) {
    const at::Tensor gradient_D1 = objective.Gradient(theta_D1);
    const double slope = gradient_D1.abs().max().item<double>();
    if (slope <= enough) break;
    const at::Tensor next_D1 = NewtonStep(objective, theta_D1, gradient_D1);
    if (next_D1.is_same(theta_D1) || ++model.iterations > kMaxIterations) {
      return absl::InternalError(absl::StrCat("logistic regression: gradient ", slope, " after ", model.iterations,
                                              " steps, expected at most ", enough));
    }
    theta_D1 = next_D1;
  }
  const auto* values = theta_D1.const_data_ptr<double>();
  model.weights.assign(values, values + theta_D1.numel() - 1);
  model.bias = values[theta_D1.numel() - 1];
  return model;
}

}  // namespace

absl::StatusOr<LogisticModel> FitLogisticRegression(const at::Tensor& x_SD, const std::vector<bool>& is_positive,
                                                    double l2) {
  const auto positives = std::count(is_positive.begin(), is_positive.end(), true);
  const auto total = static_cast<int64_t>(is_positive.size());
  if (positives == 0 || positives == total) {
    return absl::InvalidArgumentError(
        absl::StrCat("logistic regression: ", positives, " positive of ", total, " samples, expected both classes"));
  }
  if (x_SD.dim() != 2 || x_SD.size(0) != total || x_SD.size(1) < 1) {
    return absl::InvalidArgumentError(absl::StrCat("logistic regression: ", total, " labels do not fit the features"));
  }
  if (!(l2 > 0) || !std::isfinite(l2)) {
    return absl::InvalidArgumentError(absl::StrCat("logistic regression: l2 ", l2, ", expected a number above 0"));
  }
  auto fitted = TorchGuard("logistic regression", [&]() -> absl::StatusOr<LogisticModel> {
    if (!at::isfinite(x_SD).all().item<bool>()) {
      return absl::InvalidArgumentError("logistic regression: a feature is not a finite number");
    }
    return Minimise(Objective(x_SD, is_positive, l2));
  });
  if (!fitted.ok()) return fitted.status();
  return *std::move(fitted);
}

}  // namespace evilmoe
