#include "policy/sampler/row_attention.h"

#include <algorithm>
#include <limits>

namespace evilmoe {

RowAttention::Tiles RowAttention::AddTiles(Place place, const KvStream& stream, int64_t length) {
  const Tiles tiles{tiles_.size(), static_cast<size_t>(KvPool::BlocksFor(length))};
  for (size_t t = 0; t < tiles.count; ++t) tiles_.push_back(pool_->Tile(place.layer, place.kv_head, stream.blocks[t]));
  return tiles;
}

void RowAttention::Arrange(std::span<const AttentionRow> rows, int64_t heads) {
  const int64_t head_dim = pool_->shape().head_dim;
  const int64_t out_stride = PanelPadded(head_dim);
  size_t own = 0;
  for (const Tiles& tiles : own_tiles_) own = std::max(own, tiles.count);
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
AttentionArgs RowAttention::Args(Tiles tiles, int64_t first, int64_t count, int64_t score_offset, Tiles next,
                                 bool next_is_values) {
  for (int64_t q = first; q < first + count; ++q) {
    score_rows_[static_cast<size_t>(q)] = scores_.data() + q * score_stride_ + score_offset;
  }
  return {.tiles = tiles_.data() + tiles.begin,
          .num_tiles = static_cast<int64_t>(tiles.count),
          .head_dim = pool_->shape().head_dim,
          .queries = queries_.data() + first,
          .scores = score_rows_.data() + first,
          .outputs = output_rows_.data() + first,
          .num_queries = count,
          .next_tiles = tiles_.data() + next.begin,
          .num_next = static_cast<int64_t>(next.count),
          .next_is_values = next_is_values};
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

void RowAttention::Run(Place place, const KvStream& shared, std::span<const AttentionRow> rows, int64_t heads,
                       const KvStream* next, Place next_place) {
  const bool bf16 = pool_->shape().format == NumberFormat::kBFloat16;
  const auto scores = bf16 ? kernels_->scores_bf16 : kernels_->scores_f32;
  const auto values = bf16 ? kernels_->values_bf16 : kernels_->values_f32;
  const auto num_queries = static_cast<int64_t>(rows.size()) * heads;
  tiles_.clear();
  own_tiles_.clear();
  int64_t longest = 0;
  for (const AttentionRow& row : rows) longest = std::max(longest, row.shared_length);
  shared_tiles_ = AddTiles(place, shared, longest);
  for (const AttentionRow& row : rows) {
    own_tiles_.push_back(row.own == nullptr ? Tiles{} : AddTiles(place, *row.own, row.own_length));
  }
  const Tiles after = next == nullptr ? Tiles{} : AddTiles(next_place, *next, next->length);
  Arrange(rows, heads);

  const int64_t own_offset = static_cast<int64_t>(shared_tiles_.count) * kPanel;
  // In the order of reading: the shared keys, each row's keys, the shared values, each row's values.
  const auto pass = [&](auto kernel, bool is_values, Tiles then, bool then_values) {
    const bool has_own = own_tiles_.front().count > 0;
    kernel(Args(shared_tiles_, 0, num_queries, 0, has_own ? own_tiles_.front() : then,
                has_own ? is_values : then_values));
    for (size_t r = 0; r < rows.size(); ++r) {
      if (own_tiles_[r].count == 0) continue;
      const bool last = r + 1 == rows.size();
      kernel(Args(own_tiles_[r], static_cast<int64_t>(r) * heads, heads, own_offset, last ? then : own_tiles_[r + 1],
                  last ? then_values : is_values));
    }
  };
  pass(scores, /*is_values=*/false, shared_tiles_, /*then_values=*/true);
  Weigh(rows, heads);
  pass(values, /*is_values=*/true, after, /*then_values=*/false);

  const int64_t head_dim = pool_->shape().head_dim;
  for (int64_t q = 0; q < num_queries; ++q) {
    const float* out = output_rows_[static_cast<size_t>(q)];
    std::copy(out, out + head_dim, rows[static_cast<size_t>(q / heads)].output + q % heads * head_dim);
  }
}

}  // namespace evilmoe
