#include "policy/safetensors.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "nlohmann/json.hpp"

namespace evilmoe {
namespace {

using Json = nlohmann::json;

static_assert(std::endian::native == std::endian::little, "the container is little-endian and is used in place");

constexpr size_t kLengthBytes = 8;
constexpr uint64_t kMaxHeaderBytes = 100'000'000;
constexpr size_t kMaxQuoted = 120;

// A name out of a file, safe inside a one-line message.
std::string Quoted(const std::string& name) {
  return Json(name.substr(0, kMaxQuoted)).dump(-1, ' ', true, Json::error_handler_t::replace);
}

absl::Status Bad(const std::string& name, const std::string& problem) {
  return absl::InvalidArgumentError(absl::StrCat("tensor ", Quoted(name), ": ", problem));
}

// Bytes that `shape` needs, or nullopt when the product does not fit.
std::optional<uint64_t> NeededBytes(size_t element_bytes, std::span<const int64_t> shape) {
  uint64_t bytes = element_bytes;
  bool empty = false;
  for (const int64_t size : shape) {
    if (size < 0) return std::nullopt;
    if (size == 0) empty = true;
    if (!empty && __builtin_mul_overflow(bytes, static_cast<uint64_t>(size), &bytes)) return std::nullopt;
  }
  return empty ? 0 : bytes;
}

absl::StatusOr<std::vector<int64_t>> ShapeOf(const std::string& name, const Json& entry) {
  const auto shape = entry.find("shape");
  if (shape == entry.end() || !shape->is_array()) return Bad(name, "no shape; expected an array of sizes");
  std::vector<int64_t> sizes;
  for (const Json& size : *shape) {
    if (!size.is_number_unsigned() || size.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) {
      return Bad(name, "a size of its shape is not an integer >= 0");
    }
    sizes.push_back(size.get<int64_t>());
  }
  return sizes;
}

struct Extent {
  uint64_t begin;
  uint64_t end;
  const std::string* name;
};

absl::StatusOr<Extent> ExtentOf(const std::string& name, const Json& entry, uint64_t payload_bytes) {
  const auto offsets = entry.find("data_offsets");
  if (offsets == entry.end() || !offsets->is_array() || offsets->size() != 2 || !(*offsets)[0].is_number_unsigned() ||
      !(*offsets)[1].is_number_unsigned()) {
    return Bad(name, "no data_offsets; expected [begin, end]");
  }
  const Extent extent{(*offsets)[0].get<uint64_t>(), (*offsets)[1].get<uint64_t>(), &name};
  if (extent.begin > extent.end || extent.end > payload_bytes) {
    return Bad(name, absl::StrCat("data_offsets [", extent.begin, ", ", extent.end, "] outside the ", payload_bytes,
                                  " bytes that follow the header"));
  }
  return extent;
}

// The arrays must tile the payload: two names for one byte, or bytes that no name explains, are refused.
absl::Status CheckTiling(std::vector<Extent> extents, uint64_t payload_bytes) {
  std::sort(extents.begin(), extents.end(),
            [](const Extent& a, const Extent& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
  uint64_t reached = 0;
  for (const Extent& extent : extents) {
    if (extent.begin != reached) {
      return Bad(*extent.name, absl::StrCat(extent.begin < reached ? "overlaps another tensor" : "follows a hole",
                                            " (begins at ", extent.begin, ", expected ", reached, ")"));
    }
    reached = extent.end;
  }
  if (reached == payload_bytes) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("payload: ", payload_bytes, " bytes, but the tensors end at ", reached));
}

absl::StatusOr<TensorView> ViewOf(const std::string& name, const Json& entry, std::span<const std::byte> data) {
  TensorView view;
  const auto dtype = entry.find("dtype");
  if (dtype == entry.end() || !dtype->is_string()) return Bad(name, "no dtype");
  view.dtype = dtype->get<std::string>();
  if (DtypeBytes(view.dtype) == 0) {
    return Bad(name, absl::StrCat("dtype ", Quoted(view.dtype), "; expected F32, F16, BF16 or I64"));
  }
  EVILMOE_ASSIGN_OR_RETURN(view.shape, ShapeOf(name, entry));
  const std::optional<uint64_t> needed = NeededBytes(DtypeBytes(view.dtype), view.shape);
  if (!needed.has_value() || *needed != data.size()) {
    return Bad(name, absl::StrCat(data.size(), " bytes of data; ", view.dtype, " [", absl::StrJoin(view.shape, ", "),
                                  "] needs ", needed.has_value() ? absl::StrCat(*needed) : "more than fits"));
  }
  view.data = data;
  return view;
}

// The header as JSON. JSON readers keep the last of two equal keys, which would hide a tensor: refused here.
absl::StatusOr<Json> ParseHeader(std::string_view text) {
  std::set<std::string> names;
  std::optional<std::string> repeated;
  const auto watch = [&](int depth, Json::parse_event_t event, Json& value) {
    if (event == Json::parse_event_t::key && depth == 1 && !names.insert(value.get<std::string>()).second) {
      repeated = value.get<std::string>();
    }
    return true;
  };
  Json header = Json::parse(text, watch, /*allow_exceptions=*/false);
  if (repeated.has_value()) return Bad(*repeated, "named twice");
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
      return absl::InvalidArgumentError(absl::StrCat("__metadata__: ", Quoted(key), " is not a string"));
    }
    metadata.emplace(key, value.get<std::string>());
  }
  return metadata;
}

absl::Status FileError(const std::filesystem::path& file, int error) {
  const std::string message = absl::StrCat(file.string(), ": ", std::strerror(error));
  return error == ENOENT ? absl::NotFoundError(message) : absl::UnavailableError(message);
}

struct Mapping {
  std::shared_ptr<const void> owner;
  std::span<const std::byte> bytes;
};

absl::StatusOr<Mapping> MapFile(const std::filesystem::path& file) {
  const int fd = open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return FileError(file, errno);
  struct stat status {};
  const bool known = fstat(fd, &status) == 0;
  const size_t size = known ? static_cast<size_t>(status.st_size) : 0;
  void* address = size > 0 ? mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0) : nullptr;
  const int error = errno;
  close(fd);
  if (!known || address == MAP_FAILED) return FileError(file, error);
  if (address == nullptr) return Mapping{};
  std::shared_ptr<const void> owner(address, [size](void* mapped) { munmap(mapped, size); });
  return Mapping{std::move(owner), {static_cast<const std::byte*>(address), size}};
}

