#include "policy/weights_fingerprint.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "common/running_hash.h"
#include "common/status_macros.h"
#include "policy/safetensors.h"

namespace evilmoe {
namespace {

constexpr size_t kSliceBytes = size_t{16} << 20;

static_assert(std::endian::native == std::endian::little, "numbers are hashed as the container has them");

void AddNumber(RunningSha256& hash, uint64_t value) {
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  hash.Add(std::string_view(bytes, sizeof bytes));
}

// With its length in front, so that no two lists of texts look the same.
void AddText(RunningSha256& hash, std::string_view text) {
  AddNumber(hash, text.size());
  hash.Add(text);
}

// Slice by slice, each given back to the kernel behind it: a file larger than the memory passes through.
void AddData(RunningSha256& hash, const Safetensors& file, const TensorView& tensor) {
  AddNumber(hash, tensor.data.size());
  TensorView slice = tensor;
  for (size_t at = 0; at < tensor.data.size(); at += kSliceBytes) {
    slice.data = tensor.data.subspan(at, std::min(kSliceBytes, tensor.data.size() - at));
    hash.Add(slice.data);
    file.Discard(slice);
  }
}

}  // namespace

absl::StatusOr<std::string> WeightsFingerprint(const std::filesystem::path& model_folder) {
  EVILMOE_ASSIGN_OR_RETURN(const Safetensors file, Safetensors::OpenFolder(model_folder));
  RunningSha256 hash;
  AddText(hash, "evilmoe weights 1");
  for (const auto& [name, tensor] : file.tensors()) {  // a map: in order of name
    AddText(hash, name);
    AddText(hash, tensor.dtype);
    AddNumber(hash, tensor.shape.size());
    for (const int64_t size : tensor.shape) AddNumber(hash, static_cast<uint64_t>(size));
    AddData(hash, file, tensor);
  }
  return hash.Finish();
}

}  // namespace evilmoe
