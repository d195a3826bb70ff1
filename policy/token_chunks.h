#pragma once

#include <algorithm>
#include <cstdint>

namespace evilmoe {

// Rows whose fp32 logits take at most 64 MB, >= 1. On a CPU no more than 256 or 2 MB, whichever is more rows: logits
// that stay in the cache between two passes over them halve the time.
inline int64_t TokenChunkRows(int64_t vocabulary, bool on_cpu) {
  constexpr int64_t kChunkBytes = int64_t{64} << 20, kCachedChunkBytes = int64_t{2} << 20;
  constexpr int64_t kCachedChunkRows = 256;
  const int64_t row_bytes = std::max<int64_t>(1, vocabulary) * static_cast<int64_t>(sizeof(float));
  int64_t rows = kChunkBytes / row_bytes;
  if (on_cpu) rows = std::min(rows, std::max(kCachedChunkRows, kCachedChunkBytes / row_bytes));
  return std::max<int64_t>(1, rows);
}

}  // namespace evilmoe
