#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "policy/sampler/kernels.h"

namespace evilmoe {

// Rows (output channels) of a matrix as a checkpoint has them: row-major, contiguous.
struct MatrixRows {
  enum class Format { kFloat32, kBFloat16 };
  const void* data = nullptr;
  Format format = Format::kFloat32;
  int64_t rows = 0;
};

// A weight matrix W (out, in) in the layout of the GEMM kernels. Several matrices over one input lie behind one another
// as blocks, each padded with zero rows to a multiple of 16, so that one GEMM serves them all. Immutable after Pack;
// copies share the numbers.
class PackedMatrix {
 public:
  PackedMatrix() = default;
  // Numbers are rounded to `format`, to nearest. `blocks` is not empty. std::bad_alloc: no memory.
  static PackedMatrix Pack(NumberFormat format, int64_t in, std::span<const MatrixRows> blocks);

  NumberFormat format() const { return format_; }
  int64_t in() const { return in_; }
  int64_t out() const { return out_; }  // padded: a multiple of 16
  int64_t panels() const { return out_ / kPanel; }
  const void* data() const { return data_.get(); }
  int64_t bytes() const;
  // First output channel of a block.
  int64_t block_begin(int block) const { return begins_[static_cast<size_t>(block)]; }
  // The row that became output channel `channel`, `in` floats.
  void Row(int64_t channel, float* out) const;

 private:
  int64_t PaddedIn() const { return format_ == NumberFormat::kFloat32 ? in_ : (in_ + 1) / 2 * 2; }

  NumberFormat format_ = NumberFormat::kFloat32;
  int64_t in_ = 0;
  int64_t out_ = 0;
  std::vector<int64_t> begins_;
  std::shared_ptr<void> data_;
};

}  // namespace evilmoe
