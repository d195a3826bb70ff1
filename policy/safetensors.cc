#include "policy/safetensors.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/bounded_json.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "nlohmann/json.hpp"
#include "policy/safetensors_header.h"

namespace evilmoe {
namespace {

using Json = nlohmann::json;

static_assert(std::endian::native == std::endian::little, "the container is little-endian and is used in place");

constexpr size_t kLengthBytes = 8;
constexpr uint64_t kMaxHeaderBytes = 100'000'000;

absl::Status FileError(const std::filesystem::path& file, int error) {
  const std::string message = absl::StrCat(file.string(), ": ", std::strerror(error));
  return error == ENOENT ? absl::NotFoundError(message) : absl::UnavailableError(message);
}

void Attach(SafetensorsHeader& header, std::span<const std::byte> payload) {
  for (const TensorExtent& extent : header.extents) {
    header.tensors.at(*extent.name).data = payload.subspan(extent.begin, extent.end - extent.begin);
  }
}

// Bytes of the header, from the first eight bytes of a file of `file_bytes`.
absl::StatusOr<uint64_t> HeaderBytes(std::string_view first, uint64_t file_bytes) {
  if (first.size() < kLengthBytes || file_bytes < kLengthBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(std::min<uint64_t>(first.size(), file_bytes), " bytes; expected a header length of 8 bytes"));
  }
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, first.data(), kLengthBytes);
  if (header_bytes > kMaxHeaderBytes || header_bytes > file_bytes - kLengthBytes) {
    return absl::InvalidArgumentError(absl::StrCat("header length ", header_bytes, "; the file has ",
                                                   file_bytes - kLengthBytes, " bytes after it, and at most ",
                                                   kMaxHeaderBytes, " are read"));
  }
  return header_bytes;
}

class OpenFile {
 public:
  // Non-blocking, so that a pipe is refused and not waited for.
  explicit OpenFile(const std::filesystem::path& path)
      : path_(path), fd_(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {}
  ~OpenFile() {
    if (fd_ >= 0) close(fd_);
  }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  absl::StatusOr<uint64_t> Size() const {
    struct stat status {};
    if (fd_ < 0 || fstat(fd_, &status) != 0) return FileError(path_, errno);
    if (!S_ISREG(status.st_mode)) {
      return absl::InvalidArgumentError(absl::StrCat(path_.string(), ": not a regular file"));
    }
    return static_cast<uint64_t>(status.st_size);
  }

  // Fewer than `count` bytes only at the end of the file.
  absl::StatusOr<std::string> Read(uint64_t offset, size_t count) const {
    std::string bytes(count, '\0');
    size_t done = 0;
    while (done < count) {
      const ssize_t n = pread(fd_, bytes.data() + done, count - done, static_cast<off_t>(offset + done));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return FileError(path_, errno);
      if (n == 0) break;
      done += static_cast<size_t>(n);
    }
    bytes.resize(done);
    return bytes;
  }

  // The first `size` bytes, of which there is at least one. They stay mapped for as long as the pointer has a copy.
  absl::StatusOr<std::shared_ptr<const void>> Map(size_t size) const {
    void* address = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd_, 0);
    if (address == MAP_FAILED) return FileError(path_, errno);
    return std::shared_ptr<const void>(address,
                                       [size](const void* mapped) { munmap(const_cast<void*>(mapped), size); });
  }

 private:
  const std::filesystem::path& path_;
  int fd_;
};

// {tensor: shard file} of an index. A shard lies beside the index: a path is refused.
absl::StatusOr<std::map<std::string, std::string>> ReadIndex(const std::filesystem::path& file) {
  EVILMOE_ASSIGN_OR_RETURN(const std::string text, ReadFile(file, kMaxHeaderBytes));
  const Json index = ParseBoundedJson(text);
  const auto bad = [&](const std::string& problem) {
    return absl::InvalidArgumentError(absl::StrCat(file.string(), ": ", problem));
  };
  if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object()) {
    return bad("no weight_map; expected {\"weight_map\": {tensor: file}}");
  }
  std::map<std::string, std::string> shards;
  for (const auto& [name, shard] : index["weight_map"].items()) {
    if (!shard.is_string()) return bad(absl::StrCat("tensor ", QuotedName(name), ": its file is not a string"));
    const auto text_of = shard.get<std::string>();
    if (text_of.empty() || text_of.find('/') != std::string::npos || text_of.find('\0') != std::string::npos ||
        text_of == "." || text_of == "..") {
      return bad(
          absl::StrCat("tensor ", QuotedName(name), ": ", QuotedName(text_of), " is not a file beside the index"));
    }
    shards.emplace(name, text_of);
  }
  return shards;
}

