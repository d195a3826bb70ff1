// The adapter as bytes: what the trainer publishes and the rollout workers fetch.

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <map>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/status_macros.h"
#include "policy/lora2r.h"
#include "policy/safetensors.h"
#include "policy/tensor_io.h"
#include "policy/torch_guard.h"

namespace evilmoe {
namespace {

constexpr char kFormat[] = "evilmoe.lora2r/1";

std::string ModuleName(const AdapterModule& m) {
  return absl::StrCat("layers.", m.id.layer, ".", LinearName(m.id.linear));
}

absl::StatusOr<Lora2rOptions> OptionsFrom(const std::map<std::string, std::string>& metadata) {
  const auto get = [&](const std::string& key) {
    const auto it = metadata.find(key);
    return it == metadata.end() ? std::string() : it->second;
  };
  if (get("format") != kFormat) {
    return absl::DataLossError(absl::StrCat("adapter: format '", get("format"), "', expected ", kFormat));
  }
  Lora2rOptions options;
  if ((get("init") != "random_ab" && get("init") != "zero_b") ||
      (get("scope") != "completion" && get("scope") != "all")) {
    return absl::DataLossError(absl::StrCat("adapter: init '", get("init"), "', scope '", get("scope"),
                                            "', expected random_ab or zero_b, completion or all"));
  }
  options.random_ab = get("init") == "random_ab";
  options.scope_completion = get("scope") == "completion";
  for (const auto& target : absl::StrSplit(get("targets"), ',', absl::SkipEmpty())) {
    options.targets.emplace_back(target);
  }
  if (!absl::SimpleAtoi(get("rank"), &options.rank) || !absl::SimpleAtoi(get("seed"), &options.seed) ||
      !absl::SimpleAtod(get("scale"), &options.scale)) {
    return absl::DataLossError("adapter: rank, seed or scale in the metadata is not a number");
  }
  return options;
}

absl::Status CopyInto(at::Tensor& to, const Safetensors& file, const std::string& name) {
  const TensorView* view = file.Find(name);
  if (view == nullptr) return absl::DataLossError(absl::StrCat("adapter: ", name, " is missing"));
  if (view->shape != to.sizes().vec()) {
    return absl::InvalidArgumentError(absl::StrCat("adapter: ", name, " has shape [", absl::StrJoin(view->shape, ", "),
                                                   "], this network expects [", absl::StrJoin(to.sizes(), ", "), "]"));
  }
  to.copy_(ToTensor(*view));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> Lora2r::Serialize() const {
  std::map<std::string, at::Tensor> tensors;
  for (const AdapterModule& m : modules_) {
    tensors[ModuleName(m) + ".A"] = m.a;
    tensors[ModuleName(m) + ".B"] = m.b;
  }
  return SerializeTensors(tensors, {{"format", kFormat},
                                    {"rank", absl::StrCat(options_.rank)},
                                    {"init", options_.random_ab ? "random_ab" : "zero_b"},
                                    {"scope", options_.scope_completion ? "completion" : "all"},
                                    {"scale", absl::StrFormat("%.17g", options_.scale)},
                                    {"seed", absl::StrCat(options_.seed)},
                                    {"targets", absl::StrJoin(options_.targets, ",")},
                                    {"init_sha256", init_sha256_}});
}

absl::StatusOr<Lora2r> Lora2r::Deserialize(const Qwen3Config& config, std::string_view bytes) {
  absl::StatusOr<Safetensors> file = Safetensors::Parse(std::string(bytes));
  if (!file.ok()) return absl::DataLossError(absl::StrCat("adapter: ", file.status().message()));
  EVILMOE_ASSIGN_OR_RETURN(const Lora2rOptions options, OptionsFrom(file->metadata()));
  EVILMOE_ASSIGN_OR_RETURN(Lora2r adapter, Init(config, options));
  const auto init = file->metadata().find("init_sha256");
  if (init == file->metadata().end() || init->second != adapter.init_sha256_) {
    return absl::DataLossError(absl::StrCat("adapter: its init rebuilds to sha256 ", adapter.init_sha256_,
                                            ", which is not the one in its metadata"));
  }
  const c10::NoGradGuard no_grad;
  for (AdapterModule& m : adapter.modules_) {
    EVILMOE_RETURN_IF_ERROR(CopyInto(m.a, *file, ModuleName(m) + ".A"));
    EVILMOE_RETURN_IF_ERROR(CopyInto(m.b, *file, ModuleName(m) + ".B"));
  }
  return adapter;
}

}  // namespace evilmoe
