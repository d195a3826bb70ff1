#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace evilmoe {

// The safetensors container, without torch: named arrays of F32, F16, BF16 (2 bytes) or I64, row-major, little-endian.

// Bytes of one element: 4, 2, 2 or 8; 0 for a dtype that is not one of the four.
size_t DtypeBytes(std::string_view dtype);

struct TensorView {
  std::string dtype;
  std::vector<int64_t> shape;       // empty: a scalar
  std::span<const std::byte> data;  // exactly product(shape) elements; a foreign file may leave it unaligned
};

// What a file or a folder holds. Copies are cheap and share the bytes; the views live as long as any copy.
// Every header is checked whole before the first view exists: bounds, overlaps, holes, dtype, shape against size.
// Errors are one line: NotFound, Unavailable (cannot be read) or InvalidArgument, naming the file and the tensor.
class Safetensors {
 public:
  static absl::StatusOr<Safetensors> Parse(std::string bytes);

  // Reads and checks the header, then maps the file. It may be replaced (renamed over) while mapped, never written in
  // place.
  static absl::StatusOr<Safetensors> Open(const std::filesystem::path& file);

  // `folder`/model.safetensors, or the shards that `folder`/model.safetensors.index.json names.
  static absl::StatusOr<Safetensors> OpenFolder(const std::filesystem::path& folder);

  const std::map<std::string, TensorView>& tensors() const { return tensors_; }
  const TensorView* Find(const std::string& name) const;  // nullptr when there is none
  const std::map<std::string, std::string>& metadata() const { return metadata_; }  // a folder's: its first shard's

  // Says that `view`, one of ours, is not needed for now: the memory that its part of a mapped file takes goes back to
  // the kernel (whole pages only). Its data stays readable; reading it fetches it from the file again. Bytes that were
  // handed to Parse() stay where they are. A loader that copies array by array thus never holds file and copy at once.
  void Discard(const TensorView& view) const;

 private:
  std::vector<std::shared_ptr<const void>> storage_;  // what the views point into
  std::vector<std::span<const std::byte>> mapped_;    // the parts of it that are files
  std::map<std::string, TensorView> tensors_;
  std::map<std::string, std::string> metadata_;
};

// The file's bytes: the same input always gives the same ones. The payload is ordered by element size, largest
// first, then by name, and starts at a multiple of 8, so every array is aligned. InvalidArgument names the tensor
// whose dtype is unknown or whose data does not fit its shape, or the text that is not UTF-8.
absl::StatusOr<std::string> WriteSafetensors(const std::map<std::string, TensorView>& tensors,
                                             const std::map<std::string, std::string>& metadata = {});

// WriteSafetensors, then WriteFileAtomic.
absl::Status WriteSafetensorsFile(const std::filesystem::path& file, const std::map<std::string, TensorView>& tensors,
                                  const std::map<std::string, std::string>& metadata = {});

// The bytes of one array, valid until the next call.
using TensorSource = std::function<absl::StatusOr<std::span<const std::byte>>(const std::string& name)>;

// The bytes of WriteSafetensors, written array by array: `source` is asked for each in turn, and the data of `tensors`
// is not read. Flushed to the disk; after an error the file is there in part. Errors as above, Unavailable where the
// file cannot be written, and those of `source`.
absl::Status StreamSafetensorsFile(const std::filesystem::path& file, const std::map<std::string, TensorView>& tensors,
                                   const std::map<std::string, std::string>& metadata, const TensorSource& source);

}  // namespace evilmoe
