#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "absl/status/statusor.h"

namespace evilmoe {

// P(y = 1 | x) = σ(weights · x + bias).
struct LogisticModel {
  std::vector<double> weights;
  double bias = 0;
  int iterations = 0;  // of Newton's method
};

// Minimises Σ log-loss + l2/2 · ‖weights‖² (the bias goes free) by Newton's method with step halving, in double: the
// same input gives the same model, to a gradient below 1e-8 a sample. x_SD: S samples, D features, of like scale.
// Legend: D1 = D + 1, the bias last. InvalidArgument: one class alone, shapes that do not fit, l2 <= 0 or numbers that
// are not finite. Internal: it did not converge.
absl::StatusOr<LogisticModel> FitLogisticRegression(const at::Tensor& x_SD, const std::vector<bool>& is_positive,
                                                    double l2);

}  // namespace evilmoe
