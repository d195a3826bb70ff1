#include "policy/sampler/sampler.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/seed.h"
#include "common/status_macros.h"
#include "policy/packed_batch.h"
#include "policy/qwen3.h"
#include "policy/sampler/decode_attention.h"
#include "policy/torch_guard.h"

namespace evilmoe {
namespace {

// GEMMs of fewer rows take another kernel, with other bits: such batches are padded to this many rows.
constexpr int64_t kMinRows = 4;

// One running sample. Its slot in the cache is its position in the list of running samples.
struct Running {
  FinishedSample out;
  uint64_t seed = 0;
  SamplingSettings settings;
  int32_t next_input = 0;
  int64_t length = 0;  // positions in the cache
};

struct LayerCache {
  at::Tensor keys;  // (slots, kv heads, max_length, head_dim)
  at::Tensor values;
};

absl::Status Validate(const SampleGroup& group, const Qwen3Config& config, int64_t max_length) {
  if (group.prompt_ids.empty()) return absl::InvalidArgumentError("prompt: empty, expected at least one token");
  for (const int32_t id : group.prompt_ids) {
    if (id < 0 || id >= config.vocab_size) {
      return absl::InvalidArgumentError(absl::StrCat("prompt: token ", id, ", expected 0 to ", config.vocab_size - 1));
    }
  }
  const SamplingSettings& s = group.settings;
  if (!(s.temperature > 0))
    return absl::InvalidArgumentError(absl::StrCat("temperature: ", s.temperature, ", expected > 0"));
  if (!(s.top_p > 0 && s.top_p <= 1))
    return absl::InvalidArgumentError(absl::StrCat("top_p: ", s.top_p, ", expected (0, 1]"));
  if (s.top_k < 0) return absl::InvalidArgumentError(absl::StrCat("top_k: ", s.top_k, ", expected >= 0"));
  if (s.max_tokens < 1)
    return absl::InvalidArgumentError(absl::StrCat("max_tokens: ", s.max_tokens, ", expected >= 1"));
  if (group.num_samples < 1)
    return absl::InvalidArgumentError(absl::StrCat("num_samples: ", group.num_samples, ", expected >= 1"));
  const int64_t length = static_cast<int64_t>(group.prompt_ids.size()) + s.max_tokens;
  if (length > max_length) {
    return absl::InvalidArgumentError(
        absl::StrCat("prompt and completion: ", length, " tokens, expected at most ", max_length));
  }
  return absl::OkStatus();
}

}  // namespace

class Sampler::Impl {
 public:
  Impl(std::shared_ptr<const Qwen3Weights> prompt, std::shared_ptr<const Qwen3Weights> completion, int max_slots,
       int64_t max_length)
      : prompt_weights_(std::move(prompt)),
        weights_(std::move(completion)),
        max_slots_(max_slots),
        max_length_(max_length) {
    const Qwen3Config& c = weights_->config;
    for (int layer = 0; layer < c.num_layers; ++layer) {
      const auto shape = std::vector<int64_t>{max_slots, c.num_kv_heads, max_length, c.head_dim};
      cache_.push_back({at::empty(shape, at::kFloat), at::empty(shape, at::kFloat)});
    }
    rotary_ = Rotary(c, at::arange(max_length, at::kLong));
  }

  int free_slots() const { return max_slots_ - static_cast<int>(running_.size()); }
  bool idle() const { return running_.empty(); }

  absl::Status Add(const SampleGroup& group) {
    EVILMOE_RETURN_IF_ERROR(Validate(group, weights_->config, max_length_));
    if (group.num_samples > free_slots()) {
      return absl::ResourceExhaustedError(
          absl::StrCat("sampler: ", group.num_samples, " samples, ", free_slots(), " slots free"));
    }
    return TorchGuard("prompt pass",
                      [&] {
                        Prefill(group);
                        return true;
                      })
        .status();
  }

  absl::StatusOr<std::vector<FinishedSample>> Step() {
    if (running_.empty()) return std::vector<FinishedSample>{};
    EVILMOE_ASSIGN_OR_RETURN(const at::Tensor logits, TorchGuard("decode", [&] { return Decode(); }));
    return Draw(logits);
  }

