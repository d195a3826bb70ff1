// The adapter of per-token experts as bytes.

#include <ATen/ATen.h>

#include <limits>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/status_macros.h"
#include "policy/mixlora.h"
#include "policy/safetensors.h"
#include "policy/tensor_io.h"
#include "policy/torch_guard.h"

namespace evilmoe {
namespace {

constexpr int kVersion = 1;

absl::Status ReadInt(const AdapterFields& fields, const std::string& name, int& value) {
  EVILMOE_ASSIGN_OR_RETURN(const int64_t number, IntegerField(fields, name));
  if (number < 1 || number > std::numeric_limits<int>::max()) {
    return absl::DataLossError(absl::StrCat("adapter: ", name, " ", number, " in the metadata, expected at least 1"));
  }
  value = static_cast<int>(number);
  return absl::OkStatus();
}

absl::StatusOr<MixLoraOptions> ReadOptions(const AdapterFields& fields) {
  EVILMOE_RETURN_IF_ERROR(ReadAdapterFields(fields, MixLora::kFormat, kVersion).status());
  MixLoraOptions options;
  EVILMOE_RETURN_IF_ERROR(ReadInt(fields, "rank", options.rank));
  EVILMOE_RETURN_IF_ERROR(ReadInt(fields, "experts", options.experts));
  EVILMOE_RETURN_IF_ERROR(ReadInt(fields, "top_k", options.top_k));
  EVILMOE_ASSIGN_OR_RETURN(options.scale, NumberField(fields, "scale"));
  EVILMOE_ASSIGN_OR_RETURN(options.seed, SeedField(fields, "seed"));
  for (const auto& target : absl::StrSplit(AdapterField(fields, "targets"), ',', absl::SkipEmpty())) {
    options.targets.emplace_back(target);
  }
  return options;
}

// Of an array's name as MixLora::Arrays writes it.
at::Tensor& Slot(MixLoraLayer& layer, std::string_view field) {
  for (size_t l = 0; l < layer.loras.size(); ++l) {
    const std::string linear = LinearName(static_cast<Linear>(l));
    if (field == linear + ".lora_A") return layer.loras[l].a;
    if (field == linear + ".lora_B") return layer.loras[l].b;
  }
  return layer.router;
}

}  // namespace

absl::StatusOr<std::string> MixLora::Serialize(const AdapterProvenance& provenance) const {
  std::map<std::string, at::Tensor> tensors;
  for (const auto& [name, tensor] : Named()) tensors[name] = tensor;
  AdapterFields fields = {{"rank", absl::StrCat(options_.rank)},   {"experts", absl::StrCat(options_.experts)},
                          {"top_k", absl::StrCat(options_.top_k)}, {"scale", NumberText(options_.scale)},
                          {"seed", absl::StrCat(options_.seed)},   {"targets", absl::StrJoin(options_.targets, ",")}};
  AddAdapterFields(kFormat, kVersion, provenance, fields);
  absl::StatusOr<absl::StatusOr<std::string>> bytes =
      TorchGuard("adapter", [&] { return SerializeTensors(tensors, fields); });
  return bytes.ok() ? *std::move(bytes) : bytes.status();
}

absl::StatusOr<MixLora> MixLora::Deserialize(const Qwen3Config& config, std::string_view bytes) {
  const absl::StatusOr<Safetensors> file = Safetensors::Parse(std::string(bytes));
  if (!file.ok()) return absl::DataLossError(absl::StrCat("adapter: ", file.status().message()));
  MixLora adapter;
  EVILMOE_ASSIGN_OR_RETURN(adapter.options_, ReadOptions(file->metadata()));
  const auto arrays = Arrays(config, adapter.options_);
  if (!arrays.ok()) return absl::DataLossError(arrays.status().message());
  for (const MixLoraArray& array : *arrays) EVILMOE_RETURN_IF_ERROR(CheckAdapterArray(*file, array.name, array.shape));
  EVILMOE_RETURN_IF_ERROR(CheckAdapterArrayCount(*file, arrays->size()));
  const absl::StatusOr<bool> copied = TorchGuard("adapter", [&] {
    adapter.layers_.resize(static_cast<size_t>(config.num_layers));
    for (size_t i = 0; i < adapter.layers_.size(); ++i) {
      const std::string prefix = absl::StrCat("layers.", i, ".");
      for (const MixLoraArray& array : *arrays) {
        if (!array.name.starts_with(prefix)) continue;
        Slot(adapter.layers_[i], std::string_view(array.name).substr(prefix.size())) =
            ToTensor(*file->Find(array.name));
      }
    }
    return true;
  });
  EVILMOE_RETURN_IF_ERROR(copied.status());
  return adapter;
}

}  // namespace evilmoe
