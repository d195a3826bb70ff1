#include "policy/sampler/kv_pool.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "policy/sampler/bfloat16.h"

namespace evilmoe {
namespace {

int64_t TileBytes(const KvShape& shape) {
  return kPanel * (shape.head_dim + PanelPadded(shape.head_dim)) * NumberBytes(shape.format);
}

template <typename Number, typename Convert>
void WriteTile(Number* tile, int64_t slot, int64_t head_dim, const float* key, const float* value, Convert convert) {
  for (int64_t c = 0; c < head_dim; ++c) tile[c * kPanel + slot] = convert(key[c]);
  Number* values = tile + head_dim * kPanel + slot * PanelPadded(head_dim);
  for (int64_t c = 0; c < head_dim; ++c) values[c] = convert(value[c]);
}

}  // namespace

int64_t KvPool::BlockBytes(const KvShape& shape) { return shape.num_layers * shape.num_kv_heads * TileBytes(shape); }

absl::StatusOr<std::unique_ptr<KvPool>> KvPool::Create(const KvShape& shape, int64_t budget_bytes) {
  const int64_t block_bytes = BlockBytes(shape);
  const int64_t num_blocks = std::min<int64_t>(budget_bytes / block_bytes, INT32_MAX);
  if (num_blocks < 1) {
    return absl::ResourceExhaustedError(absl::StrCat("KV cache: a budget of ", budget_bytes, " bytes, expected at least ",
                                                     block_bytes, " (16 positions)"));
  }
  // Address space only: a page becomes memory when a position on it is written.
  void* base = mmap(nullptr, static_cast<size_t>(num_blocks * block_bytes), PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) {
    return absl::ResourceExhaustedError(
        absl::StrCat("KV cache: ", num_blocks * block_bytes, " bytes: ", std::strerror(errno)));
  }
  // A step reads tiles from all over the pool: with small pages most of them would miss the TLB. Only a wish.
  madvise(base, static_cast<size_t>(num_blocks * block_bytes), MADV_HUGEPAGE);
  return std::unique_ptr<KvPool>(new KvPool(shape, num_blocks, static_cast<char*>(base)));
}

KvPool::KvPool(const KvShape& shape, int64_t num_blocks, char* base)
    : shape_(shape), num_blocks_(num_blocks), tile_bytes_(TileBytes(shape)), block_bytes_(BlockBytes(shape)), base_(base) {
  free_.resize(static_cast<size_t>(num_blocks));
  for (int64_t i = 0; i < num_blocks; ++i) free_[static_cast<size_t>(i)] = static_cast<int32_t>(num_blocks - 1 - i);
}

KvPool::~KvPool() { munmap(base_, static_cast<size_t>(num_blocks_ * BlockBytes(shape_))); }

bool KvPool::TryReserve(int64_t blocks) {
  if (blocks > num_blocks_ - reserved_) return false;
  reserved_ += blocks;
  max_reserved_ = std::max(max_reserved_, reserved_);
  return true;
}

void KvPool::Unreserve(int64_t blocks) {
  EVILMOE_CHECK(blocks <= reserved_);
  reserved_ -= blocks;
}

void KvPool::Grow(KvStream& stream, int64_t length) {
  while (static_cast<int64_t>(stream.blocks.size()) < BlocksFor(length)) {
    EVILMOE_CHECK(!free_.empty());  // whoever grows has reserved
    stream.blocks.push_back(free_.back());
    free_.pop_back();
  }
}

void KvPool::Release(KvStream& stream) {
  free_.insert(free_.end(), stream.blocks.rbegin(), stream.blocks.rend());
  stream = {};
}

void KvPool::Write(int layer, int64_t kv_head, const KvStream& stream, int64_t index, const float* key,
                   const float* value) const {
  void* tile = Tile(layer, kv_head, stream.blocks[static_cast<size_t>(index / kPanel)]);
  const int64_t slot = index % kPanel;
  if (shape_.format == NumberFormat::kFloat32) {
    WriteTile(static_cast<float*>(tile), slot, shape_.head_dim, key, value, [](float x) { return x; });
  } else {
    WriteTile(static_cast<uint16_t*>(tile), slot, shape_.head_dim, key, value, FloatToBf16);
  }
}

}  // namespace evilmoe
