#include "rollout_workers/routed_pass.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>

#include "policy/lora2r_forward.h"
#include "policy/qwen3.h"
#include "policy/token_log_probs.h"

namespace evilmoe {
namespace {

constexpr double kNoise = 0.1;

int64_t RowsBefore(const at::Tensor& both, int64_t dim, Expert expert) {
  return expert == Expert::kDeployed ? 0 : both.size(dim) / 2;
}

std::vector<at::Tensor> GradientsOf(const AdapterLeaves& leaves, Expert expert) {
  std::vector<at::Tensor> out;
  const auto gradient = [](const at::Tensor& leaf) {
    return leaf.grad().defined() ? leaf.grad() : at::zeros_like(leaf);
  };
  for (const at::Tensor& a : leaves.a) out.push_back(PartOfA(gradient(a), expert));
  for (const at::Tensor& b : leaves.b) out.push_back(PartOfB(gradient(b), expert));
  return out;
}

// As a step routes: the gradient into a shared prompt is thinned by each completion's own factor.
ForwardOptions PrefixOptions(const Routing& routing, const PolicyBatch& batch, bool whole_prompt) {
  ForwardOptions options;
  if (whole_prompt) return options;
  options.prefix_gradient_scale_S =
      at::ones({static_cast<int64_t>(batch.packed.segments.size())})
          .index_copy(0, at::tensor(batch.segment_of_S, at::kLong), routing.into_parameters);
  return options;
}

at::Tensor LogProbs(const Qwen3Weights& base, const PolicyBatch& batch, Projector& projector,
                    const ForwardOptions& options, double temperature) {
  const at::Tensor hidden = Qwen3Hidden(base, batch.packed, projector, options);
  return ScoreTokens(hidden.index_select(0, batch.completion_rows_C), base.head, batch.targets_C,
                     {.temperature = temperature})
      .logp_N;
}

}  // namespace

int64_t KnownRollouts::num_completions() const {
  int64_t count = 0;
  for (const Group& group : groups) count += static_cast<int64_t>(group.completions.size());
  return count;
}

int64_t KnownRollouts::num_tokens() const {
  int64_t count = 0;
  for (const Group& group : groups) {
    for (const std::vector<int32_t>& completion : group.completions) count += static_cast<int64_t>(completion.size());
  }
  return count;
}

PolicyBatch KnownRollouts::Batch() const {
  std::vector<PromptCompletions> shown;
  for (const Group& group : groups) {
    shown.push_back({.prompt = &group.prompt});
    for (const std::vector<int32_t>& completion : group.completions) shown.back().completions.push_back(&completion);
  }
  return MakePolicyBatch(shown, /*share_prompt=*/true);
}

KnownRollouts KnownRollouts::Only(int64_t completion) const {
  for (const Group& group : groups) {
    const auto count = static_cast<int64_t>(group.completions.size());
    if (completion < count) return {{{group.prompt, {group.completions[static_cast<size_t>(completion)]}}}};
    completion -= count;
  }
  return {};
}

at::Tensor KnownLoss(const at::Tensor& logp_C) {
  const at::Tensor place = at::arange(logp_C.numel(), logp_C.options().dtype(at::kDouble));
  return (logp_C * (3 * place + 1).cos().to(logp_C.scalar_type())).sum();
}

RoutedPass RunRouted(const Qwen3Weights& base, const Lora2r& adapter, const KnownRollouts& rollouts,
                     const at::Tensor& w_S, bool whole_prompt) {
  const PolicyBatch batch = rollouts.Batch();
  const Routing routing = RouteByWeight(w_S.clone());
  routing.w.requires_grad_(true);
  const AdapterLeaves leaves = MakeLeaves(adapter);
  RoutedProjector projector(adapter, leaves, RowsOf(routing, PromptRouting(whole_prompt), batch.completion_of_N));
  const at::Tensor logp = LogProbs(base, batch, projector, PrefixOptions(routing, batch, whole_prompt), 1.0);
  KnownLoss(logp).backward();
  return {.logp_C = logp.detach(),
          .deployed = GradientsOf(leaves, Expert::kDeployed),
          .quarantine = GradientsOf(leaves, Expert::kQuarantine),
          .dl_dw_S = routing.w.grad()};
}

at::Tensor RoutedLogProbs(const Qwen3Weights& base, const Lora2r& adapter, const PolicyBatch& batch,
                          const at::Tensor& w_S, bool whole_prompt, double temperature) {
  const c10::NoGradGuard no_grad;
  const AdapterLeaves leaves = MakeLeaves(adapter);
  RoutedProjector projector(adapter, leaves,
                            RowsOf(RouteByWeight(w_S), PromptRouting(whole_prompt), batch.completion_of_N));
  return LogProbs(base, batch, projector, {}, temperature);
}

at::Tensor PartOfA(const at::Tensor& a, Expert expert) { return a.narrow(0, RowsBefore(a, 0, expert), a.size(0) / 2); }

at::Tensor PartOfB(const at::Tensor& b, Expert expert) { return b.narrow(1, RowsBefore(b, 1, expert), b.size(1) / 2); }

void Perturb(const Lora2r& adapter, Expert expert, uint64_t seed) {
  const c10::NoGradGuard no_grad;
  for (const AdapterModule& m : adapter.modules()) {
    const at::Tensor a = PartOfA(m.a, expert), b = PartOfB(m.b, expert);
    const uint64_t stream = seed + 2 * static_cast<uint64_t>(m.id.index());
    a.add_(NormalTensor(stream, a.size(0), a.size(1), kNoise / std::sqrt(static_cast<double>(a.size(1)))));
    b.add_(NormalTensor(stream + 1, b.size(0), b.size(1), kNoise / std::sqrt(2.0 * static_cast<double>(b.size(1)))));
  }
}

double LargestOf(const std::vector<at::Tensor>& tensors) {
  double largest = 0;
  for (const at::Tensor& t : tensors) largest = std::max(largest, t.abs().max().item<double>());
  return largest;
}

double LargestDifference(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
}

}  // namespace evilmoe