 private:
  void Prefill(const SampleGroup& group) {
    const c10::InferenceMode inference;
    const std::vector<int32_t> head(group.prompt_ids.begin(), group.prompt_ids.end() - 1);
    const auto first = static_cast<int64_t>(running_.size());
    if (!head.empty()) {
      std::vector<LayerKeysValues> layers;
      PlainProjector plain;
      Qwen3Hidden(*prompt_weights_, Pack({Segment{.ids = head}}), plain, {.keys_values = &layers});
      const auto length = static_cast<int64_t>(head.size());
      for (size_t l = 0; l < layers.size(); ++l) {
        // (T, kv heads, d) -> (1, kv heads, T, d), copied into each sample's slot.
        cache_[l]
            .keys.narrow(0, first, group.num_samples)
            .narrow(2, 0, length)
            .copy_(layers[l].keys.transpose(0, 1).unsqueeze(0));
        cache_[l]
            .values.narrow(0, first, group.num_samples)
            .narrow(2, 0, length)
            .copy_(layers[l].values.transpose(0, 1).unsqueeze(0));
      }
    }
    for (int i = 0; i < group.num_samples; ++i) {
      Running sample;
      sample.out.tag = group.tag;
      sample.out.sample = i;
      sample.seed = StreamSeed(group.seed, "sample", static_cast<uint64_t>(i));
      sample.settings = group.settings;
      sample.next_input = group.prompt_ids.back();
      sample.length = static_cast<int64_t>(head.size());
      running_.push_back(std::move(sample));
    }
  }

  // Logits of every running sample's next token: (rows, V), rows >= running.
  at::Tensor Decode() {
    const c10::InferenceMode inference;
    const auto n = static_cast<int64_t>(running_.size());
    const int64_t rows = std::max(n, kMinRows);
    std::vector<int64_t> inputs(static_cast<size_t>(rows)), positions(static_cast<size_t>(rows));
    std::vector<int64_t> lengths;
    for (size_t i = 0; i < running_.size(); ++i) {
      inputs[i] = running_[i].next_input;
      positions[i] = running_[i].length++;
      lengths.push_back(running_[i].length);
    }
    const at::Tensor position = at::tensor(positions, at::kLong);
    const RotaryTables rotary{rotary_.cos.index_select(0, position), rotary_.sin.index_select(0, position)};
    at::Tensor x = at::embedding(weights_->embedding, at::tensor(inputs, at::kLong));
    for (int layer = 0; layer < weights_->config.num_layers; ++layer) x = DecodeLayer(layer, x, rotary, lengths);
    const at::Tensor hidden = Norm(x, weights_->final_norm);
    return at::linear(hidden, weights_->head).contiguous();
  }

  at::Tensor DecodeLayer(int index, const at::Tensor& x, const RotaryTables& rotary,
                         const std::vector<int64_t>& lengths) {
    const LayerWeights& layer = weights_->layers[static_cast<size_t>(index)];
    const auto map = [&](Linear linear, const at::Tensor& input) {
      return at::linear(input, layer.linears[static_cast<size_t>(linear)]);
    };
    const at::Tensor attended = x + map(Linear::kOutput, Attend(index, Norm(x, layer.input_norm), rotary, lengths));
    const at::Tensor normed = Norm(attended, layer.attention_norm);
    return attended + map(Linear::kDown, at::silu(map(Linear::kGate, normed)) * map(Linear::kUp, normed));
  }

  at::Tensor Attend(int index, const at::Tensor& x, const RotaryTables& rotary, const std::vector<int64_t>& lengths) {
    const Qwen3Config& c = weights_->config;
    const LayerWeights& layer = weights_->layers[static_cast<size_t>(index)];
    const int64_t rows = x.size(0);
    const auto heads = [&](Linear linear, int64_t count) {
      return at::linear(x, layer.linears[static_cast<size_t>(linear)]).view({rows, count, c.head_dim});
    };
    const at::Tensor q = ApplyRotary(Norm(heads(Linear::kQuery, c.num_heads), layer.query_norm), rotary).contiguous();
    const at::Tensor k = ApplyRotary(Norm(heads(Linear::kKey, c.num_kv_heads), layer.key_norm), rotary).contiguous();
    const at::Tensor v = heads(Linear::kValue, c.num_kv_heads).contiguous();
    LayerCache& cache = cache_[static_cast<size_t>(index)];
    Store(cache.keys, k, lengths);
    Store(cache.values, v, lengths);
    at::Tensor out = at::zeros({rows, c.num_heads * c.head_dim}, at::kFloat);
    DecodeAttention({cache.keys.const_data_ptr<float>(), cache.values.const_data_ptr<float>(), c.num_kv_heads,
                     max_length_, c.head_dim},
                    q.const_data_ptr<float>(), c.num_heads, lengths, out.mutable_data_ptr<float>());
    return out;
  }

