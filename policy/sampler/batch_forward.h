#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "policy/sampler/kernels.h"
#include "policy/sampler/kv_pool.h"
#include "policy/sampler/packed_model.h"
#include "policy/sampler/row_attention.h"

namespace evilmoe {

// One token on its way through the network.
struct ForwardRow {
  int32_t id = 0;
  float w = 0;                       // of the quarantine, where the model carries an adapter
  KvStream* own = nullptr;           // its keys and values go there; it attends to all up to itself
  int64_t own_index = 0;             // its place there, within the stream's blocks
  const KvStream* prefix = nullptr;  // attended whole, before `own`; null: none
  int64_t position() const { return own_index + (prefix == nullptr ? 0 : prefix->length); }
};

// The network over rows of many sequences at once: prompt positions and decode steps alike. Activations are fp32
// whatever the weights are; with bf16 weights a GEMM's input is rounded to bf16. A row's bits depend on its own sequence
// alone. Keeps its buffers, so that a step allocates nothing once the largest batch was seen. Not thread-safe; splits
// its work over `threads` OpenMP threads.
class BatchForward {
 public:
  // `pool` must outlive this.
  BatchForward(const Kernels& kernels, const KvPool& pool, int threads)
      : kernels_(kernels), pool_(pool), threads_(threads), workers_(static_cast<size_t>(threads), Worker{{kernels, pool}, {}, {}}) {}

  // Rows of one stream stand together, in order; so do rows with one prefix. Fill writes the rows' keys and values into
  // the cache and nothing else: of the last layer it needs no more than these.
  void Fill(const PackedModel& model, std::span<const ForwardRow> rows);
  // Fills the cache and gives what Logits reads.
  void Run(const PackedModel& model, std::span<const ForwardRow> rows);
  // Logits of the rows of the last Run: row i at Logits() + i · logits_stride(), padded beyond the vocabulary.
  const float* Logits(const PackedModel& model);
  int64_t logits_stride() const { return logits_stride_; }

 private:
  // Rows that read one stream together: with a prefix, a few rows that share it; without, neighbours of one stream.
  struct AttentionItem {
    size_t begin = 0, end = 0;
    const KvStream* shared = nullptr;
    bool is_own = false;  // causal: row i sees its own_index + 1 first positions
  };
  struct Worker {  // of one thread
    RowAttention attention;
    std::vector<AttentionRow> rows, next_rows;
  };
  // A matrix (rows, stride) of activations and, for bf16 weights, its rounded copy.
  struct Activations {
    std::vector<float> values;
    std::vector<uint16_t> rounded;
    int64_t stride = 0;
    float* row(int64_t r) { return values.data() + r * stride; }
    uint16_t* rounded_row(int64_t r) { return rounded.data() + r * stride; }
  };

  void Prepare(const PackedModel& model);
  void FindItems();
  void Begin(const PackedModel& model, std::span<const ForwardRow> rows);
  void StoreKeysValues(const PackedModel& model, int index);
  void Layer(const PackedModel& model, int index);
  void NormRows(const PackedModel& model, const std::vector<float>& weight);
  void Multiply(const PackedLinear& linear, Activations& x, float* y, int64_t y_stride, bool accumulate);
  void Gemm(const PackedMatrix& matrix, const float* x, const uint16_t* rounded, int64_t x_stride, float* y,
            int64_t y_stride, bool accumulate);
  void AddAdapter(const PackedLinear& linear, const Activations& x, float* y, int64_t y_stride);
  void RotateAndStore(const PackedModel& model, int layer);
  AttentionWork Work(int layer, int64_t unit, std::vector<AttentionRow>& rows);
  void Attend(int layer, int64_t unit, Worker& worker);
  void Resize(Activations& a, int64_t columns, bool rounded) const;
  template <typename F>
  void ParallelFor(int64_t n, F f);

  const Kernels& kernels_;
  const KvPool& pool_;
  const int threads_;
  const Qwen3Config* config_ = nullptr;
  bool bf16_ = false;
  std::span<const ForwardRow> rows_;
  std::vector<AttentionItem> items_;
  Activations x_, normed_, qkv_, attended_, gate_up_;
  int64_t key_begin_ = 0, value_begin_ = 0;  // columns of qkv_
  std::vector<float> bottleneck_, logits_;
  int64_t logits_stride_ = 0;
  std::vector<Worker> workers_;
};

}  // namespace evilmoe