// {tensor: shard file} of an index. A shard lies beside the index: a path is refused.
absl::StatusOr<std::map<std::string, std::string>> ReadIndex(const std::filesystem::path& file) {
  EVILMOE_ASSIGN_OR_RETURN(const std::string text, ReadFile(file, kMaxHeaderBytes));
  const Json index = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  const auto bad = [&](const std::string& problem) {
    return absl::InvalidArgumentError(absl::StrCat(file.string(), ": ", problem));
  };
  if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object()) {
    return bad("no weight_map; expected {\"weight_map\": {tensor: file}}");
  }
  std::map<std::string, std::string> shards;
  for (const auto& [name, shard] : index["weight_map"].items()) {
    if (!shard.is_string()) return bad(absl::StrCat("tensor ", Quoted(name), ": its file is not a string"));
    const auto text_of = shard.get<std::string>();
    if (text_of.empty() || text_of.find('/') != std::string::npos || text_of.find('\0') != std::string::npos ||
        text_of == "." || text_of == "..") {
      return bad(absl::StrCat("tensor ", Quoted(name), ": ", Quoted(text_of), " is not a file beside the index"));
    }
    shards.emplace(name, text_of);
  }
  return shards;
}

}  // namespace

size_t DtypeBytes(std::string_view dtype) {
  if (dtype == "F32") return 4;
  if (dtype == "F16" || dtype == "BF16") return 2;
  if (dtype == "I64") return 8;
  return 0;
}

absl::Status Safetensors::ReadHeader(std::span<const std::byte> bytes) {
  uint64_t header_bytes = 0;
  if (bytes.size() < kLengthBytes) {
    return absl::InvalidArgumentError(absl::StrCat(bytes.size(), " bytes; expected a header length of 8 bytes"));
  }
  std::memcpy(&header_bytes, bytes.data(), kLengthBytes);
  if (header_bytes > kMaxHeaderBytes || header_bytes > bytes.size() - kLengthBytes) {
    return absl::InvalidArgumentError(absl::StrCat("header length ", header_bytes, "; the file has ",
                                                   bytes.size() - kLengthBytes, " bytes after it, and at most ",
                                                   kMaxHeaderBytes, " are read"));
  }
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + kLengthBytes, header_bytes);
  const std::span<const std::byte> payload = bytes.subspan(kLengthBytes + header_bytes);
  EVILMOE_ASSIGN_OR_RETURN(const Json header, ParseHeader(text));
  EVILMOE_ASSIGN_OR_RETURN(metadata_, MetadataOf(header));
  std::vector<Extent> extents;
  for (auto entry = header.begin(); entry != header.end(); ++entry) {
    if (entry.key() == "__metadata__") continue;
    if (!entry->is_object()) return Bad(entry.key(), "not an object");
    EVILMOE_ASSIGN_OR_RETURN(Extent extent, ExtentOf(entry.key(), *entry, payload.size()));
    EVILMOE_ASSIGN_OR_RETURN(
        TensorView view, ViewOf(entry.key(), *entry, payload.subspan(extent.begin, extent.end - extent.begin)));
    extent.name = &tensors_.emplace(entry.key(), std::move(view)).first->first;
    extents.push_back(extent);
  }
  return CheckTiling(std::move(extents), payload.size());
}

