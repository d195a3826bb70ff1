#include "policy/sampler/sampler.h"

#include <algorithm>
#include <deque>
#include <new>

#include "absl/strings/str_cat.h"
#include "common/seed.h"
#include "common/status_macros.h"
#include "policy/sampler/batch_forward.h"
#include "policy/sampler/fast_token_sampler.h"

namespace evilmoe {
namespace {

// Prompt positions that go through the network together.
constexpr int64_t kPrefillRows = 256;

int64_t HeadLength(const SampleGroup& group) { return static_cast<int64_t>(group.prompt_ids.size()) - 1; }
int64_t PromptBlocks(const SampleGroup& group) { return KvPool::BlocksFor(HeadLength(group)); }
// Inputs of a completion: the prompt's last token, and all that were drawn but the last.
int64_t CompletionBlocks(const SampleGroup& group) { return KvPool::BlocksFor(group.settings.max_tokens); }

// A group on its way. Its prompt's positions live as long as a sample of it waits or runs.
struct Group {
  SampleGroup spec;
  KvStream prompt;  // all but the last token
  bool has_prompt = false;
  int next_sample = 0;  // the first that has not started
  int num_running = 0;
};

struct Running {
  std::shared_ptr<Group> group;
  FinishedSample out;
  uint64_t seed = 0;
  int32_t next_input = 0;
  KvStream completion;
};

absl::Status CheckShapes(const SamplerModels& models, const KvPool& pool) {
  for (const auto& model : {models.prompt, models.completion}) {
    const Qwen3Config& c = model->config();
    const KvShape& shape = pool.shape();
    if (shape.num_layers != c.num_layers || shape.num_kv_heads != c.num_kv_heads || shape.head_dim != c.head_dim) {
      return absl::InvalidArgumentError(
          absl::StrCat("sampler: a cache of ", shape.num_layers, " layers, ", shape.num_kv_heads, " heads of ",
                       shape.head_dim, ", the model has ", c.num_layers, ", ", c.num_kv_heads, " and ", c.head_dim));
    }
  }
  return absl::OkStatus();
}

}  // namespace

class Sampler::Impl {
 public:
  Impl(SamplerModels models, std::shared_ptr<KvPool> pool, const SamplerOptions& options)
      : models_(std::move(models)),
        options_(options),
        pool_(std::move(pool)),
        forward_(BestKernels(), *pool_, options.threads),
        drawer_(BestKernels()) {}

  ~Impl() {
    // The pool outlives this, and a group that waits for its next sample may hold a prompt in it.
    for (const std::shared_ptr<Group>& group : waiting_) {
      group->next_sample = group->spec.num_samples;
      ReleaseIfDone(*group);
    }
    while (!running_.empty()) End(running_.size() - 1);
  }

  absl::Status Add(const SampleGroup& group) {
    EVILMOE_RETURN_IF_ERROR(ValidateGroup(group, models_.completion->config()));
    const int64_t blocks = PromptBlocks(group) + CompletionBlocks(group);
    if (blocks > pool_->num_blocks()) {
      const int64_t block_bytes = KvPool::BlockBytes(pool_->shape());
      return absl::ResourceExhaustedError(absl::StrCat("KV cache: one sample may need ", blocks * block_bytes,
                                                       " bytes, the budget is ", pool_->num_blocks() * block_bytes));
    }
    auto waiting = std::make_shared<Group>();
    waiting->spec = group;
    waiting_.push_back(std::move(waiting));
    return absl::OkStatus();
  }

  void Cancel(int64_t tag) {
    std::erase_if(waiting_, [&](const auto& group) {
      if (group->spec.tag != tag) return false;
      group->next_sample = group->spec.num_samples;
      ReleaseIfDone(*group);
      return true;
    });
    for (size_t i = running_.size(); i-- > 0;) {
      if (running_[i].group->spec.tag == tag) End(i);
    }
  }

  int num_running() const { return static_cast<int>(running_.size()); }
  int num_waiting() const {
    int count = 0;
    for (const auto& group : waiting_) count += group->spec.num_samples - group->next_sample;
    return count;
  }

  absl::StatusOr<std::vector<FinishedSample>> Step() try {
    Admit();
    if (running_.empty()) return std::vector<FinishedSample>{};
    const float* logits = Decode();
    return Draw(logits);
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("sampler: out of memory");
  }

 private:
  // In order: one that does not fit yet keeps the others waiting, so that none starves.
  void Admit() {
    while (!waiting_.empty() && num_running() < options_.max_running) {
      const std::shared_ptr<Group> group = waiting_.front();
      const int64_t prompt_blocks = group->has_prompt ? 0 : PromptBlocks(group->spec);
      if (!pool_->TryReserve(prompt_blocks + CompletionBlocks(group->spec))) {
        // Samplers that share a pool must not wait for each other while they sit on prompts that nobody runs.
        if (group->num_running == 0) ReleasePrompt(*group);
        return;
      }
      if (!group->has_prompt) ForwardPrompt(*group);
      Start(group);
      if (group->next_sample == group->spec.num_samples) waiting_.pop_front();
    }
  }

