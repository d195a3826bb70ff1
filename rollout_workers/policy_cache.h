#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "policy/adapter_mode.h"
#include "policy/lora2r.h"
#include "policy/qwen3_weights.h"
#include "policy/tokenizer.h"
#include "rollout_workers/group_runner.h"

namespace evilmoe {

// What samples a group: models, and the quarantine's weight where the adapter lies beside them (SampleGroup's fields).
struct PolicyModels {
  SamplingModels models;
  double prompt_w = 0;
  double completion_w = 1;
};

// The base model, the adapter versions that the worker was given, and the weights that sampling wants: merged over an
// fp32 base, which then costs nothing a token; beside a bf16 one, since a merged bf16 copy would lose small updates to
// its rounding. Per-token experts, told apart by their file's format, always lie beside the base. Adapters go by the
// hash of their bytes. Keeps the newest few. Not thread-safe.
class PolicyCache {
 public:
  // Loads the base model of `folder` in this format unless it is loaded already.
  absl::Status UseModel(const std::filesystem::path& folder, NumberFormat format = NumberFormat::kFloat32);
  // Whether UseModel() has nothing to do.
  bool HasModel(const std::filesystem::path& folder, NumberFormat format) const {
    return base_ != nullptr && folder == folder_ && format == format_;
  }
  // After UseModel.
  const Tokenizer& tokenizer() const { return *tokenizer_; }

  bool Holds(const std::string& sha256) const { return adapters_.contains(sha256); }
  std::vector<std::string> Held() const { return {order_.begin(), order_.end()}; }
  // Takes an adapter in. DataLoss: the bytes have another hash or are none; InvalidArgument: for another network.
  absl::Status Put(const std::string& sha256, std::string_view bytes);

  // What forwards the prompt and what forwards the completion under a mode. NotFound: the adapter is not held.
  // ResourceExhausted: no memory for the weights. InvalidArgument: over bf16, a random half that leaves out the prompt;
  // of per-token experts, a mode that takes a part of the adapter off.
  absl::StatusOr<PolicyModels> Models(const std::string& sha256, const AdapterMode& mode);

 private:
  struct Adapter {
    std::optional<Lora2r> lora;
    std::shared_ptr<const ExpertModel> experts;                        // or these
    std::map<std::string, std::shared_ptr<const PackedModel>> packed;  // by mode
  };
  absl::StatusOr<std::shared_ptr<const PackedModel>> Packed(Adapter& adapter, const AdapterMode& mode);
  absl::StatusOr<std::shared_ptr<const PackedModel>> Pack(const Adapter& adapter, const AdapterMode& mode) const;
  absl::StatusOr<Adapter> Read(std::string_view bytes) const;
  absl::StatusOr<PolicyModels> WithExperts(const Adapter& adapter, const AdapterMode& mode) const;
  absl::StatusOr<PolicyModels> Beside(Adapter& adapter, const AdapterMode& mode);

  NumberFormat format_ = NumberFormat::kFloat32;
  std::filesystem::path folder_;
  std::shared_ptr<const Qwen3Weights> base_;
  std::shared_ptr<const PackedModel> packed_base_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::map<std::string, Adapter> adapters_;
  std::deque<std::string> order_;  // oldest first
};

}  // namespace evilmoe