absl::StatusOr<Safetensors> Safetensors::Parse(std::string bytes) {
  Safetensors result;
  const auto owner = std::make_shared<const std::string>(std::move(bytes));
  result.storage_.push_back(owner);
  EVILMOE_RETURN_IF_ERROR(result.ReadHeader(std::as_bytes(std::span(*owner))));
  return result;
}

absl::StatusOr<Safetensors> Safetensors::Open(const std::filesystem::path& file) {
  EVILMOE_ASSIGN_OR_RETURN(Mapping mapping, MapFile(file));
  Safetensors result;
  result.storage_.push_back(std::move(mapping.owner));
  EVILMOE_RETURN_IF_ERROR(Annotate(result.ReadHeader(mapping.bytes), file.string()));
  return result;
}

absl::StatusOr<Safetensors> Safetensors::OpenFolder(const std::filesystem::path& folder) {
  const std::filesystem::path single = folder / "model.safetensors";
  const std::filesystem::path index = folder / "model.safetensors.index.json";
  std::error_code ignored;
  if (std::filesystem::exists(single, ignored) || !std::filesystem::exists(index, ignored)) return Open(single);

  using Shards = std::map<std::string, std::string>;
  EVILMOE_ASSIGN_OR_RETURN(const Shards shards, ReadIndex(index));
  Safetensors result;
  std::map<std::string, Safetensors> opened;
  for (const auto& [name, shard] : shards) {
    auto found = opened.find(shard);
    if (found == opened.end()) {
      EVILMOE_ASSIGN_OR_RETURN(Safetensors part, Open(folder / shard));
      result.storage_.insert(result.storage_.end(), part.storage_.begin(), part.storage_.end());
      found = opened.emplace(shard, std::move(part)).first;
    }
    const TensorView* view = found->second.Find(name);
    if (view == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat(index.string(), ": tensor ", Quoted(name), ": not in ", Quoted(shard)));
    }
    result.tensors_.emplace(name, *view);
  }
  if (!opened.empty()) result.metadata_ = opened.begin()->second.metadata_;
  return result;
}

const TensorView* Safetensors::Find(const std::string& name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

absl::StatusOr<std::string> WriteSafetensors(const std::map<std::string, TensorView>& tensors,
                                             const std::map<std::string, std::string>& metadata) {
  std::vector<std::pair<size_t, const std::string*>> order;
  for (const auto& [name, tensor] : tensors) {
    const size_t element_bytes = DtypeBytes(tensor.dtype);
    if (element_bytes == 0) {
      return Bad(name, absl::StrCat("dtype ", Quoted(tensor.dtype), "; expected F32, F16, BF16 or I64"));
    }
    if (name == "__metadata__") return Bad(name, "the name is reserved");
    const std::optional<uint64_t> needed = NeededBytes(element_bytes, tensor.shape);
    if (!needed.has_value() || *needed != tensor.data.size()) {
      return Bad(name, absl::StrCat(tensor.data.size(), " bytes do not fit ", tensor.dtype, " [",
                                    absl::StrJoin(tensor.shape, ", "), "]"));
    }
    order.emplace_back(element_bytes, &name);
  }
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.first > b.first; });

  Json header = Json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  uint64_t offset = 0;
  for (const auto& [element_bytes, name] : order) {
    const TensorView& tensor = tensors.at(*name);
    const uint64_t end = offset + tensor.data.size();
    header[*name] = {{"dtype", tensor.dtype}, {"shape", tensor.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const Json::exception& e) {  // a name or a metadata value that is not UTF-8
    return absl::InvalidArgumentError(absl::StrCat("safetensors header: ", e.what()));
  }
  text.resize((text.size() + kLengthBytes - 1) / kLengthBytes * kLengthBytes, ' ');

  std::string bytes(kLengthBytes, '\0');
  const uint64_t header_bytes = text.size();
  std::memcpy(bytes.data(), &header_bytes, kLengthBytes);
  bytes.reserve(kLengthBytes + text.size() + offset);
  bytes += text;
  for (const auto& [element_bytes, name] : order) {
    const std::span<const std::byte> data = tensors.at(*name).data;
    bytes.append(reinterpret_cast<const char*>(data.data()), data.size());
  }
  return bytes;
}

absl::Status WriteSafetensorsFile(const std::filesystem::path& file, const std::map<std::string, TensorView>& tensors,
                                  const std::map<std::string, std::string>& metadata) {
  EVILMOE_ASSIGN_OR_RETURN(const std::string bytes, WriteSafetensors(tensors, metadata));
  return WriteFileAtomic(file, bytes);
}

}  // namespace evilmoe
