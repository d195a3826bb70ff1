#include "policy/safetensors_header.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "nlohmann/json.hpp"

namespace evilmoe {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxQuoted = 120;

absl::StatusOr<std::vector<int64_t>> ShapeOf(const std::string& name, const Json& entry) {
  const auto shape = entry.find("shape");
  if (shape == entry.end() || !shape->is_array()) return BadTensor(name, "no shape; expected an array of sizes");
  std::vector<int64_t> sizes;
  for (const Json& size : *shape) {
    if (!size.is_number_unsigned() || size.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) {
      return BadTensor(name, "a size of its shape is not an integer >= 0");
    }
    sizes.push_back(size.get<int64_t>());
  }
  return sizes;
}

absl::StatusOr<TensorExtent> ExtentOf(const std::string& name, const Json& entry, uint64_t payload_bytes) {
  const auto offsets = entry.find("data_offsets");
  if (offsets == entry.end() || !offsets->is_array() || offsets->size() != 2 || !(*offsets)[0].is_number_unsigned() ||
      !(*offsets)[1].is_number_unsigned()) {
    return BadTensor(name, "no data_offsets; expected [begin, end]");
  }
  const TensorExtent extent{(*offsets)[0].get<uint64_t>(), (*offsets)[1].get<uint64_t>(), &name};
  if (extent.begin > extent.end || extent.end > payload_bytes) {
    return BadTensor(name, absl::StrCat("data_offsets [", extent.begin, ", ", extent.end, "] outside the ",
                                        payload_bytes, " bytes that follow the header"));
  }
  return extent;
}

// The arrays must tile the payload: two names for one byte, or bytes that no name explains, are refused.
absl::Status CheckTiling(std::vector<TensorExtent> extents, uint64_t payload_bytes) {  // a copy: it is sorted here
  std::sort(extents.begin(), extents.end(), [](const TensorExtent& a, const TensorExtent& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  uint64_t reached = 0;
  for (const TensorExtent& extent : extents) {
    if (extent.begin != reached) {
      return BadTensor(*extent.name, absl::StrCat(extent.begin < reached ? "overlaps another tensor" : "follows a hole",
                                                  " (begins at ", extent.begin, ", expected ", reached, ")"));
    }
    reached = extent.end;
  }
  if (reached == payload_bytes) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("payload: ", payload_bytes, " bytes, but the tensors end at ", reached));
}

// Without its data, which has `data_bytes`.
absl::StatusOr<TensorView> ViewOf(const std::string& name, const Json& entry, uint64_t data_bytes) {
  TensorView view;
  const auto dtype = entry.find("dtype");
  if (dtype == entry.end() || !dtype->is_string()) return BadTensor(name, "no dtype");
  view.dtype = dtype->get<std::string>();
  if (DtypeBytes(view.dtype) == 0) {
    return BadTensor(name, absl::StrCat("dtype ", QuotedName(view.dtype), "; expected F32, F16, BF16 or I64"));
  }
  EVILMOE_ASSIGN_OR_RETURN(view.shape, ShapeOf(name, entry));
  const std::optional<uint64_t> needed = TensorBytes(view.dtype, view.shape);
  if (!needed.has_value() || *needed != data_bytes) {
    return BadTensor(name,
                     absl::StrCat(data_bytes, " bytes of data; ", view.dtype, " [", absl::StrJoin(view.shape, ", "),
                                  "] needs ", needed.has_value() ? absl::StrCat(*needed) : "more than fits"));
  }
  return view;
}

// The header as JSON. JSON readers keep the last of two equal keys, which would hide a tensor: refused here.
absl::StatusOr<Json> ParseHeaderJson(std::string_view text) {
  std::set<std::string> names;
  std::optional<std::string> repeated;
  const auto watch = [&](int depth, Json::parse_event_t event, Json& value) {
    if (event == Json::parse_event_t::key && depth == 1 && !names.insert(value.get<std::string>()).second) {
      repeated = value.get<std::string>();
    }
    return true;
  };
  Json header = Json::parse(text, watch, /*allow_exceptions=*/false);
  if (repeated.has_value()) return BadTensor(*repeated, "named twice");
  if (!header.is_object()) return absl::InvalidArgumentError("header: not a JSON object");
  return header;
}

absl::StatusOr<std::map<std::string, std::string>> MetadataOf(const Json& header) {
  std::map<std::string, std::string> metadata;
  const auto found = header.find("__metadata__");
  if (found == header.end()) return metadata;
  if (!found->is_object()) return absl::InvalidArgumentError("__metadata__: not an object");
  for (const auto& [key, value] : found->items()) {
    if (!value.is_string()) {
      return absl::InvalidArgumentError(absl::StrCat("__metadata__: ", QuotedName(key), " is not a string"));
    }
    metadata.emplace(key, value.get<std::string>());
  }
  return metadata;
}

}  // namespace

std::string QuotedName(const std::string& name) {
  return Json(name.substr(0, kMaxQuoted)).dump(-1, ' ', true, Json::error_handler_t::replace);
}

absl::Status BadTensor(const std::string& name, const std::string& problem) {
  return absl::InvalidArgumentError(absl::StrCat("tensor ", QuotedName(name), ": ", problem));
}

std::optional<uint64_t> TensorBytes(std::string_view dtype, const std::vector<int64_t>& shape) {
  uint64_t bytes = DtypeBytes(dtype);
  if (bytes == 0) return std::nullopt;
  bool empty = false;
  for (const int64_t size : shape) {
    if (size < 0) return std::nullopt;
    if (size == 0) empty = true;
    if (!empty && __builtin_mul_overflow(bytes, static_cast<uint64_t>(size), &bytes)) return std::nullopt;
  }
  return empty ? 0 : bytes;
}

size_t DtypeBytes(std::string_view dtype) {
  if (dtype == "F32") return 4;
  if (dtype == "F16" || dtype == "BF16") return 2;
  if (dtype == "I64") return 8;
  return 0;
}

absl::StatusOr<SafetensorsHeader> CheckSafetensorsHeader(std::string_view text, uint64_t payload_bytes) {
  EVILMOE_ASSIGN_OR_RETURN(const Json json, ParseHeaderJson(text));
  SafetensorsHeader header;
  EVILMOE_ASSIGN_OR_RETURN(header.metadata, MetadataOf(json));
  for (auto entry = json.begin(); entry != json.end(); ++entry) {
    if (entry.key() == "__metadata__") continue;
    if (!entry->is_object()) return BadTensor(entry.key(), "not an object");
    EVILMOE_ASSIGN_OR_RETURN(TensorExtent extent, ExtentOf(entry.key(), *entry, payload_bytes));
    EVILMOE_ASSIGN_OR_RETURN(TensorView view, ViewOf(entry.key(), *entry, extent.end - extent.begin));
    extent.name = &header.tensors.emplace(entry.key(), std::move(view)).first->first;
    header.extents.push_back(extent);
  }
  EVILMOE_RETURN_IF_ERROR(CheckTiling(header.extents, payload_bytes));
  return header;
}

}  // namespace evilmoe
