#include "trainer/pretrain.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/json_lines.h"
#include "common/message.h"
#include "common/status_macros.h"
#include "nlohmann/json.hpp"
#include "policy/chat_template.h"
#include "policy/qwen3.h"
#include "policy/qwen3_weights.h"
#include "policy/tokenizer.h"
#include "policy/torch_guard.h"
#include "trainer/optimizer.h"
#include "trainer/policy_batch.h"

namespace evilmoe {
namespace {

struct Sequence {
  std::vector<int32_t> prompt;
  std::vector<int32_t> response;  // ends with the end-of-turn token
};

// Streams the text file, so that its size does not matter.
class TextReader {
 public:
  TextReader(const PretrainConfig& config, const Tokenizer& tokenizer, int32_t end_of_turn)
      : config_(config), tokenizer_(tokenizer), end_of_turn_(end_of_turn), in_(config.text) {}

  // InvalidArgument names the bad line, or says that the file ended too early.
  absl::StatusOr<std::vector<Sequence>> NextBatch() {
    std::vector<Sequence> batch;
    std::string line;
    while (batch.size() < static_cast<size_t>(config_.batch_size)) {
      if (!std::getline(in_, line)) {
        return absl::InvalidArgumentError(absl::StrCat(config_.text.string(), ": ends after line ", line_number_,
                                                       ", expected ", config_.steps, " x ", config_.batch_size,
                                                       " sequences"));
      }
      ++line_number_;
      absl::StatusOr<Sequence> sequence = Parse(line);
      if (!sequence.ok()) {
        return Annotate(sequence.status(), absl::StrCat(config_.text.string(), ":", line_number_));
      }
      if (sequence->prompt.size() + sequence->response.size() > static_cast<size_t>(config_.max_tokens)) {
        ++skipped_;
        continue;
      }
      batch.push_back(*std::move(sequence));
    }
    return batch;
  }
  int64_t skipped() const { return skipped_; }

 private:
  absl::StatusOr<Sequence> Parse(const std::string& line) const {
    EVILMOE_ASSIGN_OR_RETURN(const nlohmann::json json, ParseJsonLine(line));
    if (!json.contains("messages") || !json.contains("response") || !json["response"].is_string()) {
      return absl::InvalidArgumentError("expected {\"messages\": [...], \"response\": \"...\"}");
    }
    EVILMOE_ASSIGN_OR_RETURN(const std::vector<Message> messages, ReadMessages(json["messages"]));
    Sequence sequence;
    EVILMOE_ASSIGN_OR_RETURN(const std::string prompt, RenderChat(messages));
    EVILMOE_ASSIGN_OR_RETURN(sequence.prompt, tokenizer_.Encode(prompt));
    EVILMOE_ASSIGN_OR_RETURN(sequence.response, tokenizer_.Encode(json["response"].get<std::string>()));
    sequence.response.push_back(end_of_turn_);
    return sequence;
  }

  const PretrainConfig& config_;
  const Tokenizer& tokenizer_;
  const int32_t end_of_turn_;
  std::ifstream in_;
  int64_t line_number_ = 0;
  int64_t skipped_ = 0;
};

// A network whose parameters are leaves of its own over shared storage.
Qwen3Weights Replica(const Qwen3Weights& weights) {
  Qwen3Weights copy = weights;
  const auto leaf = [](at::Tensor& t) { t = t.detach().requires_grad_(true); };
  leaf(copy.embedding);
  for (LayerWeights& layer : copy.layers) {
    for (at::Tensor* t : {&layer.input_norm, &layer.attention_norm, &layer.query_norm, &layer.key_norm}) leaf(*t);
    for (at::Tensor& t : layer.linears) leaf(t);
  }
  leaf(copy.final_norm);
  if (weights.config.tie_word_embeddings) {
    copy.head = copy.embedding;
  } else {
    leaf(copy.head);
  }
  return copy;
}

struct Shard {
  std::vector<const Sequence*> sequences;
  Qwen3Weights weights;
  double loss = 0;
  absl::Status status;
};

// Mean cross-entropy over the batch's response tokens, this shard's part; leaves gradients in its replica.
double ForwardBackward(Shard& shard, double num_tokens) {
  std::vector<Segment> segments;
  for (const Sequence* s : shard.sequences) {
    Segment segment{.ids = s->prompt};
    segment.ids.insert(segment.ids.end(), s->response.begin(), s->response.end() - 1);
    segments.push_back(std::move(segment));
  }
  const PackedBatch batch = Pack(std::move(segments));
  std::vector<int64_t> rows, targets;
  for (size_t i = 0; i < shard.sequences.size(); ++i) {
    const Sequence& s = *shard.sequences[i];
    const int64_t first = batch.segment_begin(static_cast<int>(i)) + static_cast<int64_t>(s.prompt.size()) - 1;
    for (size_t t = 0; t < s.response.size(); ++t) {
      rows.push_back(first + static_cast<int64_t>(t));
      targets.push_back(s.response[t]);
    }
  }
  PlainProjector plain;
  const at::Tensor hidden = Qwen3Hidden(shard.weights, batch, plain).index_select(0, at::tensor(rows, at::kLong));
  const at::Tensor loss = -TokenLogProbs(shard.weights, hidden, at::tensor(targets, at::kLong), 1.0).sum() / num_tokens;
  loss.backward();
  return shard.loss = loss.item<double>();
}

class Pretrainer {
 public:
  Pretrainer(const PretrainConfig& config, Qwen3Weights& weights)
      : config_(config),
        weights_(weights),
        matrices_(Split(true), {}, Options(config.weight_decay)),
        vectors_(Split(false), {}, Options(0.0)) {}

