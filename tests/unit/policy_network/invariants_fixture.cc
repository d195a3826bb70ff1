#include "tests/unit/policy_network/invariants_fixture.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "policy/lora2r_forward.h"
#include "policy/qwen3.h"
#include "policy/token_log_probs.h"
#include "tests/unit/policy_network/network_fixtures.h"
#include "tests/unit/policy_network/tiny_network.h"

namespace evilmoe {
namespace {

at::Tensor GradientOf(const at::Tensor& leaf) { return leaf.grad().defined() ? leaf.grad() : at::zeros_like(leaf); }

at::Tensor Flat(const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> flat;
  for (const at::Tensor& t : tensors) flat.push_back(t.to(at::kDouble).flatten());
  return at::cat(flat);
}

at::Tensor Weights(const std::vector<Rollout>& rollouts) {
  std::vector<float> w;
  for (const Rollout& r : rollouts) w.push_back(static_cast<float>(r.w));
  return at::tensor(w, at::kFloat);
}

}  // namespace

const std::vector<Rollout>& Rollouts() {
  static const auto* const rollouts =
      new std::vector<Rollout>{{{4, 8, 15, 16}, {3, 9, 27}, 0.9, RolloutMask::kRout},
                               {{4, 8, 15, 16}, {1}, 0.1, RolloutMask::kKeep},
                               {{23, 42}, {2, 4, 8, 16, 32}, 0.5, RolloutMask::kAbsorb},
                               {{4, 8, 15, 16}, {7, 7}, 0.0, RolloutMask::kRout},
                               {{23, 42}, {60, 5, 11}, 1.0, RolloutMask::kKeep}};
  return *rollouts;
}

std::vector<Rollout> RolloutsAt(double w) {
  std::vector<Rollout> rollouts = Rollouts();
  for (Rollout& r : rollouts) r.w = w;
  return rollouts;
}

std::vector<int32_t> InputIds(const Rollout& rollout) {
  std::vector<int32_t> ids = rollout.prompt;
  ids.insert(ids.end(), rollout.completion.begin(), rollout.completion.end() - 1);
  return ids;
}

RolloutBatch PackRollouts(const std::vector<Rollout>& rollouts) {
  const auto count = static_cast<int64_t>(rollouts.size());
  std::map<std::vector<int32_t>, int> prompts;  // to their segments
  std::vector<Segment> segments;
  std::vector<int64_t> owners;
  for (const Rollout& r : rollouts) {
    if (!prompts.emplace(r.prompt, static_cast<int>(segments.size())).second) continue;
    segments.push_back({.ids = {r.prompt.begin(), r.prompt.end() - 1}});
    owners.insert(owners.end(), r.prompt.size() - 1, count);
  }
  RolloutBatch batch{.num_prompts = static_cast<int64_t>(segments.size())};
  for (int64_t s = 0; s < count; ++s) {
    const Rollout& rollout = rollouts[static_cast<size_t>(s)];
    const std::vector<int32_t> inputs = InputIds(rollout);
    std::vector<int32_t> ids(inputs.end() - static_cast<ptrdiff_t>(rollout.completion.size()), inputs.end());
    owners.insert(owners.end(), ids.size(), s);
    batch.segment_of_S.push_back(static_cast<int>(segments.size()));
    segments.push_back({.ids = std::move(ids), .prefix = prompts.at(rollout.prompt)});
  }
  batch.packed = Pack(segments);
  batch.owner_N = at::tensor(owners, at::kLong);
  return batch;
}

at::Tensor LossOf(size_t rollout, const at::Tensor& logp) {
  std::vector<double> coefficients;
  for (int64_t t = 0; t < logp.numel(); ++t)
    coefficients.push_back(std::cos(static_cast<double>(7 * static_cast<int64_t>(rollout) + 3 * t + 1)));
  return (logp * at::tensor(coefficients, at::kDouble)).sum();
}

double Relative(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  const double norm = Flat(b).norm().item<double>();
  return (Flat(a) - Flat(b)).norm().item<double>() / (norm > 0 ? norm : 1);
}

double LargestAbsolute(const std::vector<at::Tensor>& tensors) {
  return Flat(tensors).abs().max().item<double>();
}

InvariantsTest::InvariantsTest()
    : base_(TinyNetwork()), adapter_(*Lora2r::Init(base_.config, TinyAdapterOptions(GetParam()))) {}

void InvariantsTest::Perturb(int64_t first_column) {
  for (const AdapterModule& m : adapter_.modules()) {
    const auto seed = static_cast<uint64_t>(1000 * first_column + m.id.index());
    const at::Tensor a = m.a.narrow(0, first_column, kRank), b = m.b.narrow(1, first_column, kRank);
    a.add_(NormalTensor(seed + 1, a.size(0), a.size(1), 0.05));
    b.add_(NormalTensor(seed + 500, b.size(0), b.size(1), 0.05));
  }
}

void InvariantsTest::Train() {
  Perturb(0);
  Perturb(kRank);
}

Pass InvariantsTest::Ours(const std::vector<Rollout>& rollouts, const Route& route, bool whole_prompt) const {
  const RolloutBatch batch = PackRollouts(rollouts);
  const Routing routing = route(Weights(rollouts));
  routing.w.requires_grad_(true);
  const AdapterLeaves leaves = MakeLeaves(adapter_);
  RoutedProjector routed(adapter_, leaves, RowsOf(routing, PromptRouting(whole_prompt), batch.owner_N));
  ForwardOptions options;
  if (!whole_prompt)
    options.prefix_gradient_scale_S = at::cat({at::ones({batch.num_prompts}), routing.into_parameters});
  const at::Tensor hidden = Qwen3Hidden(base_, batch.packed, routed, options);
  Pass pass;
  at::Tensor loss = at::zeros({}, at::kDouble);
  for (size_t s = 0; s < rollouts.size(); ++s) {
    const std::vector<int32_t>& ids = rollouts[s].completion;
    const int segment = batch.segment_of_S[s];
    const at::Tensor rows = hidden.narrow(0, batch.packed.segment_begin(segment), batch.packed.segment_length(segment));
    const at::Tensor targets = at::tensor(std::vector<int64_t>(ids.begin(), ids.end()), at::kLong);
    pass.logp.push_back(ScoreTokens(rows, base_.head, targets).logp_N);
    loss = loss + LossOf(s, pass.logp[s]);
  }
  loss.backward();
  for (size_t m = 0; m < leaves.a.size(); ++m) {
    const at::Tensor &a = leaves.a[m].grad(), &b = leaves.b[m].grad();
    pass.deployed.insert(pass.deployed.end(), {a.narrow(0, 0, kRank), b.narrow(1, 0, kRank)});
    pass.quarantine.insert(pass.quarantine.end(), {a.narrow(0, kRank, kRank), b.narrow(1, kRank, kRank)});
  }
  const at::Tensor dl_dw = routing.w.grad().to(at::kDouble);
  pass.dl_dw.assign(dl_dw.const_data_ptr<double>(), dl_dw.const_data_ptr<double>() + dl_dw.numel());
  return pass;
}

Pass InvariantsTest::Ours(const std::vector<Rollout>& rollouts) const {
  return Ours(rollouts, [](const at::Tensor& w_S) { return RouteByWeight(w_S); });
}

Pass InvariantsTest::Reference(const std::vector<Rollout>& rollouts, const ReferenceRouteOf& route,
                               bool whole_prompt) const {
  DoubleReference reference(base_, adapter_);
  Pass pass;
  for (size_t s = 0; s < rollouts.size(); ++s) {
    const Rollout& rollout = rollouts[s];
    const at::Tensor w = at::scalar_tensor(rollout.w, at::kDouble).requires_grad_(true);
    const std::vector<int32_t> ids = InputIds(rollout);
    const auto rows = static_cast<int64_t>(rollout.completion.size()), all = static_cast<int64_t>(ids.size());
    const at::Tensor hidden = reference.Hidden(ids, whole_prompt ? all : rows, route(rollout, w));
    pass.logp.push_back(reference.LogProbs(hidden.narrow(0, all - rows, rows), rollout.completion));
    LossOf(s, pass.logp[s]).backward();
    pass.dl_dw.push_back(GradientOf(w).item<double>());
  }
  for (const DoubleReference::Module& m : reference.modules()) {
    pass.deployed.insert(pass.deployed.end(), {GradientOf(m.deployed.a), GradientOf(m.deployed.b)});
    pass.quarantine.insert(pass.quarantine.end(), {GradientOf(m.quarantine.a), GradientOf(m.quarantine.b)});
  }
  return pass;
}

Pass InvariantsTest::Reference(const std::vector<Rollout>& rollouts) const {
  return Reference(rollouts, [](const Rollout& rollout, at::Tensor w) {
    return ReferenceRoute{.w = std::move(w), .prompt_gradient = 1 - rollout.w};
  });
}

at::Tensor InvariantsTest::PlainLogits(const Qwen3Weights& weights) const {
  PlainProjector plain;
  return at::linear(Qwen3Hidden(weights, Pack({Segment{.ids = InputIds(Rollouts()[0])}}), plain), weights.head);
}

at::Tensor InvariantsTest::RoutedLogits(double w) const {
  const c10::NoGradGuard no_grad;
  const PackedBatch batch = Pack({Segment{.ids = InputIds(Rollouts()[0])}});
  const AdapterLeaves leaves = MakeLeaves(adapter_);
  RoutedProjector routed(adapter_, leaves, RouteByWeight(at::full({batch.num_tokens(), 1}, w)));
  return at::linear(Qwen3Hidden(base_, batch, routed), base_.head);
}

void InvariantsTest::ExpectSameLogProbs(const Pass& ours, const Pass& want) {
  ASSERT_EQ(ours.logp.size(), want.logp.size());
  for (size_t s = 0; s < ours.logp.size(); ++s)
    EXPECT_LT(MaxDifference(ours.logp[s], want.logp[s]), 1e-5) << "rollout " << s;
}

void InvariantsTest::ExpectSameGradients(const Pass& ours, const Pass& want) {
  EXPECT_LT(Relative(ours.deployed, want.deployed), 1e-5);
  EXPECT_LT(Relative(ours.quarantine, want.quarantine), 1e-5);
}

void InvariantsTest::ExpectSame(const Pass& ours, const Pass& want) {
  ExpectSameLogProbs(ours, want);
  ExpectSameGradients(ours, want);
  for (size_t s = 0; s < ours.dl_dw.size(); ++s)
    EXPECT_NEAR(ours.dl_dw[s], want.dl_dw[s], 1e-5 * (1 + std::abs(want.dl_dw[s]))) << "rollout " << s;
}

}  // namespace evilmoe
