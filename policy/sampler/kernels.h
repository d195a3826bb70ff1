#pragma once

#include <cstdint>

namespace evilmoe {

// The sampler's inner loops, compiled once for each instruction set and picked at run time. No torch, no allocation,
// no threads: a caller splits the work by ranges.
//
// Every output element is one chain of operations whose order depends on the shapes alone, never on how many rows stand
// beside it or on how the work is split: that is what makes a sample's bits independent of its batch. Instruction sets
// differ in the last bits.

// Output columns of a weight matrix and positions of a KV tile that one vector register holds (as 16 floats).
inline constexpr int64_t kPanel = 16;
inline constexpr int64_t PanelPadded(int64_t n) { return (n + kPanel - 1) / kPanel * kPanel; }

enum class NumberFormat { kFloat32, kBFloat16 };
inline constexpr int64_t NumberBytes(NumberFormat f) { return f == NumberFormat::kFloat32 ? 4 : 2; }

// y (rows, 16 · panels) = x (rows, in) · Wᵀ, or += with `accumulate`. W lies in panels of 16 output columns: in fp32
// panel p is [in][16]; in bf16 it is [in_padded / 2][16][2], in_padded = in rounded up to even. Sums are fp32.
struct GemmArgs {
  const float* x = nullptr;          // fp32 weights read this
  const uint16_t* x_bf16 = nullptr;  // bf16 weights read this; the row's tail up to in_padded is 0
  int64_t x_stride = 0;              // elements between rows; even and >= in_padded for bf16
  int64_t rows = 0;
  int64_t in = 0;
  const void* weights = nullptr;
  float* y = nullptr;
  int64_t y_stride = 0;
  bool accumulate = false;
};

// Keys and values of 16 positions of one kv head lie together: keys transposed [head_dim][16], then values
// [16][PanelPadded(head_dim)].
struct AttentionArgs {
  const void* const* tiles = nullptr;  // 16 positions each: their keys (scores) or values (values)
  int64_t num_tiles = 0;
  int64_t head_dim = 0;                    // even
  const float* const* queries = nullptr;   // head_dim floats each, already scaled
  float* const* scores = nullptr;          // 16 · num_tiles floats each
  float* const* outputs = nullptr;         // PanelPadded(head_dim) floats each, added to
  int64_t num_queries = 0;
  // What to fetch from memory while tile i is read: ahead[i], as large as a tile. A hint.
  const void* const* ahead = nullptr;
  int64_t num_ahead = 0;
};

struct Kernels {
  const char* name;
  void (*gemm_f32)(const GemmArgs& args, int64_t panel_begin, int64_t panel_end);
  void (*gemm_bf16)(const GemmArgs& args, int64_t panel_begin, int64_t panel_end);
  // scores[q][t] = queries[q] · key t.
  void (*scores_f32)(const AttentionArgs& args);
  void (*scores_bf16)(const AttentionArgs& args);
  // outputs[q] += Σ_t scores[q][t] · value t.
  void (*values_f32)(const AttentionArgs& args);
  void (*values_bf16)(const AttentionArgs& args);
  // scores → exp(scores − max) in place, n a multiple of 16 (−inf gives 0); returns the sum.
  float (*softmax)(float* scores, int64_t n);
  // out[i] = x[i] / rms(x) · weight[i], rms = sqrt(mean(x²) + eps). `out` may be `x`.
  void (*rms_norm)(const float* x, const float* weight, double eps, int64_t n, float* out);
  // gate[i] = silu(gate[i]) · up[i]
  void (*swiglu)(float* gate, const float* up, int64_t n);
  void (*to_bf16)(const float* x, int64_t n, uint16_t* out);  // round to nearest, ties to even
  float (*maximum)(const float* x, int64_t n);                // n >= 1
  // weights[i] = exp((logits[i] − top) · inverse_temperature), block_sums[b] = sum over elements 256·b … 256·b + 255.
  // `weights` may be null.
  void (*exponentials)(const float* logits, int64_t n, float top, float inverse_temperature, float* weights,
                       double* block_sums);
};
inline constexpr int64_t kSumBlock = 256;

// The fastest that this CPU runs; the same one for the life of the process.
const Kernels& BestKernels();
// All that this CPU runs, slowest first: tests compare them.
struct KernelList {
  const Kernels* all[3];
  int count;
};
KernelList UsableKernels();

// The tables of each instruction set, linked in where the compiler knows it. Run only what the CPU has.
const Kernels& BaselineKernels();
#if defined(__x86_64__)
const Kernels& Avx2Kernels();
const Kernels& Avx512Bf16Kernels();
#endif

}  // namespace evilmoe
