#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "policy/sampler/kernels.h"
#include "policy/sampler/kv_pool.h"

namespace evilmoe {

// One row's query heads over one kv head: what they see, and where the result goes.
struct AttentionRow {
  const float* queries = nullptr;  // (heads, head_dim), scaled by 1/sqrt(head_dim)
  float* output = nullptr;         // (heads, head_dim)
  int64_t shared_length = 0;       // positions seen of the stream that the rows share, >= 0
  const KvStream* own = nullptr;   // seen behind it; null: none
  int64_t own_length = 0;
};

// Rows that read one stream together, so that it comes from memory once: one kv head of one layer.
struct AttentionWork {
  int layer = 0;
  int64_t kv_head = 0;
  const KvStream* shared = nullptr;
  std::span<const AttentionRow> rows;
};

// Each row's sums run over its own positions in order: its bits do not depend on the other rows. Keeps its buffers; not
// thread-safe, one a thread.
class RowAttention {
 public:
  RowAttention(const Kernels& kernels, const KvPool& pool);

  // `heads` queries a row. `next`, if any, is what the thread will work on next: a hint, read ahead.
  void Run(const AttentionWork& work, int64_t heads, const AttentionWork* next);

 private:
  struct Tiles {  // a range of reads_
    size_t begin = 0, count = 0;
  };
  void AddTiles(const AttentionWork& work, const KvStream& stream, int64_t length, int64_t offset);
  void AddReads(const AttentionWork& work, int64_t offset, size_t most);
  void Arrange(const AttentionWork& work, int64_t heads);
  AttentionArgs Args(Tiles tiles, int64_t first_query, int64_t num_queries, int64_t score_offset);
  void Weigh(std::span<const AttentionRow> rows, int64_t heads);

  const Kernels* kernels_;
  const KvPool* pool_;
  size_t distance_;                 // tiles asked for ahead of reading
  std::vector<const void*> reads_;  // keys, then values, of this work; then keys of the next: in the order of reading
  Tiles shared_tiles_;              // its keys
  std::vector<Tiles> own_tiles_;    // of each row, its keys
  int64_t score_stride_ = 0;        // of a query: the shared positions, then its row's own
  std::vector<float> scores_, outputs_;
  std::vector<const float*> queries_;
  std::vector<float*> score_rows_, output_rows_;
};

}  // namespace evilmoe
