#include "policy/token_log_probs.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "policy/fused/low_rank_linear.h"
#include "policy/fused/ops.h"
#include "policy/token_chunks.h"

namespace evilmoe {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kHeadBlockElements = int64_t{4} << 20;  // of the head, converted to fp32 at a time

bool Rounded(const at::Tensor& t) { return t.scalar_type() == at::kBFloat16 || t.scalar_type() == at::kHalf; }

// hidden · headᵀ, (rows, V), summed and kept in fp32 whatever the operands are (double in double).
at::Tensor Logits(const at::Tensor& hidden, const at::Tensor& head) {
  if (FusedLinearFits(hidden, head)) {
    const at::Tensor x = hidden.contiguous(), logits = at::empty({x.size(0), head.size(0)}, x.options());
    TransposedProduct(x.const_data_ptr<float>(), x.size(0), x.size(1), head.const_data_ptr<float>(), head.size(0),
                      logits.mutable_data_ptr<float>(), head.size(0));
    return logits;
  }
  if (!Rounded(hidden)) return at::mm(hidden, head.t());
  if (hidden.is_cuda()) return at::mm(hidden, head.t(), at::kFloat);
  // No such product on a CPU: convert the head block by block, since a second head would be the largest tensor of all.
  const at::Tensor precise = hidden.to(at::kFloat);
  at::Tensor logits = at::empty({hidden.size(0), head.size(0)}, precise.options());
  const int64_t block = std::max<int64_t>(1, kHeadBlockElements / std::max<int64_t>(1, head.size(1)));
  for (int64_t begin = 0; begin < head.size(0); begin += block) {
    const int64_t count = std::min(block, head.size(0) - begin);
    at::Tensor columns = logits.narrow(1, begin, count);
    at::mm_out(columns, precise, head.narrow(0, begin, count).to(at::kFloat).t());
  }
  return logits;
}

class ScoreFunction : public torch::autograd::Function<ScoreFunction> {
 public:
  static variable_list forward(AutogradContext* ctx, const at::Tensor& hidden, const at::Tensor& head,
                               const at::Tensor& targets, const TokenScoreOptions& options) {
    const int64_t n = hidden.size(0);
    const auto precise = hidden.options().dtype(Rounded(hidden) ? at::kFloat : hidden.scalar_type());
    const at::Tensor logp = at::empty({n}, precise);
    const at::Tensor log_sum = at::empty({n}, precise);  // log Σ exp of the tempered logits, for the backward pass
    const at::Tensor entropy = at::empty({options.entropy ? n : 0}, precise);
    for (int64_t begin = 0; begin < n; begin += options.chunk_rows) {
      const int64_t rows = std::min(options.chunk_rows, n - begin);
      at::Tensor logits = Logits(hidden.narrow(0, begin, rows), head);
      if (options.temperature != 1.0) logits.div_(options.temperature);
      const at::Tensor most = logits.amax(1, /*keepdim=*/true);
      logits.sub_(most);
      const at::Tensor chosen = logits.gather(1, targets.narrow(0, begin, rows).unsqueeze(1));
      at::Tensor exps = logits.exp();
      const at::Tensor sum = exps.sum(1, /*keepdim=*/true);
      const at::Tensor log = sum.log();
      logp.narrow(0, begin, rows).copy_((chosen - log).squeeze(1));
      log_sum.narrow(0, begin, rows).copy_((log + most).squeeze(1));
      if (!options.entropy) continue;
      // −Σ p log p = log Σ e^l − Σ e^l l / Σ e^l
      entropy.narrow(0, begin, rows).copy_((log - exps.mul_(logits).sum(1, true) / sum).squeeze(1));
    }
    ctx->save_for_backward({hidden, head, targets, log_sum});
    ctx->saved_data["temperature"] = options.temperature;
    ctx->saved_data["chunk_rows"] = options.chunk_rows;
    ctx->mark_non_differentiable({entropy});
    return {logp, entropy};
  }

  // ∂logp/∂logits = (onehot − p) / temperature
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &hidden = saved[0], &head = saved[1], &targets = saved[2], &log_sum = saved[3];
    const double temperature = ctx->saved_data["temperature"].toDouble();
    const int64_t chunk_rows = ctx->saved_data["chunk_rows"].toInt();
    const at::Tensor g = grads[0] / temperature;
    at::Tensor d_hidden, d_head;
    if (ctx->needs_input_grad(0)) d_hidden = at::empty_like(hidden, at::MemoryFormat::Contiguous);
    if (ctx->needs_input_grad(1)) d_head = at::zeros(head.sizes(), head.options().dtype(log_sum.scalar_type()));
    const int64_t n = hidden.size(0);
    for (int64_t begin = 0; begin < n; begin += chunk_rows) {
      const int64_t rows = std::min(chunk_rows, n - begin);
      const at::Tensor chunk = hidden.narrow(0, begin, rows);
      const at::Tensor weight = g.narrow(0, begin, rows).unsqueeze(1);
      at::Tensor d_logits = Logits(chunk, head);
      if (temperature != 1.0) d_logits.div_(temperature);
      d_logits.sub_(log_sum.narrow(0, begin, rows).unsqueeze(1)).exp_().mul_(-weight);
      d_logits.scatter_add_(1, targets.narrow(0, begin, rows).unsqueeze(1), weight);
      const at::Tensor d = d_logits.to(hidden.scalar_type());
      if (d_hidden.defined()) {
        at::Tensor rows_of_d_hidden = d_hidden.narrow(0, begin, rows);
        if (FusedLinearFits(chunk, head)) {
          PlainLinearBackward(
              {.rows = rows, .in = head.size(1), .out = head.size(0), .w_OI = head.const_data_ptr<float>()},
              d.const_data_ptr<float>(), rows_of_d_hidden.mutable_data_ptr<float>());
        } else {
          at::mm_out(rows_of_d_hidden, d, head);
        }
      }
      if (!d_head.defined()) continue;
      if (Rounded(head)) {
        d_head.add_(at::mm(d.t(), chunk));
      } else {
        d_head.addmm_(d.t(), chunk);
      }
    }
    if (d_head.defined()) d_head = d_head.to(head.scalar_type());
    return {d_hidden, d_head, at::Tensor(), at::Tensor()};
  }
};

}  // namespace

int64_t DefaultChunkRows(int64_t vocabulary, c10::Device device) { return TokenChunkRows(vocabulary, device.is_cpu()); }

TokenScores ScoreTokens(const at::Tensor& hidden_NH, const at::Tensor& head_VH, const at::Tensor& targets_N,
                        const TokenScoreOptions& options) {
  TORCH_CHECK(options.temperature > 0 && options.chunk_rows >= 0, "temperature: ", options.temperature,
              ", chunk_rows: ", options.chunk_rows, ", expected above 0 and at least 0");
  TokenScoreOptions effective = options;
  if (effective.chunk_rows == 0) effective.chunk_rows = DefaultChunkRows(head_VH.size(0), head_VH.device());
  const variable_list out = ScoreFunction::apply(hidden_NH, head_VH, targets_N, effective);
  return {out[0], options.entropy ? out[1] : at::Tensor()};
}

}  // namespace evilmoe
