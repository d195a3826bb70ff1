#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <istream>
#include <optional>
#include <ostream>

#include "absl/strings/str_cat.h"
#include "common/json_lines.h"
#include "common/status_macros.h"
#include "policy/lora2r_forward.h"
#include "policy/packed_batch.h"
#include "policy/qwen3.h"
#include "policy/torch_guard.h"
#include "rollout_workers/offline_verbs.h"

namespace evilmoe {
namespace {

using nlohmann::json;

// w at the rows where it acts: from input position start − 1 on, or everywhere.
Routing RowRouting(int64_t rows, int64_t start, const PolicySource& source) {
  const at::Tensor w = at::zeros({rows, 1}), whole = at::ones({rows, 1});
  const int64_t first = source.scope_all ? 0 : start - 1;
  w.narrow(0, first, rows - first).fill_(source.w);
  return {w, whole, whole};
}

class Scorer {
 public:
  Scorer(const LoadedPolicy& policy, const PolicySource& source) : policy_(policy), source_(source) {
    if (policy.adapter != nullptr) leaves_ = MakeLeaves(*policy.adapter);
  }

  absl::StatusOr<json> Answer(const json& line) const {
    const Qwen3Config& config = policy_.weights.config;
    EVILMOE_ASSIGN_OR_RETURN(const std::vector<int32_t> ids, ReadIds(line, "ids", config.vocab_size));
    const json start_json = line.value("start", json(1));
    const auto length = static_cast<int64_t>(ids.size());
    if (!start_json.is_number_integer() || start_json < 1 || start_json >= length) {
      return absl::InvalidArgumentError(
          absl::StrCat("start: ", start_json.dump(), ", expected an integer from 1 to ", length - 1));
    }
    if (length > config.max_position_embeddings) {
      return absl::InvalidArgumentError(absl::StrCat("ids: ", length, " tokens, expected at most ",
                                                     config.max_position_embeddings,
                                                     ", the model's max_position_embeddings"));
    }
    return TorchGuard("score", [&] { return Score(ids, start_json.get<int64_t>()); });
  }

 private:
  json Score(const std::vector<int32_t>& ids, int64_t start) const {
    const c10::NoGradGuard no_grad;
    const auto length = static_cast<int64_t>(ids.size());
    PlainProjector plain;
    std::optional<RoutedProjector> routed;
    if (policy_.adapter != nullptr) routed.emplace(*policy_.adapter, leaves_, RowRouting(length - 1, start, source_));
    Projector& projector = routed ? static_cast<Projector&>(*routed) : plain;
    const PackedBatch batch = Pack({{.ids = {ids.begin(), ids.end() - 1}}});
    const at::Tensor hidden = Qwen3Hidden(policy_.weights, batch, projector).narrow(0, start - 1, length - start);
    const std::vector<int64_t> targets(ids.begin() + start, ids.end());
    const at::Tensor logp = TokenLogProbs(policy_.weights, hidden, at::tensor(targets, at::kLong), 1.0).contiguous();
    const float* data = logp.const_data_ptr<float>();
    return {{"logprobs", std::vector<float>(data, data + logp.numel())}};
  }

  const LoadedPolicy& policy_;
  const PolicySource& source_;
  AdapterLeaves leaves_;
};

}  // namespace

int RunScore(const PolicySource& source, std::istream& in, std::ostream& out, std::ostream& errors) {
  const absl::StatusOr<LoadedPolicy> policy = LoadPolicy(source);
  if (!policy.ok()) return FailVerb(policy.status(), errors);
  const Scorer scorer(*policy, source);
  bool all_good = true;
  std::string text;
  for (int64_t number = 1; std::getline(in, text); ++number) {
    absl::StatusOr<json> answer = ParseJsonLine(text);
    if (answer.ok()) answer = scorer.Answer(*answer);
    all_good = all_good && answer.ok();
    WriteJsonLine(answer.ok() ? *answer : LineError(number, answer.status()), out);
    out.flush();
  }
  return all_good ? 0 : 1;
}

}  // namespace evilmoe
