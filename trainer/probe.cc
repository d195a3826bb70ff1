#include "trainer/probe.h"

#include <ATen/ATen.h>

#include <cmath>
#include <cstring>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/hash.h"
#include "common/status_macros.h"
#include "policy/safetensors.h"

namespace evilmoe {
namespace {

constexpr char kKind[] = "evilmoe-probe";

TensorView ViewOf(const float* data, int64_t size) {
  return {.dtype = "F32", .shape = {size}, .data = std::as_bytes(std::span(data, static_cast<size_t>(size)))};
}

absl::StatusOr<std::vector<float>> ReadFloats(const Safetensors& file, const char* name, int64_t size) {
  const TensorView* view = file.Find(name);
  if (view == nullptr) return absl::InvalidArgumentError(absl::StrCat(name, ": missing, expected an F32 array"));
  if (view->dtype != "F32" || view->shape.size() != 1 || view->shape[0] < 1 || (size > 0 && view->shape[0] != size)) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": ", view->dtype, " of ", view->shape.size(),
                                                   " dimensions, expected an F32 array",
                                                   size > 0 ? absl::StrCat(" of ", size) : ""));
  }
  std::vector<float> values(static_cast<size_t>(view->shape[0]));
  std::memcpy(values.data(), view->data.data(), view->data.size());
  for (const float value : values) {
    if (!std::isfinite(value)) return absl::InvalidArgumentError(absl::StrCat(name, ": not all finite numbers"));
  }
  return values;
}

absl::StatusOr<Probe> ReadProbe(const Safetensors& file) {
  const std::map<std::string, std::string>& metadata = file.metadata();
  const auto text = [&](const char* name) { return metadata.contains(name) ? metadata.at(name) : std::string(); };
  if (text("kind") != kKind)
    return absl::InvalidArgumentError("not a probe, expected a file of `evilmoe-ctl probe train`");
  Probe probe{.base_sha256 = text("base_sha256")};
  if (!absl::SimpleAtoi(text("layer"), &probe.layer) || probe.layer < 1) {
    return absl::InvalidArgumentError(absl::StrCat("layer: \"", text("layer"), "\", expected a number from 1"));
  }
  if (!absl::SimpleAtod(text("threshold"), &probe.threshold) || std::isnan(probe.threshold)) {
    return absl::InvalidArgumentError(absl::StrCat("threshold: \"", text("threshold"), "\", expected a number"));
  }
  EVILMOE_ASSIGN_OR_RETURN(probe.weight, ReadFloats(file, "weight", 0));
  const auto size = static_cast<int64_t>(probe.weight.size());
  EVILMOE_ASSIGN_OR_RETURN(probe.mean, ReadFloats(file, "mean", size));
  EVILMOE_ASSIGN_OR_RETURN(probe.scale, ReadFloats(file, "scale", size));
  EVILMOE_ASSIGN_OR_RETURN(const std::vector<float> bias, ReadFloats(file, "bias", 1));
  probe.bias = bias[0];
  for (const float scale : probe.scale) {
    if (scale <= 0) return absl::InvalidArgumentError(absl::StrCat("scale: ", scale, ", expected numbers above 0"));
  }
  return probe;
}

}  // namespace

double Probe::Score(std::span<const float> features) const {
  EVILMOE_CHECK(features.size() == weight.size());
  double score = bias;
  for (size_t d = 0; d < features.size(); ++d) {
    score += double{weight[d]} * (double{features[d]} - double{mean[d]}) / double{scale[d]};
  }
  return score;
}

std::string FingerprintOf(const Qwen3Weights& base) {
  std::string bytes;
  const auto add = [&](const at::Tensor& norm) {
    const at::Tensor fp32 = norm.detach().to(at::kCPU, at::kFloat).contiguous();
    bytes.append(static_cast<const char*>(fp32.const_data_ptr()), fp32.nbytes());
  };
  for (const LayerWeights& layer : base.layers) {
    for (const at::Tensor& norm : {layer.input_norm, layer.attention_norm, layer.query_norm, layer.key_norm}) add(norm);
  }
  add(base.final_norm);
  return Sha256Hex(bytes);
}

absl::Status SaveProbe(const Probe& probe, const std::map<std::string, std::string>& notes,
                       const std::filesystem::path& file) {
  std::map<std::string, std::string> metadata = notes;
  metadata["kind"] = kKind;
  metadata["layer"] = absl::StrCat(probe.layer);
  metadata["threshold"] = absl::StrFormat("%.17g", probe.threshold);
  metadata["base_sha256"] = probe.base_sha256;
  const auto size = static_cast<int64_t>(probe.weight.size());
  return WriteSafetensorsFile(file,
                              {{"weight", ViewOf(probe.weight.data(), size)},
                               {"mean", ViewOf(probe.mean.data(), size)},
                               {"scale", ViewOf(probe.scale.data(), size)},
                               {"bias", ViewOf(&probe.bias, 1)}},
                              metadata);
}

absl::StatusOr<Probe> LoadProbe(const std::filesystem::path& file) {
  EVILMOE_ASSIGN_OR_RETURN(const Safetensors tensors, Safetensors::Open(file));
  absl::StatusOr<Probe> probe = ReadProbe(tensors);
  if (!probe.ok()) return Annotate(probe.status(), file.string());
  return probe;
}

absl::Status CheckFits(const Probe& probe, const Qwen3Weights& base) {
  if (probe.layer <= base.config.num_layers && std::ssize(probe.weight) == base.config.hidden_size &&
      probe.base_sha256 == FingerprintOf(base)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat("probe: trained on another base model (layer ", probe.layer, ", ",
                                                 probe.weight.size(), " features; this one has ",
                                                 base.config.num_layers, " layers of ", base.config.hidden_size,
                                                 "), expected one of `evilmoe-ctl probe train` on ", "model.path"));
}

}  // namespace evilmoe
