#include "policy/sampler/packed_matrix.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "policy/sampler/bfloat16.h"

namespace evilmoe {
namespace {

constexpr size_t kAlignment = 64;

std::shared_ptr<void> AllocateZeroed(size_t bytes) {
  void* data = ::operator new(bytes, std::align_val_t{kAlignment});
  std::memset(data, 0, bytes);
  return {data, [](void* p) { ::operator delete(p, std::align_val_t{kAlignment}); }};
}

float Element(const MatrixRows& source, int64_t index) {
  if (source.format == MatrixRows::Format::kFloat32) return static_cast<const float*>(source.data)[index];
  return Bf16ToFloat(static_cast<const uint16_t*>(source.data)[index]);
}

void FillPanelF32(const MatrixRows& source, int64_t first_row, int64_t rows, int64_t in, float* panel) {
  for (int64_t k = 0; k < in; ++k) {
    for (int64_t r = 0; r < rows; ++r) panel[k * kPanel + r] = Element(source, (first_row + r) * in + k);
  }
}

void FillPanelBf16(const MatrixRows& source, int64_t first_row, int64_t rows, int64_t in, uint16_t* panel) {
  for (int64_t k = 0; k < in; ++k) {
    for (int64_t r = 0; r < rows; ++r) {
      panel[(k / 2 * kPanel + r) * 2 + k % 2] = FloatToBf16(Element(source, (first_row + r) * in + k));
    }
  }
}

}  // namespace

PackedMatrix PackedMatrix::Pack(NumberFormat format, int64_t in, std::span<const MatrixRows> blocks) {
  PackedMatrix packed;
  packed.format_ = format;
  packed.in_ = in;
  for (const MatrixRows& block : blocks) {
    packed.begins_.push_back(packed.out_);
    packed.out_ += PanelPadded(block.rows);
  }
  packed.data_ = AllocateZeroed(static_cast<size_t>(packed.bytes()));
  for (size_t b = 0; b < blocks.size(); ++b) {
    for (int64_t row = 0; row < blocks[b].rows; row += kPanel) {
      const int64_t rows = std::min(kPanel, blocks[b].rows - row);
      const int64_t panel = (packed.begins_[b] + row) * packed.PaddedIn();
      if (format == NumberFormat::kFloat32) {
        FillPanelF32(blocks[b], row, rows, in, static_cast<float*>(packed.data_.get()) + panel);
      } else {
        FillPanelBf16(blocks[b], row, rows, in, static_cast<uint16_t*>(packed.data_.get()) + panel);
      }
    }
  }
  return packed;
}

int64_t PackedMatrix::bytes() const { return out_ * PaddedIn() * NumberBytes(format_); }

void PackedMatrix::Row(int64_t channel, float* out) const {
  const int64_t panel = channel / kPanel * kPanel * PaddedIn();
  const int64_t slot = channel % kPanel;
  for (int64_t k = 0; k < in_; ++k) {
    out[k] = format_ == NumberFormat::kFloat32
                 ? static_cast<const float*>(data_.get())[panel + k * kPanel + slot]
                 : Bf16ToFloat(static_cast<const uint16_t*>(data_.get())[panel + (k / 2 * kPanel + slot) * 2 + k % 2]);
  }
}

}  // namespace evilmoe
