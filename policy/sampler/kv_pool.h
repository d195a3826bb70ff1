#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "policy/sampler/kernels.h"

namespace evilmoe {

// What the cache keeps of one position of a network.
struct KvShape {
  int num_layers = 0;
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;  // even
  NumberFormat format = NumberFormat::kFloat32;
  bool operator==(const KvShape&) const = default;
};

// The positions of one sequence, or of a prompt that a group shares, in order: block i holds positions 16·i … 16·i + 15.
struct KvStream {
  std::vector<int32_t> blocks;
  int64_t length = 0;  // positions written
};

// Memory for keys and values in blocks of 16 positions, never more than the budget. Who wants to run reserves first, for
// the longest it may become, and then takes blocks as it grows: so a running sequence never finds the pool empty, and
// memory is touched only where positions were written. Not thread-safe.
class KvPool {
 public:
  // ResourceExhausted: the budget holds no block, or the address space is refused.
  static absl::StatusOr<std::unique_ptr<KvPool>> Create(const KvShape& shape, int64_t budget_bytes);
  ~KvPool();
  KvPool(const KvPool&) = delete;
  KvPool& operator=(const KvPool&) = delete;

  const KvShape& shape() const { return shape_; }
  static int64_t BlocksFor(int64_t positions) { return (positions + kPanel - 1) / kPanel; }
  static int64_t BlockBytes(const KvShape& shape);
  int64_t num_blocks() const { return num_blocks_; }
  int64_t num_reserved() const { return reserved_; }
  int64_t max_reserved() const { return max_reserved_; }  // so far

  // False: that many are not left. What was reserved must be given back by Unreserve.
  bool TryReserve(int64_t blocks);
  void Unreserve(int64_t blocks);
  // Makes room for positions up to `length` in a stream whose blocks were reserved.
  void Grow(KvStream& stream, int64_t length);
  // Gives the blocks back; the reservation stays.
  void Release(KvStream& stream);

  // Keys, then values, of one block for one layer and head.
  void* Tile(int layer, int64_t kv_head, int32_t block) const {
    return base_ + block * block_bytes_ + (layer * shape_.num_kv_heads + kv_head) * tile_bytes_;
  }
  // Writes position `index` of a stream: head_dim floats each.
  void Write(int layer, int64_t kv_head, const KvStream& stream, int64_t index, const float* key,
             const float* value) const;

 private:
  KvPool(const KvShape& shape, int64_t num_blocks, char* base);

  const KvShape shape_;
  const int64_t num_blocks_;
  const int64_t tile_bytes_;
  const int64_t block_bytes_;
  char* const base_;  // mapped, num_blocks · BlockBytes
  int64_t reserved_ = 0;
  int64_t max_reserved_ = 0;
  std::vector<int32_t> free_;  // the last one is taken first: memory that was touched is used again
};

}  // namespace evilmoe
