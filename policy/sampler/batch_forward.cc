#include "policy/sampler/batch_forward.h"

#include <algorithm>
#include <cmath>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace evilmoe {
namespace {

// Rows that attend together: enough to use what was loaded, few enough to give every thread some.
constexpr size_t kRowsTogether = 8;

int ThreadIndex() {
#ifdef _OPENMP
  return omp_get_thread_num();
#else
  return 0;
#endif
}

// x · cos + rotated(x) · sin with halves (Su et al. 2021, NeoX layout), times `scale`.
void Rotate(float* x, const float* cos, const float* sin, int64_t head_dim, float scale) {
  const int64_t half = head_dim / 2;
  for (int64_t i = 0; i < half; ++i) {
    const float low = x[i], high = x[i + half];
    x[i] = (low * cos[i] - high * sin[i]) * scale;
    x[i + half] = (high * cos[i] + low * sin[i]) * scale;
  }
}

}  // namespace

// Calls f(i) for i in [0, n), split in order over the threads.
template <typename F>
void BatchForward::ParallelFor(int64_t n, F f) {
#ifdef _OPENMP
  if (threads_ > 1 && n > 1) {
#pragma omp parallel for schedule(static) num_threads(threads_)
    for (int64_t i = 0; i < n; ++i) f(i);
    return;
  }
#endif
  for (int64_t i = 0; i < n; ++i) f(i);
}

void BatchForward::Resize(Activations& a, int64_t columns, bool rounded) const {
  a.stride = columns;
  a.values.resize(rows_.size() * static_cast<size_t>(columns));
  if (rounded) a.rounded.resize(a.values.size());
}

void BatchForward::Prepare(const PackedModel& model) {
  const Qwen3Config& c = model.config();
  config_ = &c;
  bf16_ = model.format() == NumberFormat::kBFloat16;
  const PackedLayer& layer = model.layers().front();
  key_begin_ = layer.qkv.weight.block_begin(kKeyBlock);
  value_begin_ = layer.qkv.weight.block_begin(kValueBlock);
  Resize(x_, PanelPadded(c.hidden_size), false);
  Resize(normed_, x_.stride, bf16_);
  Resize(qkv_, layer.qkv.weight.out(), false);
  Resize(attended_, PanelPadded(c.num_heads * c.head_dim), bf16_);
  Resize(gate_up_, layer.gate_up.weight.out(), bf16_);
}

void BatchForward::FindItems() {
  items_.clear();
  for (size_t i = 0; i < rows_.size(); ++i) {
    const ForwardRow& row = rows_[i];
    AttentionItem item{i, i + 1, row.prefix != nullptr ? row.prefix : row.own, row.prefix == nullptr};
    if (!items_.empty() && items_.back().shared == item.shared && items_.back().is_own == item.is_own &&
        i - items_.back().begin < kRowsTogether) {
      items_.back().end = i + 1;
    } else {
      items_.push_back(item);
    }
  }
}

void BatchForward::Fill(const PackedModel& model, std::span<const ForwardRow> rows) {
  Begin(model, rows);
  const int last = static_cast<int>(config_->num_layers) - 1;
  for (int layer = 0; layer < last; ++layer) Layer(model, layer);
  StoreKeysValues(model, last);
}

void BatchForward::Run(const PackedModel& model, std::span<const ForwardRow> rows) {
  Begin(model, rows);
  for (int layer = 0; layer < config_->num_layers; ++layer) Layer(model, layer);
}

void BatchForward::Begin(const PackedModel& model, std::span<const ForwardRow> rows) {
  rows_ = rows;
  Prepare(model);
  FindItems();
  ParallelFor(static_cast<int64_t>(rows.size()), [&](int64_t r) {
    model.embedding().Row(rows[static_cast<size_t>(r)].id, x_.row(r));
    std::fill(x_.row(r) + config_->hidden_size, x_.row(r) + x_.stride, 0.0f);
  });
}