  absl::StatusOr<double> Step(int step, const std::vector<Sequence>& batch) {
    std::vector<Shard> shards(
        static_cast<size_t>(std::min<int64_t>(config_.threads, static_cast<int64_t>(batch.size()))));
    double num_tokens = 0;
    for (size_t i = 0; i < batch.size(); ++i) {
      shards[i % shards.size()].sequences.push_back(&batch[i]);
      num_tokens += static_cast<double>(batch[i].response.size());
    }
    {
      std::vector<std::jthread> threads;
      for (size_t i = 0; i < shards.size(); ++i) {
        shards[i].weights = Replica(weights_);
        if (i == 0) continue;
        threads.emplace_back([&shards, i, num_tokens] {
          at::set_num_threads(1);
          shards[i].status = TorchGuard("pretraining", [&] { return ForwardBackward(shards[i], num_tokens); }).status();
        });
      }
      ForwardBackward(shards[0], num_tokens);
    }
    for (const Shard& shard : shards) EVILMOE_RETURN_IF_ERROR(shard.status);
    Update(step, shards);
    double loss = 0;
    for (const Shard& shard : shards) loss += shard.loss;
    return loss;
  }

 private:
  AdamWOptions Options(double decay) const {
    return {.learning_rate = config_.learning_rate, .beta1 = 0.9, .beta2 = 0.95, .decay = decay};
  }
  std::vector<at::Tensor> Split(bool matrices) const {
    std::vector<at::Tensor> out;
    for (const auto& [name, tensor] : weights_.Named()) {
      if ((tensor.dim() > 1) == matrices) out.push_back(tensor);
    }
    return out;
  }

  void Update(int step, const std::vector<Shard>& shards) {
    const c10::NoGradGuard no_grad;
    std::vector<at::Tensor> gradients;
    std::vector<bool> is_matrix;
    for (const Shard& shard : shards) {
      const auto named = shard.weights.Named();
      for (size_t i = 0; i < named.size(); ++i) {
        if (gradients.size() <= i) {
          gradients.push_back(named[i].second.grad());
          is_matrix.push_back(named[i].second.dim() > 1);
        } else {
          gradients[i] = gradients[i] + named[i].second.grad();
        }
      }
    }
    ClipGradNorm(gradients, config_.max_grad_norm);
    std::vector<at::Tensor> matrices, vectors;
    for (size_t i = 0; i < gradients.size(); ++i) (is_matrix[i] ? matrices : vectors).push_back(gradients[i]);
    // Linear warm-up, then cosine to 2 % of the peak.
    const double progress = static_cast<double>(step) / config_.steps;
    const double warm = std::min(1.0, (step + 1.0) / std::max(1, config_.warmup_steps));
    const double factor = warm * (0.02 + 0.98 * 0.5 * (1 + std::cos(3.141592653589793 * progress)));
    matrices_.Step(matrices, factor);
    vectors_.Step(vectors, factor);
  }

  const PretrainConfig& config_;
  Qwen3Weights& weights_;
  AdamW matrices_;
  AdamW vectors_;
};

}  // namespace

absl::Status Pretrain(const PretrainConfig& config, const std::function<void(const PretrainProgress&)>& report) {
  EVILMOE_ASSIGN_OR_RETURN(const Tokenizer tokenizer, Tokenizer::Load(config.tokenizer));
  const std::optional<int32_t> end_of_turn = tokenizer.IdOf("<|im_end|>");
  if (!end_of_turn) return absl::InvalidArgumentError(absl::StrCat(config.tokenizer.string(), ": no token <|im_end|>"));
  if (!std::filesystem::exists(config.text))
    return absl::NotFoundError(absl::StrCat(config.text.string(), ": no such file"));
  Qwen3Config model = config.model;
  model.vocab_size = tokenizer.vocab_size();
  model.eos_ids = {*end_of_turn};
  std::error_code error;
  std::filesystem::create_directories(config.out, error);
  if (error) return absl::UnavailableError(absl::StrCat(config.out.string(), ": ", error.message()));
  at::set_num_threads(1);
  Qwen3Weights weights = InitQwen3(model, config.seed);
  Pretrainer pretrainer(config, weights);
  TextReader text(config, tokenizer, *end_of_turn);
  PretrainProgress progress;
  const auto start = std::chrono::steady_clock::now();
  double tokens = 0;
  for (int step = 0; step < config.steps; ++step) {
    EVILMOE_ASSIGN_OR_RETURN(const std::vector<Sequence> batch, text.NextBatch());
    EVILMOE_ASSIGN_OR_RETURN(const absl::StatusOr<double> stepped,
                             TorchGuard("pretraining", [&] { return pretrainer.Step(step, batch); }));
    EVILMOE_ASSIGN_OR_RETURN(const double loss, stepped);
    for (const Sequence& s : batch) tokens += static_cast<double>(s.prompt.size() + s.response.size());
    progress.loss = step == 0 ? loss : 0.98 * progress.loss + 0.02 * loss;
    progress.step = step + 1;
    progress.skipped = text.skipped();
    progress.tokens_per_second =
        tokens / std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    report(progress);
    if ((step + 1) % config.save_every == 0 || step + 1 == config.steps) {
      EVILMOE_RETURN_IF_ERROR(SaveQwen3(weights, config.dtype == "bfloat16" ? "BF16" : "F32", config.out));
    }
  }
  return absl::OkStatus();
}

}  // namespace evilmoe
