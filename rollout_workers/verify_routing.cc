#include "rollout_workers/verify_routing.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "policy/lora2r_forward.h"
#include "policy/qwen3.h"
#include "policy/token_log_probs.h"
#include "policy/torch_guard.h"

namespace evilmoe {
namespace {

constexpr double kTolerance = 1e-5;  // of fp32 sums, relative to the largest number in them

Lora2r Trained(const Lora2r& adapter) {
  Lora2r trained = adapter.Clone();
  Perturb(trained, Expert::kDeployed, 1'000'000);
  Perturb(trained, Expert::kQuarantine, 2'000'000);
  return trained;
}

// What every check is given.
struct Subject {
  const Qwen3Weights& base;
  const Lora2r& at_init;
  const KnownRollouts& rollouts;
  const Lora2r trained = Trained(at_init);

  int64_t size() const { return rollouts.num_completions(); }
  std::string Where() const {
    return absl::StrCat(size(), " rollouts, ", rollouts.num_tokens(), " tokens, ", at_init.modules().size(),
                        " modules");
  }
  at::Tensor AllAt(double w) const { return at::full({size()}, w, at::kFloat); }
  // From 0 to 1, each rollout another one.
  at::Tensor Mixed() const { return at::linspace(0, 1, size(), at::kFloat); }
  at::Tensor LogProbs(const Lora2r& adapter, const at::Tensor& w_S) const {
    return RoutedLogProbs(base, adapter, rollouts.Batch(), w_S, /*whole_prompt=*/false, 1.0);
  }
};

double Relative(const at::Tensor& got, const at::Tensor& want) {
  return LargestDifference(got, want) / std::max(1e-30, want.abs().max().item<double>());
}

Finding IdentityAtInit(const Subject& s) {
  const c10::NoGradGuard no_grad;
  const PolicyBatch batch = s.rollouts.Batch();
  PlainProjector plain;
  const at::Tensor base = ScoreTokens(Qwen3Hidden(s.base, batch.packed, plain).index_select(0, batch.completion_rows_C),
                                      s.base.head, batch.targets_C)
                              .logp_N;
  double largest = 0;
  for (const double w : {0.0, 0.37, 1.0})
    largest = std::max(largest, Relative(s.LogProbs(s.at_init, s.AllAt(w)), base));
  return {
      .name = "identity at init",
      .checked = absl::StrCat("log-probabilities at w 0, 0.37 and 1 against the base model's, relative, ", s.Where()),
      .figure = largest,
      .limit = kTolerance};
}

Finding WZeroIsTheAblatedModel(const Subject& s) {
  Lora2r ablated = s.trained.Clone();
  ablated.ResetQuarantine();
  const at::Tensor want = s.LogProbs(ablated, s.AllAt(1));
  return {.name = "w = 0 is the ablated model",
          .checked = "log-probabilities at w 0 against those without Q, relative",
          .figure = Relative(s.LogProbs(s.trained, s.AllAt(0)), want),
          .limit = kTolerance,
          .problem = Relative(s.LogProbs(s.trained, s.AllAt(1)), want) > kTolerance ? "" : "at w 1 Q changes nothing"};
}

Finding GradientAt(const Subject& s, double w) {
  const RoutedPass pass = RunRouted(s.base, s.trained, s.rollouts, s.AllAt(w));
  const bool clean = w == 0;
  const std::vector<at::Tensor>& idle = clean ? pass.quarantine : pass.deployed;
  const std::vector<at::Tensor>& busy = clean ? pass.deployed : pass.quarantine;
  return {.name = clean ? "w = 0, gradient of Q" : "w = 1, gradient of D",
          .checked = absl::StrCat("largest element; that of ", clean ? "D" : "Q", " is not 0"),
          .figure = LargestOf(idle),
          .limit = 0,
          .problem = LargestOf(busy) > 0 ? "" : absl::StrCat(clean ? "D" : "Q", " has no gradient either")};
}

// One linear map, where the gradient from above is given: D gets 1 − w of the unrouted gradient, Q gets w.
Finding Proportion(const Subject& s) {
  const AdapterModule& module = s.trained.modules().front();
  const at::Tensor& weight =
      s.base.layers[static_cast<size_t>(module.id.layer)].linears[static_cast<size_t>(module.id.linear)];
  const at::Tensor x = NormalTensor(3, 5, weight.size(1), 1.0).to(weight.scalar_type());
  const at::Tensor upstream = NormalTensor(4, 5, weight.size(0), 1.0);
  // Gradients of the module's A and B.
  const auto gradients = [&](double w, double into_deployed) {
    const AdapterLeaves leaves = MakeLeaves(s.trained);
    const at::Tensor factors = at::full({5, 1}, into_deployed, at::kFloat);
    RoutedProjector routed(s.trained, leaves, {at::full({5, 1}, w, at::kFloat), factors, factors});
    (routed.Project(module.id, x, weight).to(at::kFloat) * upstream).sum().backward();
    return std::pair(leaves.a.front().grad(), leaves.b.front().grad());
  };
  const auto [whole_a, whole_b] = gradients(1, 1);
  double largest = 0;
  for (const double w : {0.25, 0.7}) {
    const auto [a, b] = gradients(w, 1 - w);
    largest = std::max({largest, Relative(PartOfA(a, Expert::kDeployed), (1 - w) * PartOfA(whole_a, Expert::kDeployed)),
                        Relative(PartOfB(b, Expert::kDeployed), (1 - w) * PartOfB(whole_b, Expert::kDeployed)),
                        Relative(PartOfA(a, Expert::kQuarantine), w * PartOfA(whole_a, Expert::kQuarantine)),
                        Relative(PartOfB(b, Expert::kQuarantine), w * PartOfB(whole_b, Expert::kQuarantine))});
  }
  return {.name = "0 < w < 1, proportions",
          .checked = absl::StrCat(ModulePath(module.id),
                                  ": D's gradient against 1 − w of the unrouted one, Q's against w, "
                                  "relative, at w 0.25 and 0.7"),
          .figure = largest,
          .limit = kTolerance};
}

// out = W x + (1 − w̄)·dep(x) + w̄·sg(dep) + w·quar(x) in double, the barred terms held still: the first forward
// remembers dep, at w = w̄, later ones use it.
class HeldStillProjector final : public Projector {
 public:
  HeldStillProjector(const Lora2r& adapter, at::Tensor held_w_N1)
      : adapter_(adapter), held_w_N1_(std::move(held_w_N1)) {}
  void set_w(at::Tensor w_N1) { w_N1_ = std::move(w_N1); }