const float* BatchForward::Logits(const PackedModel& model) {
  NormRows(model, model.final_norm());
  logits_stride_ = model.head().out();
  logits_.resize(rows_.size() * static_cast<size_t>(logits_stride_));
  Gemm(model.head(), normed_.values.data(), normed_.rounded.data(), normed_.stride, logits_.data(), logits_stride_,
       false);
  return logits_.data();
}

void BatchForward::StoreKeysValues(const PackedModel& model, int index) {
  const PackedLayer& layer = model.layers()[static_cast<size_t>(index)];
  NormRows(model, layer.input_norm);
  Multiply(layer.qkv, normed_, qkv_.values.data(), qkv_.stride, false);
  RotateAndStore(model, index);
}

void BatchForward::Layer(const PackedModel& model, int index) {
  const PackedLayer& layer = model.layers()[static_cast<size_t>(index)];
  const auto num_rows = static_cast<int64_t>(rows_.size());
  StoreKeysValues(model, index);
  const int64_t kv_heads = config_->num_kv_heads;
  ParallelFor(static_cast<int64_t>(items_.size()) * kv_heads,
              [&](int64_t unit) { Attend(index, unit, workers_[static_cast<size_t>(ThreadIndex())]); });
  if (bf16_) {
    ParallelFor(num_rows,
                [&](int64_t r) { kernels_.to_bf16(attended_.row(r), attended_.stride, attended_.rounded_row(r)); });
  }
  Multiply(layer.out, attended_, x_.values.data(), x_.stride, /*accumulate=*/true);

  NormRows(model, layer.attention_norm);
  Multiply(layer.gate_up, normed_, gate_up_.values.data(), gate_up_.stride, false);
  const int64_t up = layer.gate_up.weight.block_begin(kUpBlock);
  ParallelFor(num_rows, [&](int64_t r) {
    kernels_.swiglu(gate_up_.row(r), gate_up_.row(r) + up, up);
    if (bf16_) kernels_.to_bf16(gate_up_.row(r), up, gate_up_.rounded_row(r));
  });
  Multiply(layer.down, gate_up_, x_.values.data(), x_.stride, /*accumulate=*/true);
}

void BatchForward::NormRows(const PackedModel& model, const std::vector<float>& weight) {
  const int64_t hidden = config_->hidden_size;
  ParallelFor(static_cast<int64_t>(rows_.size()), [&](int64_t r) {
    kernels_.rms_norm(x_.row(r), weight.data(), model.config().rms_norm_eps, hidden, normed_.row(r));
    std::fill(normed_.row(r) + hidden, normed_.row(r) + normed_.stride, 0.0f);
    if (bf16_) kernels_.to_bf16(normed_.row(r), normed_.stride, normed_.rounded_row(r));
  });
}

void BatchForward::Gemm(const PackedMatrix& matrix, const float* x, const uint16_t* rounded, int64_t x_stride,
                        float* y, int64_t y_stride, bool accumulate) {
  const bool bf16 = matrix.format() == NumberFormat::kBFloat16;
  const GemmArgs args{x,        rounded,       x_stride, static_cast<int64_t>(rows_.size()), matrix.in(), matrix.data(),
                      y,        y_stride,      accumulate};
  const auto run = bf16 ? kernels_.gemm_bf16 : kernels_.gemm_f32;
  // Pieces of an even number of panels: the kernels take two at a time.
  const int64_t pairs = (matrix.panels() + 1) / 2;
  const int64_t pieces = std::min<int64_t>(threads_, pairs);
  ParallelFor(pieces, [&](int64_t p) {
    run(args, std::min(matrix.panels(), pairs * p / pieces * 2), std::min(matrix.panels(), pairs * (p + 1) / pieces * 2));
  });
}

void BatchForward::Multiply(const PackedLinear& linear, Activations& x, float* y, int64_t y_stride, bool accumulate) {
  Gemm(linear.weight, x.values.data(), x.rounded.data(), x.stride, y, y_stride, accumulate);
  if (linear.adapter != nullptr) AddAdapter(linear, x, y, y_stride);
}

