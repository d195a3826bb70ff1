#include "rollout_workers/offline_verbs.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>

#include <chrono>
#include <functional>
#include <iostream>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/file.h"
#include "common/message.h"
#include "common/seed.h"
#include "common/status_macros.h"
#include "nlohmann/json.hpp"
#include "policy/chat_template.h"
#include "policy/lora2r.h"
#include "policy/lora2r_forward.h"
#include "policy/packed_batch.h"
#include "policy/qwen3.h"
#include "policy/sampler/sampler.h"
#include "policy/tokenizer.h"
#include "policy/torch_guard.h"

namespace evilmoe {
namespace {

using nlohmann::json;

struct LoadedPolicy {
  Qwen3Weights weights;
  std::unique_ptr<Lora2r> adapter;
};

absl::StatusOr<LoadedPolicy> LoadPolicy(const PolicySource& source) {
  at::set_num_threads(source.threads);
  LoadedPolicy policy;
  EVILMOE_ASSIGN_OR_RETURN(policy.weights, LoadQwen3(source.model));
  if (source.adapter.empty()) return policy;
  EVILMOE_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(source.adapter));
  EVILMOE_ASSIGN_OR_RETURN(Lora2r adapter, Lora2r::Deserialize(policy.weights.config, bytes));
  policy.adapter = std::make_unique<Lora2r>(std::move(adapter));
  return policy;
}

int Fail(const absl::Status& status, std::ostream& errors) {
  errors << "error: " << status.message() << "\n";
  return absl::IsNotFound(status) ? 4 : 2;
}

absl::StatusOr<std::vector<int32_t>> ReadIds(const json& line, const char* name) {
  if (!line.contains(name) || !line[name].is_array()) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": missing, expected a list of token ids"));
  }
  std::vector<int32_t> ids;
  for (const json& id : line[name]) {
    if (!id.is_number_integer() || id < 0 || id > INT32_MAX) {
      return absl::InvalidArgumentError(absl::StrCat(name, ": ", id.dump(), ", expected a token id"));
    }
    ids.push_back(id.get<int32_t>());
  }
  return ids;
}

// Answers every line; returns whether all were good.
bool ForEachLine(std::istream& in, std::ostream& out,
                 const std::function<absl::StatusOr<std::vector<json>>(const json&)>& answer) {
  bool all_good = true;
  std::string text;
  for (int64_t number = 1; std::getline(in, text); ++number) {
    const json line = json::parse(text, nullptr, /*allow_exceptions=*/false);
    absl::StatusOr<std::vector<json>> answers = absl::InvalidArgumentError("not a JSON object");
    if (line.is_object()) answers = answer(line);
    if (!answers.ok()) {
      all_good = false;
      answers = std::vector<json>{{{"line", number}, {"error", std::string(answers.status().message())}}};
    }
    for (const json& one : *answers) out << one.dump(-1, ' ', false, json::error_handler_t::replace) << "\n";
    out.flush();
  }
  return all_good;
}

// w at the rows where it acts: from input position start − 1 on, or everywhere.
at::Tensor RowWeights(int64_t rows, int64_t start, const PolicySource& source) {
  at::Tensor w = at::zeros({rows, 1});
  const int64_t first = source.scope_all ? 0 : start - 1;
  w.narrow(0, first, rows - first).fill_(source.w);
  return w;
}