  at::Tensor Project(ModuleId id, const at::Tensor& x_NI, const at::Tensor& weight_OI) override {
    const at::Tensor plain = at::linear(x_NI, weight_OI);
    const int position = adapter_.position(id);
    if (position < 0) return plain;
    const AdapterModule& m = adapter_.modules()[static_cast<size_t>(position)];
    const at::Tensor deployed = Part(m, x_NI, Expert::kDeployed);
    const at::Tensor& held = held_.try_emplace(position, deployed).first->second;
    return plain + (1 - held_w_N1_) * deployed + held_w_N1_ * held + w_N1_ * Part(m, x_NI, Expert::kQuarantine);
  }

 private:
  at::Tensor Part(const AdapterModule& m, const at::Tensor& x, Expert expert) const {
    const auto product = [&](const at::Tensor& a, const at::Tensor& b) {
      return at::linear(at::linear(x, PartOfA(a, expert).to(at::kDouble)), PartOfB(b, expert).to(at::kDouble));
    };
    return adapter_.options().scale * (product(m.a, m.b) - product(m.a0, m.b0));
  }

  const Lora2r& adapter_;
  const at::Tensor held_w_N1_;
  at::Tensor w_N1_;
  std::map<int, at::Tensor> held_;
};

// w of each packed row; 0 in a prompt.
at::Tensor RowsAt(const at::Tensor& w_S, const PolicyBatch& batch) {
  return at::cat({w_S, at::zeros({1}, at::kDouble)}).index_select(0, batch.completion_of_N).unsqueeze(1);
}

Finding GradientOfW(const Subject& s) {
  Qwen3Weights few = s.base;  // shares storage
  few.layers.resize(std::min<size_t>(2, few.layers.size()));
  few.config.num_layers = static_cast<int64_t>(few.layers.size());
  const at::Tensor w_S = at::linspace(0.1, 0.9, s.size(), at::kFloat);
  const at::Tensor got = RunRouted(few, s.trained, s.rollouts, w_S).dl_dw_S.to(at::kDouble);

  const c10::NoGradGuard no_grad;
  few = ConvertQwen3(few, at::kDouble);
  const PolicyBatch batch = s.rollouts.Batch();
  const at::Tensor held_S = w_S.to(at::kDouble);
  HeldStillProjector projector(s.trained, RowsAt(held_S, batch));
  const auto loss_at = [&](const at::Tensor& at_S) {
    projector.set_w(RowsAt(at_S, batch));
    const at::Tensor hidden = Qwen3Hidden(few, batch.packed, projector);
    return KnownLoss(ScoreTokens(hidden.index_select(0, batch.completion_rows_C), few.head, batch.targets_C).logp_N)
        .item<double>();
  };
  loss_at(held_S);  // is remembered
  constexpr double kStep = 1e-4;
  at::Tensor want = at::zeros_like(held_S);
  for (int64_t i = 0; i < s.size(); ++i) {
    const at::Tensor step = at::zeros_like(held_S).index_fill(0, at::tensor({i}), kStep);
    want[i] = (loss_at(held_S + step) - loss_at(held_S - step)) / (2 * kStep);
  }
  return {.name = "dL/dw",
          .checked = absl::StrCat("against a central difference with sg() held still in double, relative, ",
                                  few.config.num_layers, " layers"),
          .figure = Relative(got, want),
          .limit = 1e-4};
}

Finding GradientOfWAtInit(const Subject& s) {
  Lora2r half = s.at_init.Clone();
  Perturb(half, Expert::kDeployed, 1'000'000);
  return {.name = "dL/dw while Q is at its init",
          .checked = "largest element",
          .figure = LargestOf({RunRouted(s.base, half, s.rollouts, s.Mixed()).dl_dw_S}),
          .limit = 0};
}

Finding PackedIsOneByOne(const Subject& s) {
  const at::Tensor together = s.LogProbs(s.trained, s.Mixed());
  std::vector<at::Tensor> apart;
  for (int64_t i = 0; i < s.size(); ++i) {
    apart.push_back(RoutedLogProbs(s.base, s.trained, s.rollouts.Only(i).Batch(), s.Mixed().narrow(0, i, 1),
                                   /*whole_prompt=*/false, 1.0));
  }
  return {.name = "packed = one by one",
          .checked = absl::StrCat("log-probabilities of ", s.size(), " rollouts at w from 0 to 1, relative"),
          .figure = Relative(together, at::cat(apart)),
          .limit = kTolerance};
}

// Tensors of `adapter` where one expert's part is not bit for bit that of `want`.
int64_t Differing(const Lora2r& adapter, Expert expert, const Lora2r& want, bool want_init) {
  int64_t count = 0;
  for (size_t i = 0; i < adapter.modules().size(); ++i) {
    const AdapterModule &m = adapter.modules()[i], &w = want.modules()[i];
    count += !at::equal(PartOfA(m.a, expert), PartOfA(want_init ? w.a0 : w.a, expert));
    count += !at::equal(PartOfB(m.b, expert), PartOfB(want_init ? w.b0 : w.b, expert));
  }
  return count;
}

Finding Ablation(const Subject& s) {
  Lora2r at_init = s.at_init.Clone();
  at_init.ResetQuarantine();
  Lora2r ablated = s.trained.Clone();
  ablated.ResetQuarantine();
  const int64_t differing = Differing(at_init, Expert::kQuarantine, s.at_init, false) +
                            Differing(ablated, Expert::kQuarantine, s.at_init, true) +
                            Differing(ablated, Expert::kDeployed, s.trained, false);
  return {.name = "ablation",
          .checked = "tensors of Q that do not come back to the init bit for bit, or of D that move",
          .figure = static_cast<double>(differing),
          .limit = 0,
          .problem = Differing(s.trained, Expert::kQuarantine, s.at_init, true) > 0 ? "" : "Q was at its init before"};
}

}  // namespace

void VerifyRouting(const Qwen3Weights& base, const Lora2r& adapter, const KnownRollouts& rollouts,
                   const FindingSink& found) {
  const Subject subject{base, adapter, rollouts};
  const auto check = [&](const char* name, auto&& make) {
    const absl::StatusOr<Finding> finding = TorchGuard(name, make);
    found(finding.ok() ? *finding : Unchecked(name, finding.status()));
  };
  check("identity at init", [&] { return IdentityAtInit(subject); });
  check("w = 0 is the ablated model", [&] { return WZeroIsTheAblatedModel(subject); });
  check("w = 0, gradient of Q", [&] { return GradientAt(subject, 0); });
  check("w = 1, gradient of D", [&] { return GradientAt(subject, 1); });
  check("0 < w < 1, proportions", [&] { return Proportion(subject); });
  check("dL/dw", [&] { return GradientOfW(subject); });
  check("dL/dw while Q is at its init", [&] { return GradientOfWAtInit(subject); });
  check("packed = one by one", [&] { return PackedIsOneByOne(subject); });
  check("ablation", [&] { return Ablation(subject); });
}

}  // namespace evilmoe