void BatchForward::AddAdapter(const PackedLinear& linear, const Activations& x, float* y, int64_t y_stride) {
  const PackedAdapter& adapter = *linear.adapter;
  const int64_t width = adapter.a.out();
  bottleneck_.resize(rows_.size() * static_cast<size_t>(width));
  Gemm(adapter.a, x.values.data(), nullptr, x.stride, bottleneck_.data(), width, false);
  for (size_t b = 0; b < adapter.blocks.size(); ++b) {
    const PackedAdapter::Block& block = adapter.blocks[b];
    float* mid = bottleneck_.data() + adapter.a.block_begin(static_cast<int>(b));
    for (size_t r = 0; r < rows_.size(); ++r) {
      float* row = mid + static_cast<int64_t>(r) * width;
      for (int64_t i = block.width / 2; i < block.width; ++i) row[i] *= rows_[r].w;
    }
    Gemm(block.b, mid, nullptr, width, y + linear.weight.block_begin(block.linear_block), y_stride, true);
  }
}

void BatchForward::RotateAndStore(const PackedModel& model, int layer) {
  const PackedLayer& weights = model.layers()[static_cast<size_t>(layer)];
  const Qwen3Config& c = *config_;
  const auto softmax_scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(c.head_dim)));
  ParallelFor(static_cast<int64_t>(rows_.size()), [&](int64_t r) {
    const ForwardRow& row = rows_[static_cast<size_t>(r)];
    const float* cos = model.cos(row.position());
    const float* sin = model.sin(row.position());
    const auto turn = [&](float* head, const std::vector<float>& norm, float scale) {
      kernels_.rms_norm(head, norm.data(), c.rms_norm_eps, c.head_dim, head);
      Rotate(head, cos, sin, c.head_dim, scale);
    };
    float* q = qkv_.row(r);
    for (int64_t h = 0; h < c.num_heads; ++h) turn(q + h * c.head_dim, weights.query_norm, softmax_scale);
    for (int64_t h = 0; h < c.num_kv_heads; ++h) {
      float* key = q + key_begin_ + h * c.head_dim;
      turn(key, weights.key_norm, 1.0f);
      pool_.Write(layer, h, *row.own, row.own_index, key, q + value_begin_ + h * c.head_dim);
    }
  });
}

AttentionWork BatchForward::Work(int layer, int64_t unit, std::vector<AttentionRow>& rows) {
  const Qwen3Config& c = *config_;
  const int64_t kv_head = unit % c.num_kv_heads;
  const AttentionItem& item = items_[static_cast<size_t>(unit / c.num_kv_heads)];
  const int64_t head_begin = kv_head * (c.num_heads / c.num_kv_heads) * c.head_dim;
  rows.clear();
  for (size_t i = item.begin; i < item.end; ++i) {
    const ForwardRow& row = rows_[i];
    const auto index = static_cast<int64_t>(i);
    AttentionRow& out = rows.emplace_back();
    out.queries = qkv_.row(index) + head_begin;
    out.output = attended_.row(index) + head_begin;
    out.shared_length = item.is_own ? row.own_index + 1 : item.shared->length;
    if (!item.is_own) out.own = row.own;
    if (!item.is_own) out.own_length = row.own_index + 1;
  }
  return {layer, kv_head, item.shared, rows};
}

void BatchForward::Attend(int layer, int64_t unit, Worker& worker) {
  const int64_t units = static_cast<int64_t>(items_.size()) * config_->num_kv_heads;
  const AttentionWork work = Work(layer, unit, worker.rows);
  AttentionWork next;
  if (unit + 1 < units) next = Work(layer, unit + 1, worker.next_rows);
  worker.attention.Run(work, config_->num_heads / config_->num_kv_heads, unit + 1 < units ? &next : nullptr);
}

}  // namespace evilmoe