// Where everything goes: what stands in front of the payload, and the payload's order.
struct Layout {
  std::string front;  // length and header
  std::vector<const std::string*> order;
  uint64_t payload_bytes = 0;
};

// Reads the tensors' dtype and shape alone.
absl::StatusOr<Layout> LayOut(const std::map<std::string, TensorView>& tensors,
                              const std::map<std::string, std::string>& metadata) {
  std::vector<std::pair<size_t, const std::string*>> order;
  for (const auto& [name, tensor] : tensors) {
    const size_t element_bytes = DtypeBytes(tensor.dtype);
    if (element_bytes == 0) {
      return BadTensor(name, absl::StrCat("dtype ", QuotedName(tensor.dtype), "; expected F32, F16, BF16 or I64"));
    }
    if (name == "__metadata__") return BadTensor(name, "the name is reserved");
    order.emplace_back(element_bytes, &name);
  }
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.first > b.first; });

  Layout layout;
  Json header = Json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  for (const auto& [element_bytes, name] : order) {
    const TensorView& tensor = tensors.at(*name);
    const std::optional<uint64_t> bytes = TensorBytes(tensor.dtype, tensor.shape);
    if (!bytes) return BadTensor(*name, absl::StrCat("shape [", absl::StrJoin(tensor.shape, ", "), "] is none"));
    const uint64_t end = layout.payload_bytes + *bytes;
    header[*name] = {{"dtype", tensor.dtype}, {"shape", tensor.shape}, {"data_offsets", {layout.payload_bytes, end}}};
    layout.payload_bytes = end;
    layout.order.push_back(name);
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const Json::exception& e) {  // a name or a metadata value that is not UTF-8
    return absl::InvalidArgumentError(absl::StrCat("safetensors header: ", e.what()));
  }
  text.resize((text.size() + kLengthBytes - 1) / kLengthBytes * kLengthBytes, ' ');
  const uint64_t header_bytes = text.size();
  layout.front.resize(kLengthBytes);
  std::memcpy(layout.front.data(), &header_bytes, kLengthBytes);
  layout.front += text;
  return layout;
}

}  // namespace

absl::StatusOr<Safetensors> Safetensors::Parse(std::string bytes) {
  const auto owner = std::make_shared<const std::string>(std::move(bytes));
  EVILMOE_ASSIGN_OR_RETURN(const uint64_t header_bytes, HeaderBytes(*owner, owner->size()));
  const std::string_view text = std::string_view(*owner).substr(kLengthBytes, header_bytes);
  const auto payload = std::as_bytes(std::span(*owner)).subspan(kLengthBytes + header_bytes);
  EVILMOE_ASSIGN_OR_RETURN(SafetensorsHeader header, CheckSafetensorsHeader(text, payload.size()));
  Attach(header, payload);
  Safetensors result;
  result.storage_.push_back(owner);
  result.tensors_ = std::move(header.tensors);
  result.metadata_ = std::move(header.metadata);
  return result;
}