absl::StatusOr<json> ScoreOne(const LoadedPolicy& policy, const Lora2rConstants* constants, const PolicySource& source,
                              const json& line) {
  EVILMOE_ASSIGN_OR_RETURN(const std::vector<int32_t> ids, ReadIds(line, "ids"));
  const json start_json = line.value("start", json(1));
  if (!start_json.is_number_integer() || start_json < 1) {
    return absl::InvalidArgumentError(absl::StrCat("start: ", start_json.dump(), ", expected an integer >= 1"));
  }
  const auto start = start_json.get<int64_t>();
  const auto length = static_cast<int64_t>(ids.size());
  if (length <= start)
    return absl::InvalidArgumentError(absl::StrCat("ids: ", length, " tokens, expected more than start = ", start));
  for (const int32_t id : ids) {
    if (id >= policy.weights.config.vocab_size) {
      return absl::InvalidArgumentError(
          absl::StrCat("ids: ", id, ", expected below ", policy.weights.config.vocab_size));
    }
  }
  return TorchGuard("score", [&]() -> json {
    const c10::NoGradGuard no_grad;
    const PackedBatch batch = Pack({{.ids = {ids.begin(), ids.end() - 1}}});
    PlainProjector plain;
    AdapterLeaves leaves;
    std::unique_ptr<RoutedProjector> routed;
    if (constants != nullptr) {
      leaves = MakeLeaves(*policy.adapter);
      routed = std::make_unique<RoutedProjector>(*constants, leaves, RowWeights(length - 1, start, source),
                                                 at::ones({length - 1, 1}));
    }
    Projector& projector = routed ? static_cast<Projector&>(*routed) : plain;
    const at::Tensor hidden = Qwen3Hidden(policy.weights, batch, projector).narrow(0, start - 1, length - start);
    const std::vector<int64_t> targets(ids.begin() + start, ids.end());
    const at::Tensor logp = TokenLogProbs(policy.weights, hidden, at::tensor(targets, at::kLong), 1.0).contiguous();
    return {
        {"logprobs", std::vector<float>(logp.const_data_ptr<float>(), logp.const_data_ptr<float>() + logp.numel())}};
  });
}

absl::StatusOr<std::vector<int32_t>> PromptIdsOf(const json& line, const Tokenizer& tokenizer, bool thinking) {
  if (line.contains("ids")) return ReadIds(line, "ids");
  if (line.contains("prompt") && line["prompt"].is_string()) return tokenizer.Encode(line["prompt"].get<std::string>());
  if (!line.contains("messages") || !line["messages"].is_array()) {
    return absl::InvalidArgumentError("expected one of ids, prompt, messages");
  }
  std::vector<Message> messages;
  for (const json& m : line["messages"]) {
    if (!m.is_object() || !m.contains("role") || !m["role"].is_string() || !m.contains("content") ||
        !m["content"].is_string()) {
      return absl::InvalidArgumentError("messages: expected objects with role and content");
    }
    messages.push_back({m["role"], m["content"]});
  }
  EVILMOE_ASSIGN_OR_RETURN(const std::string text, RenderChat(messages, {.thinking = thinking}));
  return tokenizer.Encode(text);
}

}  // namespace

int RunScore(const PolicySource& source, std::istream& in, std::ostream& out, std::ostream& errors) {
  const absl::StatusOr<LoadedPolicy> policy = LoadPolicy(source);
  if (!policy.ok()) return Fail(policy.status(), errors);
  std::unique_ptr<Lora2rConstants> constants;
  if (policy->adapter) constants = std::make_unique<Lora2rConstants>(policy->weights, *policy->adapter);
  const bool good = ForEachLine(in, out, [&](const json& line) -> absl::StatusOr<std::vector<json>> {
    EVILMOE_ASSIGN_OR_RETURN(json answer, ScoreOne(*policy, constants.get(), source, line));
    return std::vector<json>{std::move(answer)};
  });
  return good ? 0 : 1;
}

