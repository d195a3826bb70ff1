#include "policy/tensor_io.h"

#include <ATen/ATen.h>

#include <cstdint>
#include <cstring>
#include <vector>

namespace evilmoe {
namespace {

at::ScalarType ScalarTypeOf(const std::string& dtype) {
  if (dtype == "F16") return at::kHalf;
  if (dtype == "BF16") return at::kBFloat16;
  return dtype == "I64" ? at::kLong : at::kFloat;
}

}  // namespace

at::Tensor ToTensor(const TensorView& view, c10::ScalarType dtype, c10::Device device) {
  const at::ScalarType stored = ScalarTypeOf(view.dtype);
  at::Tensor out =
      at::empty(view.shape, at::TensorOptions().dtype(stored == at::kLong ? stored : dtype).device(device));
  if (view.data.empty()) return out;
  const bool aligned = reinterpret_cast<uintptr_t>(view.data.data()) % DtypeBytes(view.dtype) == 0;
  at::Tensor source;
  if (aligned) {
    // from_blob wants a mutable pointer; the tensor is only read.
    source = at::from_blob(const_cast<std::byte*>(view.data.data()), view.shape, at::TensorOptions().dtype(stored));
  } else {
    source = at::empty(view.shape, at::TensorOptions().dtype(stored));
    std::memcpy(source.mutable_data_ptr(), view.data.data(), view.data.size());
  }
  return out.copy_(source);
}

at::Tensor MappedTensor(const Safetensors& file, const TensorView& view, c10::ScalarType dtype) {
  const bool aligned = reinterpret_cast<uintptr_t>(view.data.data()) % DtypeBytes(view.dtype) == 0;
  if (view.data.empty() || !aligned || ScalarTypeOf(view.dtype) != dtype) return {};
  const auto give_back = [file, view](void*) { file.Discard(view); };
  return at::from_blob(const_cast<std::byte*>(view.data.data()), view.shape, give_back,
                       at::TensorOptions().dtype(dtype));
}

absl::StatusOr<std::string> SerializeTensors(const std::map<std::string, at::Tensor>& tensors,
                                             const std::map<std::string, std::string>& metadata,
                                             const std::string& dtype) {
  std::vector<at::Tensor> kept;  // owns the bytes that the views point at
  std::map<std::string, TensorView> views;
  for (const auto& [name, tensor] : tensors) {
    const bool integer = tensor.scalar_type() == at::kLong;
    kept.push_back(tensor.detach().to(at::kCPU, integer ? at::kLong : ScalarTypeOf(dtype)).contiguous());
    const at::Tensor& t = kept.back();
    views[name] = {integer ? "I64" : dtype,
                   t.sizes().vec(),
                   {static_cast<const std::byte*>(t.const_data_ptr()), static_cast<size_t>(t.nbytes())}};
  }
  return WriteSafetensors(views, metadata);
}

}  // namespace evilmoe