  void ForwardPrompt(Group& group) {
    group.has_prompt = true;
    const int64_t length = HeadLength(group.spec);
    pool_->Grow(group.prompt, length);
    for (int64_t begin = 0; begin < length; begin += kPrefillRows) {
      rows_.clear();
      for (int64_t t = begin; t < std::min(length, begin + kPrefillRows); ++t) {
        rows_.push_back({.id = group.spec.prompt_ids[static_cast<size_t>(t)],
                         .w = static_cast<float>(group.spec.prompt_w),
                         .own = &group.prompt,
                         .own_index = t});
      }
      forward_.Fill(*models_.prompt, rows_);
    }
    group.prompt.length = length;
  }

  void Start(const std::shared_ptr<Group>& group) {
    Running sample;
    sample.group = group;
    sample.out.tag = group->spec.tag;
    sample.out.sample = group->next_sample++;
    sample.seed = SampleSeed(group->spec, sample.out.sample);
    sample.next_input = group->spec.prompt_ids.back();
    ++group->num_running;
    running_.push_back(std::move(sample));
  }

  const float* Decode() {
    rows_.clear();
    for (Running& sample : running_) {
      pool_->Grow(sample.completion, sample.completion.length + 1);
      rows_.push_back({.id = sample.next_input,
                       .w = static_cast<float>(sample.group->spec.completion_w),
                       .own = &sample.completion,
                       .own_index = sample.completion.length,
                       .prefix = sample.group->prompt.length > 0 ? &sample.group->prompt : nullptr});
    }
    forward_.Run(*models_.completion, rows_);
    for (Running& sample : running_) ++sample.completion.length;
    return forward_.Logits(*models_.completion);
  }

  absl::StatusOr<std::vector<FinishedSample>> Draw(const float* logits) {
    const auto vocabulary = static_cast<size_t>(models_.completion->config().vocab_size);
    std::vector<size_t> ended;
    for (size_t i = 0; i < running_.size(); ++i) {
      Running& sample = running_[i];
      const std::span<const float> row(logits + static_cast<int64_t>(i) * forward_.logits_stride(), vocabulary);
      const SamplingSettings& settings = sample.group->spec.settings;
      const std::optional<SampledToken> token =
          drawer_.Sample(row, settings, CounterUniform(sample.seed, sample.out.ids.size()));
      if (!token) {
        return absl::InternalError(absl::StrCat("sampler: the logits of token ", sample.out.ids.size(), " of sample ",
                                                sample.out.sample, " of group ", sample.out.tag, " are not finite"));
      }
      sample.out.Append(*token);
      sample.next_input = token->id;
      if (HasEnded(sample.out, settings)) ended.push_back(i);
    }
    std::vector<FinishedSample> finished;
    for (const size_t i : ended) finished.push_back(std::move(running_[i].out));
    for (auto it = ended.rbegin(); it != ended.rend(); ++it) End(*it);
    return finished;
  }

  // Order is kept: the samples of a group stand together, which attention makes use of.
  void End(size_t i) {
    const std::shared_ptr<Group> group = running_[i].group;
    pool_->Release(running_[i].completion);
    pool_->Unreserve(CompletionBlocks(group->spec));
    running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(i));
    --group->num_running;
    ReleaseIfDone(*group);
  }

  void ReleaseIfDone(Group& group) {
    if (group.num_running == 0 && group.next_sample == group.spec.num_samples) ReleasePrompt(group);
  }

  void ReleasePrompt(Group& group) {
    if (!group.has_prompt) return;
    pool_->Release(group.prompt);
    pool_->Unreserve(PromptBlocks(group.spec));
    group.has_prompt = false;
  }

  const SamplerModels models_;
  const SamplerOptions options_;
  const std::shared_ptr<KvPool> pool_;
  BatchForward forward_;
  FastTokenSampler drawer_;
  std::deque<std::shared_ptr<Group>> waiting_;  // groups with samples that have not started
  std::vector<Running> running_;
  std::vector<ForwardRow> rows_;
};

absl::StatusOr<std::unique_ptr<Sampler>> Sampler::Create(SamplerModels models, std::shared_ptr<KvPool> pool,
                                                         const SamplerOptions& options) {
  EVILMOE_RETURN_IF_ERROR(CheckShapes(models, *pool));
  if (options.max_running < 1 || options.threads < 1) {
    return absl::InvalidArgumentError(absl::StrCat("sampler: ", options.max_running, " samples at a time, ",
                                                   options.threads, " threads, expected at least 1 of each"));
  }
  return std::unique_ptr<Sampler>(new Sampler(std::make_unique<Impl>(std::move(models), std::move(pool), options)));
}

Sampler::Sampler(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Sampler::~Sampler() = default;
absl::Status Sampler::Add(const SampleGroup& group) { return impl_->Add(group); }
void Sampler::Cancel(int64_t tag) { impl_->Cancel(tag); }
int Sampler::num_running() const { return impl_->num_running(); }
int Sampler::num_waiting() const { return impl_->num_waiting(); }
absl::StatusOr<std::vector<FinishedSample>> Sampler::Step() { return impl_->Step(); }

}  // namespace evilmoe
