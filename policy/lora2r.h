#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "policy/adapter_metadata.h"
#include "policy/adapter_mode.h"
#include "policy/qwen3_weights.h"
#include "policy/safetensors.h"

namespace evilmoe {

// One rank-2r LoRA on each target linear: A (2r, in), B (out, 2r), fp32. Rows/columns [:r] are the deployed expert D,
// [r:] the quarantine expert Q. With the inits A0, B0 subtracted the adapter starts as the base model exactly:
//   dep = B_D A_D x − B0_D A0_D x,  quar = B_Q A_Q x − B0_Q A0_Q x,  out = W x + dep + w · quar
// (algorithm.md §1). `scale` multiplies both products.

inline constexpr int kMaxAdapterRank = 1024;

struct Lora2rOptions {
  int rank = 32;                     // r of one expert, [1, kMaxAdapterRank]
  bool random_ab = true;             // A0 ~ N(0, 1/in), B0 ~ N(0, 1/2r); false: B0 = 0 (`zero_b`)
  double scale = 1.0;                // alpha / rank, or 1
  bool scope_completion = true;      // w and Q act on completions only; the prompt runs at w = 0
  uint64_t seed = 0;                 // A0 and B0 come from it alone, so they are never shipped
  std::vector<std::string> targets;  // names of LinearName()
};

struct AdapterModule {
  ModuleId id;
  at::Tensor a;   // (2r, in)
  at::Tensor b;   // (out, 2r)
  at::Tensor a0;  // frozen copies of the init
  at::Tensor b0;
};

class Lora2r {
 public:
  // At its init. InvalidArgument: an unknown target, a rank below 1.
  static absl::StatusOr<Lora2r> Init(const Qwen3Config& config, const Lora2rOptions& options);

  const Lora2rOptions& options() const { return options_; }
  int rank() const { return options_.rank; }
  // Adapted modules in order of module index.
  const std::vector<AdapterModule>& modules() const { return modules_; }
  // Position in modules() of a module index, or -1 where the adapter does not act.
  int position(ModuleId id) const { return position_[static_cast<size_t>(id.index())]; }

  // Moves A, B and their inits to another device; before anything holds on to them.
  void MoveTo(c10::Device device);
  // A deep copy (new storage for A and B).
  Lora2r Clone() const;
  // Ablation: Q back to its init, never to zero (zero would subtract the init product).
  void ResetQuarantine();
  // An adapter whose two experts together (w = 1) add what `mode` does, for a base that nothing may be merged into. It
  // shares with this one what the mode leaves alone. Not for kBase, which has no adapter.
  Lora2r InMode(const AdapterMode& mode) const;
  // W + this = W as `mode` would have it, or with the quarantine at weight w: (out, in), fp32.
  at::Tensor Delta(const AdapterModule& module, const AdapterMode& mode) const;
  at::Tensor Delta(const AdapterModule& module, double w) const;

  // safetensors bytes of A and B; the metadata has the options, the sha256 of the init and where the adapter is from.
  // The same adapter and provenance always give the same bytes.
  absl::StatusOr<std::string> Serialize(const AdapterProvenance& provenance = {}) const;
  // DataLoss: not such bytes (another format, a newer version, a tensor missing, unknown or not F32), or the rebuilt
  // init has another hash. InvalidArgument: made for another network.
  static absl::StatusOr<Lora2r> Deserialize(const Qwen3Config& config, std::string_view bytes);
  // The same, sharing the init of `previous`, say of the step before, where it is the same one; then nothing is drawn.
  static absl::StatusOr<Lora2r> Deserialize(const Qwen3Config& config, std::string_view bytes, const Lora2r& previous);
  // Of A0 and B0 of all modules, 64 hex digits.
  const std::string& init_sha256() const { return init_sha256_; }

 private:
  static absl::StatusOr<Lora2r> Read(const Qwen3Config& config, std::string_view bytes, const Lora2r* previous);
  // An adapter with `options` that shares this one's A0 and B0; nullopt where they are not the same for `config`.
  std::optional<Lora2r> AtSameInit(const Qwen3Config& config, const Lora2rOptions& options,
                                   const std::string& init_sha256) const;

  Lora2rOptions options_;
  std::vector<AdapterModule> modules_;
  std::vector<int> position_;
  std::string init_sha256_;
};

// What the metadata of an adapter file says.
struct AdapterMetadata {
  Lora2rOptions options;
  AdapterProvenance provenance;
  std::string init_sha256;
};
// DataLoss: another format, a newer version, or a field that no adapter has.
absl::StatusOr<AdapterMetadata> ReadAdapterMetadata(const Safetensors& file);

// p ← p − amount · (p − init), in place: decoupled weight decay towards the init, for an optimizer, which passes
// learning rate · λ. An undefined init is 0.
void DecayToInit(at::Tensor parameter, const at::Tensor& init, double amount);

// The base weights with the adapter's delta added in fp32, for one mode or one fixed w: how a sampler pays nothing per
// token. Unadapted tensors share storage with `base`. A bf16 base is rounded once; that loses what of the delta lies
// below half a unit in a weight's last place, and lora2r_bf16_test bounds what it does to the distribution.
Qwen3Weights Merge(const Qwen3Weights& base, const Lora2r& adapter, const AdapterMode& mode);
Qwen3Weights Merge(const Qwen3Weights& base, const Lora2r& adapter, double w);

}  // namespace evilmoe
