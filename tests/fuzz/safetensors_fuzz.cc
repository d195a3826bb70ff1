// Any bytes as a safetensors file: refused in one line, or read, written and read again to the same.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "common/status_macros.h"
#include "policy/safetensors.h"

namespace evilmoe {
namespace {

void CheckSame(const Safetensors& a, const Safetensors& b) {
  EVILMOE_CHECK(a.metadata() == b.metadata());
  EVILMOE_CHECK(a.tensors().size() == b.tensors().size());
  for (const auto& [name, view] : a.tensors()) {
    const TensorView* other = b.Find(name);
    EVILMOE_CHECK(other != nullptr && other->dtype == view.dtype && other->shape == view.shape);
    EVILMOE_CHECK(std::ranges::equal(other->data, view.data));  // reads every byte of both
  }
}

void Fuzz(std::string bytes) {
  const absl::StatusOr<Safetensors> read = Safetensors::Parse(std::move(bytes));
  if (!read.ok()) {
    EVILMOE_CHECK(absl::IsInvalidArgument(read.status()));
    EVILMOE_CHECK(read.status().message().find('\n') == std::string::npos);
    return;
  }
  const absl::StatusOr<std::string> written = WriteSafetensors(read->tensors(), read->metadata());
  EVILMOE_CHECK(written.ok());
  const absl::StatusOr<Safetensors> again = Safetensors::Parse(*written);
  EVILMOE_CHECK(again.ok());
  CheckSame(*read, *again);
}

}  // namespace
}  // namespace evilmoe

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  evilmoe::Fuzz(std::string(reinterpret_cast<const char*>(data), size));
  return 0;
}