  // Row s of `fresh` (rows, kv heads, d) becomes position lengths[s] − 1 of slot s.
  void Store(at::Tensor& cache, const at::Tensor& fresh, const std::vector<int64_t>& lengths) const {
    const Qwen3Config& c = weights_->config;
    const float* from = fresh.const_data_ptr<float>();
    float* to = cache.mutable_data_ptr<float>();
    for (size_t s = 0; s < lengths.size(); ++s) {
      for (int64_t h = 0; h < c.num_kv_heads; ++h) {
        const int64_t row = static_cast<int64_t>(s) * c.num_kv_heads + h;
        std::copy_n(from + row * c.head_dim, c.head_dim, to + (row * max_length_ + lengths[s] - 1) * c.head_dim);
      }
    }
  }

  std::vector<FinishedSample> Draw(const at::Tensor& logits) {
    const int64_t vocab = logits.size(1);
    const float* data = logits.const_data_ptr<float>();
    std::vector<FinishedSample> finished;
    std::vector<size_t> ended;
    for (size_t i = 0; i < running_.size(); ++i) {
      Running& sample = running_[i];
      const std::span<const float> row(data + static_cast<int64_t>(i) * vocab, static_cast<size_t>(vocab));
      const double uniform = CounterUniform(sample.seed, sample.out.ids.size());
      const SampledToken token = SampleToken(row, sample.settings, uniform);
      sample.out.ids.push_back(token.id);
      sample.out.logprobs.push_back(token.logprob);
      sample.next_input = token.id;
      const std::vector<int32_t>& stops = sample.settings.stop_ids;
      sample.out.stopped = std::find(stops.begin(), stops.end(), token.id) != stops.end();
      if (sample.out.stopped || sample.out.ids.size() >= static_cast<size_t>(sample.settings.max_tokens))
        ended.push_back(i);
    }
    // From the back, so that the slot that moves into a hole is never itself an ended one.
    for (auto it = ended.rbegin(); it != ended.rend(); ++it) finished.push_back(Remove(*it));
    std::reverse(finished.begin(), finished.end());
    return finished;
  }

  // The last slot moves into the freed one, so running samples always fill the first slots.
  FinishedSample Remove(size_t i) {
    FinishedSample out = std::move(running_[i].out);
    const size_t last = running_.size() - 1;
    if (i != last) {
      const c10::InferenceMode inference;
      const int64_t length = running_[last].length;
      for (LayerCache& cache : cache_) {
        for (at::Tensor* t : {&cache.keys, &cache.values}) {
          t->select(0, static_cast<int64_t>(i))
              .narrow(1, 0, length)
              .copy_(t->select(0, static_cast<int64_t>(last)).narrow(1, 0, length));
        }
      }
      running_[i] = std::move(running_[last]);
    }
    running_.pop_back();
    return out;
  }

  at::Tensor Norm(const at::Tensor& x, const at::Tensor& weight) const {
    return at::rms_norm(x, {x.size(-1)}, weight, weights_->config.rms_norm_eps);
  }

  const std::shared_ptr<const Qwen3Weights> prompt_weights_;
  const std::shared_ptr<const Qwen3Weights> weights_;
  const int max_slots_;
  const int64_t max_length_;
  RotaryTables rotary_;  // of every position
  std::vector<LayerCache> cache_;
  std::vector<Running> running_;
};

Sampler::Sampler(std::shared_ptr<const Qwen3Weights> prompt_weights,
                 std::shared_ptr<const Qwen3Weights> completion_weights, int max_slots, int64_t max_length)
    : impl_(std::make_unique<Impl>(std::move(prompt_weights), std::move(completion_weights), max_slots, max_length)) {}
Sampler::~Sampler() = default;
absl::Status Sampler::Add(const SampleGroup& group) { return impl_->Add(group); }
int Sampler::free_slots() const { return impl_->free_slots(); }
bool Sampler::idle() const { return impl_->idle(); }
absl::StatusOr<std::vector<FinishedSample>> Sampler::Step() { return impl_->Step(); }

}  // namespace evilmoe
