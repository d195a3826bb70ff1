#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <chrono>
#include <deque>
#include <istream>
#include <map>
#include <optional>
#include <ostream>

#include "absl/strings/str_format.h"
#include "common/json_lines.h"
#include "common/message.h"
#include "common/seed.h"
#include "common/status_macros.h"
#include "policy/chat_template.h"
#include "policy/sampler/reference_sampler.h"
#include "policy/sampler/sampler.h"
#include "policy/tokenizer.h"
#include "policy/torch_guard.h"
#include "rollout_workers/offline_verbs.h"

namespace evilmoe {
namespace {

using nlohmann::json;

// Lets go of the weights as soon as they are packed.
absl::StatusOr<SamplerModels> PackModels(LoadedPolicy policy, const PolicySource& source, bool unmerged) {
  SamplerModels models;
  Qwen3Weights to_pack = policy.weights;
  if (policy.adapter == nullptr || unmerged) policy.weights = {};
  EVILMOE_ASSIGN_OR_RETURN(models.prompt, PackedModel::Create(std::move(to_pack), source.format));
  models.completion = models.prompt;
  if (policy.adapter == nullptr) return models;
  if (unmerged) {
    EVILMOE_ASSIGN_OR_RETURN(models.prompt, PackedModel::WithAdapter(*models.completion, *policy.adapter));
    models.completion = models.prompt;
    return models;
  }
  const std::shared_ptr<const PackedModel> base = models.prompt;
  const auto merged = [&](double w) -> absl::StatusOr<std::shared_ptr<const PackedModel>> {
    EVILMOE_ASSIGN_OR_RETURN(Qwen3Weights weights, TorchGuard("merging the adapter", [&] {
                               return Merge(policy.weights, *policy.adapter, w);
                             }));
    return PackedModel::WithLinears(*base, std::move(weights));
  };
  EVILMOE_ASSIGN_OR_RETURN(models.completion, merged(source.w));
  models.prompt = models.completion;
  if (!source.scope_all && source.w != 0) {
    EVILMOE_ASSIGN_OR_RETURN(models.prompt, merged(0));
  }
  return models;
}

absl::StatusOr<std::vector<int32_t>> PromptIdsOf(const std::string& text, const Tokenizer& tokenizer, bool thinking,
                                                 int64_t vocab_size) {
  EVILMOE_ASSIGN_OR_RETURN(const json line, ParseJsonLine(text));
  if (line.contains("ids")) return ReadIds(line, "ids", vocab_size);
  if (line.contains("prompt") && line["prompt"].is_string()) return tokenizer.Encode(line["prompt"].get<std::string>());
  if (!line.contains("messages")) return absl::InvalidArgumentError("expected one of ids, prompt, messages");
  EVILMOE_ASSIGN_OR_RETURN(const std::vector<Message> messages, ReadMessages(line["messages"]));
  EVILMOE_ASSIGN_OR_RETURN(const std::string rendered, RenderChat(messages, {.thinking = thinking}));
  return tokenizer.Encode(rendered);
}

// One line of input on its way: its answers are written when all lines before it were.
struct PendingLine {
  int64_t number = 0;
  absl::Status error = absl::OkStatus();
  std::map<int, FinishedSample> finished;
  bool done = false;
};

class Generator {
 public:
  Generator(const GenerateOptions& options, const PolicySource& source, const Qwen3Config& config, Tokenizer tokenizer,
            std::ostream& out)
      : options_(options), source_(source), config_(config), tokenizer_(std::move(tokenizer)), out_(out) {
    settings_ = options.sampling;
    settings_.stop_ids.clear();
    if (options.ignore_eos) return;
    settings_.stop_ids = config.eos_ids;
    if (const auto end = tokenizer_.IdOf("<|im_end|>")) settings_.stop_ids.push_back(*end);
  }

  // Samples of all lines ride in one batch; as many lines are read ahead as it has room for.
  absl::Status Run(std::istream& in, Sampler& sampler) {
    while (in || !sampler.idle()) {
      while (in && (sampler.idle() || HasRoom(sampler, in))) {
        std::optional<SampleGroup> group = ReadLine(in);
        if (!group) continue;
        const absl::Status added = sampler.Add(*group);
        if (!added.ok()) Fail(lines_.back(), added);
      }
      WriteFinished();
      EVILMOE_ASSIGN_OR_RETURN(std::vector<FinishedSample> ended, sampler.Step());
      for (FinishedSample& sample : ended) Take(std::move(sample));
      WriteFinished();
    }
    return absl::OkStatus();
  }

  absl::Status RunReference(std::istream& in, const LoadedPolicy& policy) {
    while (in) {
      const std::optional<SampleGroup> group = ReadLine(in);
      if (group) {
        absl::StatusOr<std::vector<FinishedSample>> samples =
            SampleReference(policy.weights, policy.adapter.get(), *group);
        if (!samples.ok()) Fail(lines_.back(), samples.status());
        if (samples.ok()) {
          for (FinishedSample& sample : *samples) Take(std::move(sample));
        }
      }
      WriteFinished();
    }
    return absl::OkStatus();
  }

  int64_t num_tokens() const { return num_tokens_; }
  bool all_good() const { return all_good_; }