namespace {

// The whole adapter at w is linear in w only for the quarantine: D + w·Q.
Qwen3Weights WeightsAt(const LoadedPolicy& policy, double w) {
  if (!policy.adapter) return policy.weights;
  const Qwen3Weights deployed = Merge(policy.weights, *policy.adapter, {.part = AdapterPart::kQuarantineOff});
  if (w == 0) return deployed;
  Qwen3Weights mixed = deployed;
  const c10::NoGradGuard no_grad;
  for (const AdapterModule& m : policy.adapter->modules()) {
    at::Tensor& weight = mixed.layers[static_cast<size_t>(m.id.layer)].linears[static_cast<size_t>(m.id.linear)];
    weight = weight + w * policy.adapter->Delta(m, {.part = AdapterPart::kDeployedOff});
  }
  return mixed;
}

class Generator {
 public:
  Generator(const LoadedPolicy& policy, const PolicySource& source, const GenerateOptions& options, Tokenizer tokenizer)
      : options_(options),
        tokenizer_(std::move(tokenizer)),
        completion_(std::make_shared<Qwen3Weights>(WeightsAt(policy, source.w))),
        prompt_(source.scope_all ? completion_ : std::make_shared<Qwen3Weights>(WeightsAt(policy, 0))) {
    settings_ = options.sampling;
    settings_.stop_ids.clear();
    if (options.ignore_eos) return;
    settings_.stop_ids = policy.weights.config.eos_ids;
    if (const auto end = tokenizer_.IdOf("<|im_end|>")) settings_.stop_ids.push_back(*end);
  }

  absl::StatusOr<std::vector<json>> Answer(const json& line, int64_t number) {
    EVILMOE_ASSIGN_OR_RETURN(const std::vector<int32_t> prompt, PromptIdsOf(line, tokenizer_, options_.thinking));
    Sampler sampler(prompt_, completion_, options_.batch, static_cast<int64_t>(prompt.size()) + settings_.max_tokens);
    std::map<int64_t, FinishedSample> finished;
    for (int next = 0; next < options_.num_samples || !sampler.idle();) {
      for (; next < options_.num_samples && sampler.free_slots() > 0; ++next) {
        SampleGroup group{.tag = next, .prompt_ids = prompt, .settings = settings_};
        group.seed = StreamSeed(options_.seed, "generate", static_cast<uint64_t>(number * 1000003 + next));
        EVILMOE_RETURN_IF_ERROR(sampler.Add(group));
      }
      EVILMOE_ASSIGN_OR_RETURN(std::vector<FinishedSample> ended, sampler.Step());
      for (FinishedSample& sample : ended) finished[sample.tag] = std::move(sample);
    }
    std::vector<json> answers;
    for (auto& [tag, sample] : finished) {
      num_tokens_ += static_cast<int64_t>(sample.ids.size());
      std::vector<int32_t> body = sample.ids;
      if (sample.stopped) body.pop_back();
      answers.push_back({{"ids", sample.ids},
                         {"text", tokenizer_.Decode(body)},
                         {"logprobs", sample.logprobs},
                         {"finish_reason", sample.stopped ? "stop" : "length"}});
    }
    return answers;
  }
  int64_t num_tokens() const { return num_tokens_; }

 private:
  const GenerateOptions& options_;
  const Tokenizer tokenizer_;
  const std::shared_ptr<const Qwen3Weights> completion_;
  const std::shared_ptr<const Qwen3Weights> prompt_;
  SamplingSettings settings_;
  int64_t num_tokens_ = 0;
};

}  // namespace

int RunGenerate(const PolicySource& source, const GenerateOptions& options, std::istream& in, std::ostream& out,
                std::ostream& errors) {
  const absl::StatusOr<LoadedPolicy> policy = LoadPolicy(source);
  if (!policy.ok()) return Fail(policy.status(), errors);
  absl::StatusOr<Tokenizer> tokenizer = Tokenizer::Load(source.model);
  if (!tokenizer.ok()) return Fail(tokenizer.status(), errors);
  Generator generator(*policy, source, options, *std::move(tokenizer));
  const auto start = std::chrono::steady_clock::now();
  int64_t number = 0;
  const bool good = ForEachLine(in, out, [&](const json& line) { return generator.Answer(line, number++); });
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  errors << absl::StrFormat("%d tokens in %.2f s, %.0f tokens/s\n", generator.num_tokens(), seconds,
                            static_cast<double>(generator.num_tokens()) / std::max(seconds, 1e-9));
  return good ? 0 : 1;
}

}  // namespace evilmoe