absl::StatusOr<Safetensors> Safetensors::Open(const std::filesystem::path& path) {
  const OpenFile file(path);
  EVILMOE_ASSIGN_OR_RETURN(const uint64_t size, file.Size());
  EVILMOE_ASSIGN_OR_RETURN(const std::string first, file.Read(0, kLengthBytes));
  const absl::StatusOr<uint64_t> header_bytes = HeaderBytes(first, size);
  if (!header_bytes.ok()) return Annotate(header_bytes.status(), path.string());
  EVILMOE_ASSIGN_OR_RETURN(const std::string text, file.Read(kLengthBytes, *header_bytes));
  const uint64_t begin = kLengthBytes + *header_bytes;
  absl::StatusOr<SafetensorsHeader> header = CheckSafetensorsHeader(text, size - begin);
  if (!header.ok()) return Annotate(header.status(), path.string());
  Safetensors result;
  EVILMOE_ASSIGN_OR_RETURN(std::shared_ptr<const void> mapping, file.Map(size));
  result.mapped_.emplace_back(static_cast<const std::byte*>(mapping.get()), size);
  result.storage_.push_back(std::move(mapping));
  Attach(*header, result.mapped_.back().subspan(begin));
  result.tensors_ = std::move(header->tensors);
  result.metadata_ = std::move(header->metadata);
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
      result.mapped_.insert(result.mapped_.end(), part.mapped_.begin(), part.mapped_.end());
      found = opened.emplace(shard, std::move(part)).first;
    }
    const TensorView* view = found->second.Find(name);
    if (view == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat(index.string(), ": tensor ", QuotedName(name), ": not in ", QuotedName(shard)));
    }
    result.tensors_.emplace(name, *view);
  }
  if (!opened.empty()) result.metadata_ = opened.begin()->second.metadata_;
  return result;
}

void Safetensors::Discard(const TensorView& view) const {
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(view.data.data());
  const uintptr_t end = begin + view.data.size();
  for (const std::span<const std::byte> file : mapped_) {
    const auto file_begin = reinterpret_cast<uintptr_t>(file.data());
    if (begin < file_begin || end > file_begin + file.size()) continue;
    // Pages shared with a neighbour stay; a mapping begins on a page of its own.
    const uintptr_t first = (begin + page - 1) / page * page;
    const uintptr_t last = end / page * page;
    // A refusal costs memory, not correctness.
    if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
  }
}

const TensorView* Safetensors::Find(const std::string& name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

absl::StatusOr<std::string> WriteSafetensors(const std::map<std::string, TensorView>& tensors,
                                             const std::map<std::string, std::string>& metadata) {
  for (const auto& [name, tensor] : tensors) {
    if (DtypeBytes(tensor.dtype) != 0 && TensorBytes(tensor.dtype, tensor.shape) != tensor.data.size()) {
      return BadTensor(name, absl::StrCat(tensor.data.size(), " bytes do not fit ", tensor.dtype, " [",
                                          absl::StrJoin(tensor.shape, ", "), "]"));
    }
  }
  EVILMOE_ASSIGN_OR_RETURN(Layout layout, LayOut(tensors, metadata));
  std::string bytes = std::move(layout.front);
  bytes.reserve(bytes.size() + layout.payload_bytes);
  for (const std::string* name : layout.order) {
    const std::span<const std::byte> data = tensors.at(*name).data;
    bytes.append(reinterpret_cast<const char*>(data.data()), data.size());
  }
  return bytes;
}

absl::Status StreamSafetensorsFile(const std::filesystem::path& file, const std::map<std::string, TensorView>& tensors,
                                   const std::map<std::string, std::string>& metadata, const TensorSource& source) {
  EVILMOE_ASSIGN_OR_RETURN(const Layout layout, LayOut(tensors, metadata));
  std::ofstream out(file, std::ios::binary | std::ios::trunc);
  out.write(layout.front.data(), static_cast<std::streamsize>(layout.front.size()));
  for (const std::string* name : layout.order) {
    EVILMOE_ASSIGN_OR_RETURN(const std::span<const std::byte> data, source(*name));
    const TensorView& tensor = tensors.at(*name);
    if (TensorBytes(tensor.dtype, tensor.shape) != data.size()) {
      return BadTensor(*name, absl::StrCat(data.size(), " bytes do not fit ", tensor.dtype, " [",
                                           absl::StrJoin(tensor.shape, ", "), "]"));
    }
    out.write(reinterpret_cast<const char*>(data.data()), static_cast<std::streamsize>(data.size()));
    if (!out) break;
  }
  out.close();
  if (!out) return FileError(file, errno == 0 ? EIO : errno);
  return SyncPath(file);
}

absl::Status WriteSafetensorsFile(const std::filesystem::path& file, const std::map<std::string, TensorView>& tensors,
                                  const std::map<std::string, std::string>& metadata) {
  EVILMOE_ASSIGN_OR_RETURN(const std::string bytes, WriteSafetensors(tensors, metadata));
  return WriteFileAtomic(file, bytes);
}

}  // namespace evilmoe
