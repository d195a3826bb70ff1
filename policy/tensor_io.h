#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "policy/safetensors.h"

namespace evilmoe {

// The bridge between LibTorch's tensors and the torch-free safetensors container.

// A copy in fp32 on the CPU (int64 stays int64).
at::Tensor ToTensor(const TensorView& view);

// safetensors bytes of CPU tensors: fp32 as F32 or, when `dtype` is "BF16", rounded to BF16; int64 as I64.
absl::StatusOr<std::string> SerializeTensors(const std::map<std::string, at::Tensor>& tensors,
                                             const std::map<std::string, std::string>& metadata,
                                             const std::string& dtype = "F32");

}  // namespace evilmoe
