// The adapter as bytes: what the trainer publishes and the rollout workers fetch.

#include <ATen/ATen.h>

#include <algorithm>
#include <map>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/status_macros.h"
#include "policy/lora2r.h"
#include "policy/safetensors.h"
#include "policy/safetensors_header.h"
#include "policy/tensor_io.h"
#include "policy/torch_guard.h"

namespace evilmoe {
namespace {

constexpr char kFormat[] = "evilmoe.lora2r";
constexpr int kVersion = 1;

std::string ModuleName(ModuleId id) { return absl::StrCat("layers.", id.layer, ".", LinearName(id.linear)); }

// One of two words of the metadata; true: the first.
absl::StatusOr<bool> EitherOf(const AdapterFields& fields, const char* name, const char* first, const char* second) {
  const std::string value = AdapterField(fields, name);
  if (value == first || value == second) return value == first;
  return absl::DataLossError(absl::StrCat("adapter: ", name, " ", QuotedName(value), " in the metadata, expected ",
                                          first, " or ", second));
}

// That the file holds exactly the arrays that an adapter with these options has on this network. Comes before the init,
// which is not drawn for bytes that will be refused.
absl::Status CheckArrays(const Qwen3Config& config, const Lora2rOptions& options, const Safetensors& file) {
  size_t expected = 0;
  for (int layer = 0; layer < config.num_layers; ++layer) {
    for (int linear = 0; linear < kNumLinears; ++linear) {
      const ModuleId id{layer, static_cast<Linear>(linear)};
      const std::string target = LinearName(id.linear);
      if (std::find(options.targets.begin(), options.targets.end(), target) == options.targets.end()) continue;
      const auto [out, in] = LinearShape(config, id.linear);
      EVILMOE_RETURN_IF_ERROR(CheckAdapterArray(file, ModuleName(id) + ".A", {2 * options.rank, in}));
      EVILMOE_RETURN_IF_ERROR(CheckAdapterArray(file, ModuleName(id) + ".B", {out, 2 * options.rank}));
      expected += 2;
    }
  }
  return CheckAdapterArrayCount(file, expected);
}

}  // namespace

absl::StatusOr<AdapterMetadata> ReadAdapterMetadata(const Safetensors& file) {
  const AdapterFields& fields = file.metadata();
  AdapterMetadata metadata;
  EVILMOE_ASSIGN_OR_RETURN(metadata.provenance, ReadAdapterFields(fields, kFormat, kVersion));
  Lora2rOptions& options = metadata.options;
  EVILMOE_ASSIGN_OR_RETURN(options.random_ab, EitherOf(fields, "init", "random_ab", "zero_b"));
  EVILMOE_ASSIGN_OR_RETURN(options.scope_completion, EitherOf(fields, "scope", "completion", "all"));
  for (const auto& target : absl::StrSplit(AdapterField(fields, "targets"), ',', absl::SkipEmpty())) {
    options.targets.emplace_back(target);
  }
  EVILMOE_ASSIGN_OR_RETURN(const int64_t rank, IntegerField(fields, "rank"));
  if (rank < 1 || rank > kMaxAdapterRank) {
    return absl::DataLossError(absl::StrCat("adapter: rank ", rank, " in the metadata, expected [1, ",
                                            kMaxAdapterRank, "]"));
  }
  options.rank = static_cast<int>(rank);
  EVILMOE_ASSIGN_OR_RETURN(options.seed, SeedField(fields, "seed"));
  EVILMOE_ASSIGN_OR_RETURN(options.scale, NumberField(fields, "scale"));
  metadata.init_sha256 = AdapterField(fields, "init_sha256");
  return metadata;
}

absl::StatusOr<std::string> Lora2r::Serialize(const AdapterProvenance& provenance) const {
  std::map<std::string, at::Tensor> tensors;
  for (const AdapterModule& m : modules_) {
    tensors[ModuleName(m.id) + ".A"] = m.a;
    tensors[ModuleName(m.id) + ".B"] = m.b;
  }
  AdapterFields fields = {{"rank", absl::StrCat(options_.rank)},
                          {"init", options_.random_ab ? "random_ab" : "zero_b"},
                          {"scope", options_.scope_completion ? "completion" : "all"},
                          {"scale", NumberText(options_.scale)},
                          {"seed", absl::StrCat(options_.seed)},
                          {"targets", absl::StrJoin(options_.targets, ",")},
                          {"init_sha256", init_sha256_}};
  AddAdapterFields(kFormat, kVersion, provenance, fields);
  absl::StatusOr<absl::StatusOr<std::string>> bytes =
      TorchGuard("adapter", [&] { return SerializeTensors(tensors, fields); });
  return bytes.ok() ? *std::move(bytes) : bytes.status();
}

absl::StatusOr<Lora2r> Lora2r::Deserialize(const Qwen3Config& config, std::string_view bytes) {
  return Read(config, bytes, nullptr);
}

absl::StatusOr<Lora2r> Lora2r::Deserialize(const Qwen3Config& config, std::string_view bytes, const Lora2r& previous) {
  return Read(config, bytes, &previous);
}

absl::StatusOr<Lora2r> Lora2r::Read(const Qwen3Config& config, std::string_view bytes, const Lora2r* previous) {
  absl::StatusOr<Safetensors> file = Safetensors::Parse(std::string(bytes));
  if (!file.ok()) return absl::DataLossError(absl::StrCat("adapter: ", file.status().message()));
  EVILMOE_ASSIGN_OR_RETURN(const AdapterMetadata metadata, ReadAdapterMetadata(*file));
  EVILMOE_RETURN_IF_ERROR(CheckArrays(config, metadata.options, *file));
  std::optional<Lora2r> adapter;
  if (previous != nullptr) adapter = previous->AtSameInit(config, metadata.options, metadata.init_sha256);
  if (!adapter) {
    EVILMOE_ASSIGN_OR_RETURN(adapter, Init(config, metadata.options));
  }
  if (metadata.init_sha256 != adapter->init_sha256_) {
    return absl::DataLossError(absl::StrCat("adapter: its init rebuilds to sha256 ", adapter->init_sha256_,
                                            ", which is not the one in its metadata"));
  }
  const absl::StatusOr<bool> copied = TorchGuard("adapter", [&] {
    for (AdapterModule& m : adapter->modules_) {
      m.a = ToTensor(*file->Find(ModuleName(m.id) + ".A"));
      m.b = ToTensor(*file->Find(ModuleName(m.id) + ".B"));
    }
    return true;
  });
  EVILMOE_RETURN_IF_ERROR(copied.status());
  return *std::move(adapter);
}

std::optional<Lora2r> Lora2r::AtSameInit(const Qwen3Config& config, const Lora2rOptions& options,
                                         const std::string& init_sha256) const {
  const bool same = init_sha256 == init_sha256_ && options.rank == options_.rank && options.seed == options_.seed &&
                    options.random_ab == options_.random_ab && options.targets == options_.targets &&
                    position_.size() == static_cast<size_t>(kNumLinears * config.num_layers);
  if (!same) return std::nullopt;
  for (const AdapterModule& m : modules_) {
    const auto [out, in] = LinearShape(config, m.id.linear);
    if (m.b.size(0) != out || m.a.size(1) != in) return std::nullopt;
  }
  Lora2r adapter = *this;
  adapter.options_ = options;
  return adapter;
}

}  // namespace evilmoe