 private:
  // Only what can be read at once: somebody may type, and wait for an answer before the next line.
  bool HasRoom(const Sampler& sampler, std::istream& in) const {
    return sampler.num_running() + sampler.num_waiting() < options_.batch && in.rdbuf()->in_avail() > 0;
  }

  std::optional<SampleGroup> ReadLine(std::istream& in) {
    std::string text;
    if (!std::getline(in, text)) return std::nullopt;
    lines_.push_back({.number = ++num_lines_});
    SampleGroup group{.tag = num_lines_, .num_samples = options_.num_samples, .settings = settings_};
    group.seed = StreamSeed(options_.seed, "generate", static_cast<uint64_t>(num_lines_ - 1));
    group.completion_w = source_.w;
    group.prompt_w = source_.scope_all ? source_.w : 0;
    absl::StatusOr<std::vector<int32_t>> ids = PromptIdsOf(text, tokenizer_, options_.thinking, config_.vocab_size);
    if (!ids.ok()) {
      Fail(lines_.back(), ids.status());
      return std::nullopt;
    }
    group.prompt_ids = *std::move(ids);
    return group;
  }

  void Fail(PendingLine& line, const absl::Status& status) {
    line.error = status;
    line.done = true;
    all_good_ = false;
  }

  void Take(FinishedSample sample) {
    PendingLine& line = lines_[static_cast<size_t>(sample.tag - lines_.front().number)];
    num_tokens_ += static_cast<int64_t>(sample.ids.size());
    line.finished[sample.sample] = std::move(sample);
    line.done = line.finished.size() == static_cast<size_t>(options_.num_samples);
  }

  void WriteFinished() {
    while (!lines_.empty() && lines_.front().done) {
      const PendingLine& line = lines_.front();
      if (!line.error.ok()) WriteJsonLine(LineError(line.number, line.error), out_);
      for (const auto& [index, sample] : line.finished) WriteJsonLine(AnswerOf(sample), out_);
      out_.flush();
      lines_.pop_front();
    }
  }

  json AnswerOf(const FinishedSample& sample) const {
    std::vector<int32_t> body = sample.ids;
    if (sample.stopped) body.pop_back();
    json answer = {{"ids", sample.ids},
                   {"text", tokenizer_.Decode(body)},
                   {"logprobs", sample.logprobs},
                   {"finish_reason", sample.stopped ? "stop" : "length"}};
    if (options_.all_logprobs) {
      answer["logprobs_t1"] = sample.logprobs_t1;
      answer["logprobs_truncated"] = sample.logprobs_truncated;
    }
    return answer;
  }

  const GenerateOptions& options_;
  const PolicySource& source_;
  const Qwen3Config config_;
  const Tokenizer tokenizer_;
  std::ostream& out_;
  SamplingSettings settings_;
  std::deque<PendingLine> lines_;  // in order, without a gap
  int64_t num_lines_ = 0;
  int64_t num_tokens_ = 0;
  bool all_good_ = true;
};

absl::StatusOr<std::unique_ptr<Sampler>> MakeSampler(LoadedPolicy policy, const PolicySource& source,
                                                     const GenerateOptions& options) {
  EVILMOE_ASSIGN_OR_RETURN(SamplerModels models, PackModels(std::move(policy), source, options.unmerged));
  const Qwen3Config& c = models.completion->config();
  EVILMOE_ASSIGN_OR_RETURN(std::shared_ptr<KvPool> pool, KvPool::Create({static_cast<int>(c.num_layers), c.num_kv_heads,
                                                                         c.head_dim, options.kv_format},
                                                                        options.kv_cache_mib << 20));
  return Sampler::Create(std::move(models), std::move(pool), {.max_running = options.batch, .threads = source.threads});
}

}  // namespace

int RunGenerate(const PolicySource& source, const GenerateOptions& options, std::istream& in, std::ostream& out,
                std::ostream& errors) {
  absl::StatusOr<Tokenizer> tokenizer = Tokenizer::Load(source.model);
  if (!tokenizer.ok()) return FailVerb(tokenizer.status(), errors);
  absl::StatusOr<LoadedPolicy> policy = LoadPolicy(source);
  if (!policy.ok()) return FailVerb(policy.status(), errors);
  Generator generator(options, source, policy->weights.config, *std::move(tokenizer), out);
  std::unique_ptr<Sampler> sampler;
  if (!options.reference) {
    // The weights go with the policy once they are packed.
    absl::StatusOr<std::unique_ptr<Sampler>> made = MakeSampler(*std::move(policy), source, options);
    if (!made.ok()) return FailVerb(made.status(), errors);
    sampler = *std::move(made);
  }
  const auto start = std::chrono::steady_clock::now();
  const absl::Status done = sampler ? generator.Run(in, *sampler) : generator.RunReference(in, *policy);
  if (!done.ok()) return FailVerb(done, errors);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  errors << absl::StrFormat("%d tokens in %.2f s, %.0f tokens/s\n", generator.num_tokens(), seconds,
                            static_cast<double>(generator.num_tokens()) / std::max(seconds, 1e-9));
  return generator.all_good() ? 0 : 1;
}

}  // namespace evilmoe
