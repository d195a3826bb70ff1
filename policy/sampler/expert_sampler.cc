#include "policy/sampler/expert_sampler.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <deque>
#include <list>
#include <optional>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/seed.h"
#include "common/status_macros.h"
#include "policy/mixlora_forward.h"
#include "policy/packed_batch.h"
#include "policy/qwen3.h"
#include "policy/sampler/fast_token_sampler.h"
#include "policy/torch_guard.h"

namespace evilmoe {
namespace {

// Legend: n running samples of a cohort, T positions that its cache has room for.

int64_t HeadLength(const SampleGroup& group) { return static_cast<int64_t>(group.prompt_ids.size()) - 1; }
// Inputs of a sample: the prompt, and all that are drawn but the last.
int64_t MaxPositions(const SampleGroup& group) { return HeadLength(group) + group.settings.max_tokens; }

int64_t SampleBytes(const ExpertModel& model, const SampleGroup& group) {
  const Qwen3Config& c = model.base.config;
  const auto element = static_cast<int64_t>(model.base.embedding.element_size());
  return MaxPositions(group) * c.num_layers * 2 * c.num_kv_heads * c.head_dim * element;
}

struct LayerCache {
  at::Tensor keys;  // (n, kv heads, T, d)
  at::Tensor values;
};

// Samples of one group that began together and so are all of one length.
class Cohort {
 public:
  Cohort(const ExpertModel& model, const SampleGroup& group, int first_sample, int count)
      : model_(model),
        group_(group),
        projector_(model.adapter, /*balance_gradient=*/0),
        bytes_(count * SampleBytes(model, group)) {
    for (int i = first_sample; i < first_sample + count; ++i) {
      samples_.push_back({.tag = group.tag, .sample = i});
    }
    ForwardPrompt();
  }

  int64_t tag() const { return group_.tag; }
  int64_t bytes() const { return bytes_; }
  int num_running() const { return static_cast<int>(samples_.size()); }

  // Logits after each running sample's last token: (n, V), fp32.
  at::Tensor Decode() {
    std::vector<int64_t> ids;
    for (const FinishedSample& sample : samples_) {
      ids.push_back(sample.ids.empty() ? group_.prompt_ids.back() : sample.ids.back());
    }
    PackedBatch batch;
    batch.ids_N = at::tensor(ids, at::kLong);
    batch.positions_N = at::full_like(batch.ids_N, length_);
    const auto attend = [this](int layer, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
      return Attend(caches_[static_cast<size_t>(layer)], q, k, v);
    };
    const at::Tensor hidden = Qwen3Hidden(model_.base, batch, projector_, {.attend = attend});
    ++length_;
    return at::linear(hidden, model_.base.head).to(at::kFloat).contiguous();
  }

  // Appends a token to each running sample; those that ended with it leave into `ended`.
  absl::Status Draw(const at::Tensor& logits, FastTokenSampler& drawer, std::vector<FinishedSample>& ended) {
    const auto vocabulary = static_cast<size_t>(logits.size(1));
    std::vector<int64_t> alive;
    std::vector<FinishedSample> running;
    for (size_t i = 0; i < samples_.size(); ++i) {
      FinishedSample& sample = samples_[i];
      const std::span<const float> row(logits.const_data_ptr<float>() + i * vocabulary, vocabulary);
      const std::optional<SampledToken> token =
          drawer.Sample(row, group_.settings, CounterUniform(SampleSeed(group_, sample.sample), sample.ids.size()));
      if (!token) {
        return absl::InternalError(absl::StrCat("sampler: the logits of token ", sample.ids.size(), " of sample ",
                                                sample.sample, " of group ", group_.tag, " are not finite"));
      }
      sample.Append(*token);
      if (HasEnded(sample, group_.settings)) {
        ended.push_back(std::move(sample));
      } else {
        alive.push_back(static_cast<int64_t>(i));
        running.push_back(std::move(sample));
      }
    }
    if (alive.size() < samples_.size()) KeepRows(alive);
    samples_ = std::move(running);
    return absl::OkStatus();
  }

 private:
  // Forwards the prompt but its last token, and gives each sample a copy of what the cache keeps of it.
  void ForwardPrompt() {
    const Qwen3Config& c = model_.base.config;
    length_ = HeadLength(group_);
    std::vector<LayerKeysValues> prompt;
    if (length_ > 0) {
      const std::vector<int32_t> head(group_.prompt_ids.begin(), group_.prompt_ids.end() - 1);
      Qwen3Hidden(model_.base, Pack({{.ids = head}}), projector_, {.keys_values = &prompt});
    }
    const auto fill = [&](const at::Tensor& of_prompt) {
      const at::Tensor cache =
          at::empty({num_running(), c.num_kv_heads, MaxPositions(group_), c.head_dim}, model_.base.embedding.options());
      if (of_prompt.defined()) cache.narrow(2, 0, length_).copy_(of_prompt.transpose(0, 1).unsqueeze(0));
      return cache;
    };
    prompt.resize(static_cast<size_t>(c.num_layers));
    for (const LayerKeysValues& layer : prompt) caches_.push_back({fill(layer.keys), fill(layer.values)});
  }

  // q (n, heads, d), k and v (n, kv heads, d) of the next position -> (n, heads · d).
  at::Tensor Attend(const LayerCache& cache, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) const {
    cache.keys.select(2, length_).copy_(k);
    cache.values.select(2, length_).copy_(v);
    const at::Tensor out = at::scaled_dot_product_attention(
        q.unsqueeze(2), cache.keys.narrow(2, 0, length_ + 1), cache.values.narrow(2, 0, length_ + 1), std::nullopt,
        /*dropout_p=*/0.0, /*is_causal=*/false, /*scale=*/std::nullopt, /*enable_gqa=*/true);
    return out.reshape({q.size(0), q.size(1) * q.size(2)});
  }

