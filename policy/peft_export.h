#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "policy/lora2r.h"

namespace evilmoe {

// The adapter in the forms that Hugging Face opens. Neither form knows of completions or of a w per rollout: the chosen
// block acts on every token, at one w.

enum class ExportBlock { kDeployed, kFull };

struct ExportChoice {
  ExportBlock block = ExportBlock::kDeployed;
  double w = 1.0;  // kFull: of the quarantine, [0, 1]
};

// Rank of the choice as one LoRA. One block of zero_b is r wide: A_D, B_D; with the quarantine 2r: [A_D; A_Q],
// [B_D, w B_Q]. random_ab takes twice that for B A − B0 A0 = B (A − A0) + (B − B0) A0 (docs/adr/0006), so that at its
// init the export adds exactly 0 in any precision.
int64_t PeftRank(const Lora2rOptions& options, ExportBlock block);

// peft's names ("base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", ...) and tensors, fp32. peft
// multiplies the product by lora_alpha / r, which PeftConfig makes the adapter's scale.
std::map<std::string, at::Tensor> PeftTensors(const Lora2r& adapter, const ExportChoice& choice);

// adapter_config.json. `base_model`: what peft loads the base from, a path or a name.
nlohmann::ordered_json PeftConfig(const Lora2rOptions& options, ExportBlock block, const std::string& base_model);

// What the choice adds to one weight, (out, in), fp32. Exactly 0 at the init.
at::Tensor ExportDelta(const Lora2r& adapter, const AdapterModule& module, const ExportChoice& choice);

// Metadata of an exported file: "format": "pt", which transformers wants, and where the bytes are from.
std::map<std::string, std::string> ExportMetadata(const AdapterProvenance& provenance, const ExportChoice& choice);

// Names of the files that WriteMergedModel may write.
std::vector<std::string> MergedModelFiles();

// Writes a model folder that transformers opens: config and tokenizer files copied, model.safetensors with the delta
// added in fp32 and rounded once to the dtype that the base's file has, array by array. Returns the files' names.
// NotFound, InvalidArgument: the base cannot be read or is not the adapter's network; Unavailable: `folder`, which
// must exist, cannot be written.
absl::StatusOr<std::vector<std::string>> WriteMergedModel(const std::filesystem::path& base, const Lora2r& adapter,
                                                          const ExportChoice& choice,
                                                          const AdapterProvenance& provenance,
                                                          const std::filesystem::path& folder);

}  // namespace evilmoe
