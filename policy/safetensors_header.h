#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "policy/safetensors.h"

namespace evilmoe {

// The header of the container, without the bytes that it describes. What safetensors.cc is made of.

// Where an array lies, in bytes after the header.
struct TensorExtent {
  uint64_t begin = 0;
  uint64_t end = 0;
  const std::string* name = nullptr;
};

// A header that holds together: in bounds, no overlap, no hole, each dtype known, each shape as large as its data.
struct SafetensorsHeader {
  std::map<std::string, TensorView> tensors;  // without data
  std::vector<TensorExtent> extents;          // one each; the names are the keys of `tensors`
  std::map<std::string, std::string> metadata;
};

// `text`: the JSON; `payload_bytes`: how many bytes follow it. InvalidArgument: one line that names the tensor.
absl::StatusOr<SafetensorsHeader> CheckSafetensorsHeader(std::string_view text, uint64_t payload_bytes);

// A name out of a file, quoted and cut so that it is safe inside a one-line message.
std::string QuotedName(const std::string& name);

// Bytes that an array of `dtype` and `shape` takes; nullopt for a dtype that is not known, a negative size, or a
// product that does not fit.
std::optional<uint64_t> TensorBytes(std::string_view dtype, const std::vector<int64_t>& shape);

// InvalidArgument `tensor "name": problem`.
absl::Status BadTensor(const std::string& name, const std::string& problem);

}  // namespace evilmoe
