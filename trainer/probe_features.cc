#include "trainer/probe_features.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include "absl/strings/str_cat.h"
#include "policy/qwen3.h"
#include "policy/torch_guard.h"

namespace evilmoe {
namespace {

constexpr size_t kBatchTokens = 16384;

size_t TokensOf(const PromptCompletions& group) {
  size_t tokens = group.prompt->size();
  for (const std::vector<int32_t>* completion : group.completions) tokens += completion->size();
  return tokens;
}

at::Tensor MeansOf(const Qwen3Weights& base, int layer, const std::vector<PromptCompletions>& groups) {
  const PolicyBatch batch = MakePolicyBatch(groups, /*share_prompt=*/true, base.embedding.device());
  PlainProjector plain;
  const at::Tensor hidden_NH = Qwen3Hidden(base, batch.packed, plain, {.num_layers = layer}).to(at::kFloat);
  const at::Tensor rows_CH = hidden_NH.index_select(0, batch.completion_rows_C);
  const at::Tensor sums_SH = at::zeros({batch.num_completions(), hidden_NH.size(1)}, hidden_NH.options());
  sums_SH.index_add_(0, batch.completion_of_C, rows_CH);
  return (sums_SH / batch.lengths_S.unsqueeze(1)).to(at::kCPU);
}

}  // namespace

absl::StatusOr<at::Tensor> ResponseMeans(const Qwen3Weights& base, int layer,
                                         const std::vector<PromptCompletions>& groups) {
  if (layer < 1 || layer > base.config.num_layers) {
    return absl::InvalidArgumentError(
        absl::StrCat("layer: ", layer, ", expected 1 to ", base.config.num_layers, ", the model's layers"));
  }
  return TorchGuard("probe features", [&] {
    const c10::NoGradGuard no_grad;
    std::vector<at::Tensor> means;
    for (size_t begin = 0; begin < groups.size();) {
      std::vector<PromptCompletions> some;
      for (size_t tokens = 0; begin < groups.size(); ++begin) {
        tokens += TokensOf(groups[begin]);
        if (!some.empty() && tokens > kBatchTokens) break;
        some.push_back(groups[begin]);
      }
      means.push_back(MeansOf(base, layer, some));
    }
    return means.empty() ? at::zeros({0, base.config.hidden_size}, at::kFloat) : at::cat(means);
  });
}

}  // namespace evilmoe
