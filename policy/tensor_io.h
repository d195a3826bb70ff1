#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "policy/safetensors.h"

namespace evilmoe {

// The bridge between LibTorch's tensors and the torch-free safetensors container.

// A copy in `dtype` on `device` (int64 stays int64). The same dtype keeps every bit; another is one rounding. Nothing
// is allocated but the copy itself, save for a view that a foreign file left unaligned.
at::Tensor ToTensor(const TensorView& view, c10::ScalarType dtype = c10::ScalarType::Float,
                    c10::Device device = c10::kCPU);

// No copy: the view's part of a mapped file as a tensor to be read only, whose pages go back to the kernel with the last
// reference. Undefined where the file has another dtype or left the view unaligned.
at::Tensor MappedTensor(const Safetensors& file, const TensorView& view, c10::ScalarType dtype);

// safetensors bytes of tensors on any device: floating point as F32 or, when `dtype` is "BF16", rounded to BF16; int64
// as I64.
absl::StatusOr<std::string> SerializeTensors(const std::map<std::string, at::Tensor>& tensors,
                                             const std::map<std::string, std::string>& metadata,
                                             const std::string& dtype = "F32");

}  // namespace evilmoe
