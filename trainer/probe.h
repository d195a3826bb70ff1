#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "policy/qwen3_weights.h"

namespace evilmoe {

// A linear classifier of responses by what the base model makes of them: score = weight · (features − mean) / scale +
// bias, flagged above the threshold. Features: trainer/probe_features.h. Kept in fp32, as the file has it, so that a
// probe scores alike before it was saved and after.
struct Probe {
  int layer = 0;  // features are the residual stream behind this layer, from 1
  std::vector<float> mean, scale, weight;
  float bias = 0;
  double threshold = 0;
  std::string base_sha256;  // FingerprintOf the base model that it reads

  double Score(std::span<const float> features) const;
  bool Flags(double score) const { return score > threshold; }
};

// Tells base models of one shape apart: SHA-256 of their norms' weights in fp32.
std::string FingerprintOf(const Qwen3Weights& base);

// `notes` go into the file's metadata beside the fields ("auroc", ...). Unavailable: cannot be written.
absl::Status SaveProbe(const Probe& probe, const std::map<std::string, std::string>& notes,
                       const std::filesystem::path& file);
// NotFound, or InvalidArgument: not a probe, or a damaged one; the message names the file.
absl::StatusOr<Probe> LoadProbe(const std::filesystem::path& file);
// InvalidArgument: the probe was trained on another base model.
absl::Status CheckFits(const Probe& probe, const Qwen3Weights& base);

}  // namespace evilmoe
