#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

namespace evilmoe {

// f(x), keeping only x for the backward pass, which calls f again with gradients on. f must give the same value each
// time, and what it refers to must live until that backward pass.
//
// The gradient of x comes back as usual. Every other leaf that f reaches (adapters, weights, the leaf under a routing
// weight) has its share added to its .grad(), so the backward pass must be one that accumulates (Tensor::backward, not
// torch::autograd::grad: that throws c10::Error). The graph outside f under such a leaf is run through once for each
// recomputed f and retained until its tensors die.
//
// Without gradient mode this is f(x).
at::Tensor Recompute(const at::Tensor& x, std::function<at::Tensor(const at::Tensor&)> f);

}  // namespace evilmoe
