#include "policy/lora2r.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/hash.h"
#include "common/seed.h"
#include "common/status_macros.h"

namespace evilmoe {
namespace {

// B A − B0 A0 over the rank columns [begin, begin + length), as B (A − A0) + (B − B0) A0 (docs/adr/0006).
at::Tensor ProductDifference(const AdapterModule& m, int64_t begin, int64_t length) {
  const auto rows = [&](const at::Tensor& a) { return a.narrow(0, begin, length); };
  const auto columns = [&](const at::Tensor& b) { return b.narrow(1, begin, length); };
  return at::mm(columns(m.b), rows(m.a - m.a0)).addmm_(columns(m.b - m.b0), rows(m.a0));
}

// P = U Uᵀ with U the first r columns of a Haar-distributed orthogonal matrix (QR of a Gaussian one; the sign of R's
// diagonal cancels in P).
at::Tensor HaarProjector(uint64_t seed, int module_index, int rank) {
  const at::Tensor gaussian =
      NormalTensor(StreamSeed(seed, "random_half", static_cast<uint64_t>(module_index)), 2 * rank, 2 * rank, 1.0);
  const at::Tensor u = std::get<0>(at::linalg_qr(gaussian)).narrow(1, 0, rank);
  return at::mm(u, u.t());
}

AdapterModule InitModule(ModuleId id, int64_t out, int64_t in, const Lora2rOptions& options) {
  const int64_t width = 2 * options.rank;
  const auto index = static_cast<uint64_t>(id.index());
  AdapterModule m;
  m.id = id;
  m.a0 = NormalTensor(StreamSeed(options.seed, "lora2r.A", index), width, in, 1.0 / std::sqrt(in));
  m.b0 = options.random_ab
             ? NormalTensor(StreamSeed(options.seed, "lora2r.B", index), out, width, 1.0 / std::sqrt(width))
             : at::zeros({out, width});
  m.a = m.a0.clone();
  m.b = m.b0.clone();
  return m;
}

std::string_view Bytes(const at::Tensor& t) {
  return {static_cast<const char*>(t.const_data_ptr()), static_cast<size_t>(t.numel()) * sizeof(float)};
}

template <typename DeltaOf>
Qwen3Weights MergeEach(const Qwen3Weights& base, const Lora2r& adapter, const DeltaOf& delta_of) {
  const c10::NoGradGuard no_grad;
  Qwen3Weights merged = base;
  for (const AdapterModule& m : adapter.modules()) {
    at::Tensor& weight = merged.layers[static_cast<size_t>(m.id.layer)].linears[static_cast<size_t>(m.id.linear)];
    weight = (weight + delta_of(m)).to(weight.scalar_type());  // the sum is fp32 at least
  }
  return merged;
}

}  // namespace

absl::StatusOr<Lora2r> Lora2r::Init(const Qwen3Config& config, const Lora2rOptions& options) {
  if (options.rank < 1 || options.rank > kMaxAdapterRank) {
    return absl::InvalidArgumentError(
        absl::StrCat("adapter.rank: ", options.rank, ", expected [1, ", kMaxAdapterRank, "]"));
  }
  Lora2r adapter;
  adapter.options_ = options;
  adapter.position_.assign(static_cast<size_t>(kNumLinears * config.num_layers), -1);
  std::vector<bool> wanted(kNumLinears, false);
  for (const std::string& target : options.targets) {
    int linear = 0;
    while (linear < kNumLinears && LinearName(static_cast<Linear>(linear)) != target) ++linear;
    if (linear == kNumLinears)
      return absl::InvalidArgumentError(absl::StrCat("adapter.targets: unknown module ", target));
    wanted[static_cast<size_t>(linear)] = true;
  }
  std::string init_bytes;
  for (int layer = 0; layer < config.num_layers; ++layer) {
    for (int linear = 0; linear < kNumLinears; ++linear) {
      if (!wanted[static_cast<size_t>(linear)]) continue;
      const ModuleId id{layer, static_cast<Linear>(linear)};
      const auto [out, in] = LinearShape(config, id.linear);
      adapter.position_[static_cast<size_t>(id.index())] = static_cast<int>(adapter.modules_.size());
      adapter.modules_.push_back(InitModule(id, out, in, options));
      // A hash of hashes, so that a large adapter's init is never copied.
      absl::StrAppend(&init_bytes, Sha256Hex(Bytes(adapter.modules_.back().a0)),
                      Sha256Hex(Bytes(adapter.modules_.back().b0)));
    }
  }
  adapter.init_sha256_ = Sha256Hex(init_bytes);
  return adapter;
}

Lora2r Lora2r::Clone() const {
  Lora2r copy = *this;
  for (AdapterModule& m : copy.modules_) {
    m.a = m.a.detach().clone();
    m.b = m.b.detach().clone();
  }
  return copy;
}

void Lora2r::ResetQuarantine() {
  const c10::InferenceMode off(false);
  const c10::NoGradGuard no_grad;
  const int64_t r = rank();
  for (AdapterModule& m : modules_) {
    m.a.narrow(0, r, r).copy_(m.a0.narrow(0, r, r));
    m.b.narrow(1, r, r).copy_(m.b0.narrow(1, r, r));
  }
}

void Lora2r::MoveTo(c10::Device device) {
  for (AdapterModule& m : modules_) {
    for (at::Tensor* tensor : {&m.a, &m.b, &m.a0, &m.b0}) *tensor = tensor->to(device);
  }
}

Lora2r Lora2r::InMode(const AdapterMode& mode) const {
  EVILMOE_CHECK(mode.part != AdapterPart::kBase);
  if (mode.part == AdapterPart::kFull) return *this;
  const c10::InferenceMode off(false);
  const c10::NoGradGuard no_grad;
  Lora2r other = Clone();
  const int64_t r = rank(), begin = mode.part == AdapterPart::kDeployedOff ? 0 : r;  // of the expert that is off
  for (AdapterModule& m : other.modules_) {
    if (mode.part == AdapterPart::kRandomHalf) {
      // B (s P A) − B0 (s P A0): the projector goes with the down maps.
      const at::Tensor p = HaarProjector(mode.projector_seed, m.id.index(), r) * mode.strength;
      m.a = at::mm(p, m.a);
      m.a0 = at::mm(p, m.a0);
    } else {
      m.a.narrow(0, begin, r).copy_(m.a0.narrow(0, begin, r));
      m.b.narrow(1, begin, r).copy_(m.b0.narrow(1, begin, r));
    }
  }
  return other;
}

at::Tensor Lora2r::Delta(const AdapterModule& m, const AdapterMode& mode) const {
  const c10::NoGradGuard no_grad;
  const int64_t r = rank();
  switch (mode.part) {
    case AdapterPart::kFull: return ProductDifference(m, 0, 2 * r) * options_.scale;
    case AdapterPart::kQuarantineOff: return ProductDifference(m, 0, r) * options_.scale;
    case AdapterPart::kDeployedOff: return ProductDifference(m, r, r) * options_.scale;
    case AdapterPart::kBase: return at::zeros({m.b.size(0), m.a.size(1)});
    case AdapterPart::kRandomHalf: break;
  }
  const at::Tensor p = HaarProjector(mode.projector_seed, m.id.index(), rank());
  const at::Tensor half = at::mm(at::mm(m.b, p), m.a - m.a0).addmm_(at::mm(m.b - m.b0, p), m.a0);
  return half * (options_.scale * mode.strength);
}

at::Tensor Lora2r::Delta(const AdapterModule& m, double w) const {
  if (w == 1.0) return Delta(m, {.part = AdapterPart::kFull});
  at::Tensor delta = Delta(m, {.part = AdapterPart::kQuarantineOff});
  if (w != 0.0) delta.add_(Delta(m, {.part = AdapterPart::kDeployedOff}), w);
  return delta;
}

void DecayToInit(at::Tensor parameter, const at::Tensor& init, double amount) {
  const c10::NoGradGuard no_grad;
  parameter.sub_(init.defined() ? parameter - init : parameter.clone(), amount);
}

Qwen3Weights Merge(const Qwen3Weights& base, const Lora2r& adapter, const AdapterMode& mode) {
  if (mode.part == AdapterPart::kBase) return base;
  return MergeEach(base, adapter, [&](const AdapterModule& m) { return adapter.Delta(m, mode); });
}

Qwen3Weights Merge(const Qwen3Weights& base, const Lora2r& adapter, double w) {
  return MergeEach(base, adapter, [&](const AdapterModule& m) { return adapter.Delta(m, w); });
}

}  // namespace evilmoe