  void KeepRows(const std::vector<int64_t>& alive) {
    const at::Tensor index = at::tensor(alive, at::kLong);
    for (LayerCache& cache : caches_) {
      cache = {cache.keys.index_select(0, index), cache.values.index_select(0, index)};
    }
  }

  const ExpertModel& model_;
  const SampleGroup group_;
  MixLoraProjector projector_;
  const int64_t bytes_;
  std::vector<FinishedSample> samples_;
  std::vector<LayerCache> caches_;
  int64_t length_ = 0;  // positions in the caches
};

}  // namespace

class ExpertSampler::Impl {
 public:
  Impl(std::shared_ptr<const ExpertModel> model, const ExpertSamplerOptions& options)
      : model_(std::move(model)), options_(options), drawer_(BestKernels()) {}

  absl::Status Add(const SampleGroup& group) {
    EVILMOE_RETURN_IF_ERROR(ValidateGroup(group, model_->base.config));
    if (const int64_t bytes = SampleBytes(*model_, group); bytes > options_.kv_budget_bytes) {
      return absl::ResourceExhaustedError(
          absl::StrCat("KV cache: one sample may need ", bytes, " bytes, the budget is ", options_.kv_budget_bytes));
    }
    waiting_.push_back({group});
    return absl::OkStatus();
  }

  void Cancel(int64_t tag) {
    std::erase_if(waiting_, [&](const Waiting& group) { return group.spec.tag == tag; });
    cohorts_.remove_if([&](const Cohort& cohort) { return cohort.tag() == tag; });
  }

  int num_running() const {
    int count = 0;
    for (const Cohort& cohort : cohorts_) count += cohort.num_running();
    return count;
  }
  int num_waiting() const {
    int count = 0;
    for (const Waiting& group : waiting_) count += group.spec.num_samples - group.next_sample;
    return count;
  }
  PrefixUse TakePrefixUse() { return std::exchange(prefix_use_, {}); }

  absl::StatusOr<std::vector<FinishedSample>> Step() {
    const c10::NoGradGuard no_grad;
    EVILMOE_RETURN_IF_ERROR(TorchGuard("sampler", [&] {
                              Admit();
                              return true;
                            }).status());
    std::vector<FinishedSample> ended;
    for (Cohort& cohort : cohorts_) {
      EVILMOE_ASSIGN_OR_RETURN(const at::Tensor logits, TorchGuard("sampler", [&] { return cohort.Decode(); }));
      EVILMOE_RETURN_IF_ERROR(cohort.Draw(logits, drawer_, ended));
    }
    cohorts_.remove_if([](const Cohort& cohort) { return cohort.num_running() == 0; });
    return ended;
  }

 private:
  struct Waiting {
    SampleGroup spec;
    int next_sample = 0;
  };

  // A function of the group and the options alone, as what is forwarded together decides the last bits.
  int Chunk(const Waiting& group) const {
    const int64_t fit = options_.kv_budget_bytes / SampleBytes(*model_, group.spec);
    const auto most = static_cast<int>(std::min<int64_t>(options_.max_running, fit));
    return std::min(most, group.spec.num_samples - group.next_sample);
  }

  // In order: one that does not fit yet keeps the others waiting, so that none starves.
  void Admit() {
    while (!waiting_.empty()) {
      Waiting& group = waiting_.front();
      const int count = Chunk(group);
      int64_t bytes = count * SampleBytes(*model_, group.spec);
      for (const Cohort& cohort : cohorts_) bytes += cohort.bytes();
      if (num_running() + count > options_.max_running || bytes > options_.kv_budget_bytes) return;
      cohorts_.emplace_back(*model_, group.spec, group.next_sample, count);
      prefix_use_.needed += HeadLength(group.spec) * count;
      prefix_use_.found += HeadLength(group.spec) * (count - 1);
      group.next_sample += count;
      if (group.next_sample == group.spec.num_samples) waiting_.pop_front();
    }
  }

  const std::shared_ptr<const ExpertModel> model_;
  const ExpertSamplerOptions options_;
  FastTokenSampler drawer_;
  std::deque<Waiting> waiting_;  // groups with samples that have not started
  std::list<Cohort> cohorts_;
  PrefixUse prefix_use_;
};

absl::StatusOr<std::unique_ptr<ExpertSampler>> ExpertSampler::Create(std::shared_ptr<const ExpertModel> model,
                                                                     const ExpertSamplerOptions& options) {
  if (options.max_running < 1 || options.kv_budget_bytes < 1) {
    return absl::InvalidArgumentError(absl::StrCat("sampler: ", options.max_running, " samples at a time, ",
                                                   options.kv_budget_bytes,
                                                   " bytes of cache, expected at least 1 of each"));
  }
  return std::unique_ptr<ExpertSampler>(new ExpertSampler(std::make_unique<Impl>(std::move(model), options)));
}

ExpertSampler::ExpertSampler(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ExpertSampler::~ExpertSampler() = default;
absl::Status ExpertSampler::Add(const SampleGroup& group) { return impl_->Add(group); }
void ExpertSampler::Cancel(int64_t tag) { impl_->Cancel(tag); }
int ExpertSampler::num_running() const { return impl_->num_running(); }
int ExpertSampler::num_waiting() const { return impl_->num_waiting(); }
PrefixUse ExpertSampler::TakePrefixUse() { return impl_->TakePrefixUse(); }
absl::StatusOr<std::vector<FinishedSample>> ExpertSampler::Step() { return impl_->Step(); }

}  // namespace evilmoe
