#include "policy/sampler/row_attention.h"

#include <algorithm>
#include <limits>

namespace evilmoe {

namespace {

// Tiles lie apart, so the hardware's prefetcher starts anew at each and memory must be asked for this far ahead.
constexpr int64_t kBytesAhead = 8 << 10;

int64_t KeyBytes(const KvShape& shape) {
  return shape.head_dim * kPanel * (shape.format == NumberFormat::kBFloat16 ? 2 : 4);
}

}  // namespace

RowAttention::RowAttention(const Kernels& kernels, const KvPool& pool)
    : kernels_(&kernels),
      pool_(&pool),
      distance_(static_cast<size_t>(std::max<int64_t>(2, kBytesAhead / KeyBytes(pool.shape())))) {}

void RowAttention::AddTiles(const AttentionWork& work, const KvStream& stream, int64_t length, int64_t offset) {
  const auto count = static_cast<size_t>(KvPool::BlocksFor(length));
  for (size_t t = 0; t < count; ++t) {
    reads_.push_back(static_cast<const char*>(pool_->Tile(work.layer, work.kv_head, stream.blocks[t])) + offset);
  }
}

// What is read of a work's tiles, `offset` bytes into each: the shared ones, then each row's. At least `most` of them.
void RowAttention::AddReads(const AttentionWork& work, int64_t offset, size_t most) {
  const size_t end = reads_.size() + std::min(most, reads_.max_size() - reads_.size());
  int64_t longest = 0;
  for (const AttentionRow& row : work.rows) longest = std::max(longest, row.shared_length);
  AddTiles(work, *work.shared, longest, offset);
  for (const AttentionRow& row : work.rows) {
    if (reads_.size() >= end) return;
    if (row.own != nullptr) AddTiles(work, *row.own, row.own_length, offset);
  }
}

void RowAttention::Arrange(const AttentionWork& work, int64_t heads) {
  const std::span<const AttentionRow> rows = work.rows;
  const int64_t head_dim = pool_->shape().head_dim;
  const int64_t out_stride = PanelPadded(head_dim);
  int64_t longest = 0;
  for (const AttentionRow& row : rows) longest = std::max(longest, row.shared_length);
  shared_tiles_ = {0, static_cast<size_t>(KvPool::BlocksFor(longest))};
  own_tiles_.clear();
  size_t own = 0, begin = shared_tiles_.count;
  for (const AttentionRow& row : rows) {
    const size_t count = row.own == nullptr ? 0 : static_cast<size_t>(KvPool::BlocksFor(row.own_length));
    own_tiles_.push_back({begin, count});
    own = std::max(own, count);
    begin += count;
  }
  score_stride_ = static_cast<int64_t>(shared_tiles_.count + own) * kPanel;
  const auto num_queries = rows.size() * static_cast<size_t>(heads);
  scores_.resize(num_queries * static_cast<size_t>(score_stride_));
  outputs_.assign(num_queries * static_cast<size_t>(out_stride), 0.0f);
  queries_.resize(num_queries);
  score_rows_.resize(num_queries);
  output_rows_.resize(num_queries);
  for (size_t q = 0; q < num_queries; ++q) {
    const auto index = static_cast<int64_t>(q);
    queries_[q] = rows[q / static_cast<size_t>(heads)].queries + index % heads * head_dim;
    output_rows_[q] = outputs_.data() + index * out_stride;
  }
}

// Queries [first, first + count) over some tiles; their scores begin `score_offset` into their lines.
AttentionArgs RowAttention::Args(Tiles tiles, int64_t first, int64_t count, int64_t score_offset) {
  for (int64_t q = first; q < first + count; ++q) {
    score_rows_[static_cast<size_t>(q)] = scores_.data() + q * score_stride_ + score_offset;
  }
  const size_t ahead = std::min(reads_.size(), tiles.begin + distance_);
  return {.tiles = reads_.data() + tiles.begin,
          .num_tiles = static_cast<int64_t>(tiles.count),
          .head_dim = pool_->shape().head_dim,
          .queries = queries_.data() + first,
          .scores = score_rows_.data() + first,
          .outputs = output_rows_.data() + first,
          .num_queries = count,
          .ahead = reads_.data() + ahead,
          .num_ahead = static_cast<int64_t>(reads_.size() - ahead)};
}

// Softmax over what each row sees. What it does not see gets weight 0, so its neighbours' lengths change nothing.
void RowAttention::Weigh(std::span<const AttentionRow> rows, int64_t heads) {
  constexpr float kHidden = -std::numeric_limits<float>::infinity();
  const int64_t shared_end = static_cast<int64_t>(shared_tiles_.count) * kPanel;
  for (size_t r = 0; r < rows.size(); ++r) {
    for (int64_t q = static_cast<int64_t>(r) * heads; q < (static_cast<int64_t>(r) + 1) * heads; ++q) {
      float* line = scores_.data() + q * score_stride_;
      std::fill(line + rows[r].shared_length, line + shared_end, kHidden);
      std::fill(line + shared_end + rows[r].own_length, line + score_stride_, kHidden);
      const float inverse = 1.0f / kernels_->softmax(line, score_stride_);
      for (int64_t t = 0; t < score_stride_; ++t) line[t] *= inverse;
    }
  }
}

void RowAttention::Run(const AttentionWork& work, int64_t heads, const AttentionWork* next) {
  const std::span<const AttentionRow> rows = work.rows;
  const bool bf16 = pool_->shape().format == NumberFormat::kBFloat16;
  const auto num_queries = static_cast<int64_t>(rows.size()) * heads;
  constexpr size_t kAll = std::numeric_limits<size_t>::max();
  reads_.clear();
  AddReads(work, /*offset=*/0, kAll);
  const size_t num_keys = reads_.size();
  AddReads(work, KeyBytes(pool_->shape()), kAll);
  if (next != nullptr) AddReads(*next, /*offset=*/0, distance_);
  Arrange(work, heads);

  const int64_t own_offset = static_cast<int64_t>(shared_tiles_.count) * kPanel;
  const auto pass = [&](auto kernel, size_t begin) {
    kernel(Args({begin + shared_tiles_.begin, shared_tiles_.count}, 0, num_queries, 0));
    for (size_t r = 0; r < rows.size(); ++r) {
      const auto [own_begin, count] = own_tiles_[r];
      if (count > 0) kernel(Args({begin + own_begin, count}, static_cast<int64_t>(r) * heads, heads, own_offset));
    }
  };
  pass(bf16 ? kernels_->scores_bf16 : kernels_->scores_f32, 0);
  Weigh(rows, heads);
  pass(bf16 ? kernels_->values_bf16 : kernels_->values_f32, num_keys);

  const int64_t head_dim = pool_->shape().head_dim;
  for (int64_t q = 0; q < num_queries; ++q) {
    const float* out = output_rows_[static_cast<size_t>(q)];
    std::copy(out, out + head_dim, rows[static_cast<size_t>(q / heads)].output + q % heads * head_dim);
  }
}

}  // namespace evilmoe
