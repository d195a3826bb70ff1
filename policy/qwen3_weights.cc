#include "policy/qwen3_weights.h"

#include <ATen/ATen.h>

#include <cmath>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/file.h"
#include "common/seed.h"
#include "common/status_macros.h"
#include "policy/safetensors.h"
#include "policy/tensor_io.h"
#include "policy/torch_guard.h"

namespace evilmoe {
namespace {

// Calls visit(name, tensor, shape) for every parameter of the network in a fixed order.
template <typename Weights, typename Visit>
void ForEachParameter(Weights& w, Visit visit) {
  const Qwen3Config& c = w.config;
  visit("model.embed_tokens.weight", w.embedding, std::vector<int64_t>{c.vocab_size, c.hidden_size});
  for (size_t l = 0; l < w.layers.size(); ++l) {
    auto& layer = w.layers[l];
    const std::string prefix = absl::StrCat("model.layers.", l, ".");
    visit(prefix + "input_layernorm.weight", layer.input_norm, std::vector<int64_t>{c.hidden_size});
    visit(prefix + "post_attention_layernorm.weight", layer.attention_norm, std::vector<int64_t>{c.hidden_size});
    visit(prefix + "self_attn.q_norm.weight", layer.query_norm, std::vector<int64_t>{c.head_dim});
    visit(prefix + "self_attn.k_norm.weight", layer.key_norm, std::vector<int64_t>{c.head_dim});
    for (int i = 0; i < kNumLinears; ++i) {
      const auto [out, in] = LinearShape(c, static_cast<Linear>(i));
      visit(ModulePath({static_cast<int>(l), static_cast<Linear>(i)}) + ".weight", layer.linears[static_cast<size_t>(i)],
            std::vector<int64_t>{out, in});
    }
  }
  visit("model.norm.weight", w.final_norm, std::vector<int64_t>{c.hidden_size});
  if (!c.tie_word_embeddings) visit("lm_head.weight", w.head, std::vector<int64_t>{c.vocab_size, c.hidden_size});
}

}  // namespace

std::string LinearName(Linear linear) {
  static constexpr const char* kNames[kNumLinears] = {"q_proj",    "k_proj",  "v_proj",   "o_proj",
                                                      "gate_proj", "up_proj", "down_proj"};
  return kNames[static_cast<int>(linear)];
}

std::string ModulePath(ModuleId id) {
  const bool mlp = id.linear == Linear::kGate || id.linear == Linear::kUp || id.linear == Linear::kDown;
  return absl::StrCat("model.layers.", id.layer, mlp ? ".mlp." : ".self_attn.", LinearName(id.linear));
}

std::pair<int64_t, int64_t> LinearShape(const Qwen3Config& c, Linear linear) {
  const int64_t heads = c.num_heads * c.head_dim;
  const int64_t kv_heads = c.num_kv_heads * c.head_dim;
  switch (linear) {
    case Linear::kQuery: return {heads, c.hidden_size};
    case Linear::kKey:
    case Linear::kValue: return {kv_heads, c.hidden_size};
    case Linear::kOutput: return {c.hidden_size, heads};
    case Linear::kGate:
    case Linear::kUp: return {c.intermediate_size, c.hidden_size};
    case Linear::kDown: return {c.hidden_size, c.intermediate_size};
  }
  return {0, 0};
}

std::vector<std::pair<std::string, at::Tensor>> Qwen3Weights::Named() const {
  std::vector<std::pair<std::string, at::Tensor>> named;
  ForEachParameter(*this, [&](const std::string& name, const at::Tensor& tensor, const std::vector<int64_t>&) {
    named.emplace_back(name, tensor);
  });
  return named;
}

absl::StatusOr<Qwen3Weights> LoadQwen3(const std::filesystem::path& folder, const LoadOptions& options) {
  if (options.dtype != at::kFloat && options.dtype != at::kBFloat16) {
    return absl::InvalidArgumentError(
        absl::StrCat("dtype: ", c10::toString(options.dtype), ", expected Float or BFloat16"));
  }
  Qwen3Weights weights;
  EVILMOE_ASSIGN_OR_RETURN(weights.config, ReadQwen3Config(folder));
  EVILMOE_ASSIGN_OR_RETURN(const Safetensors file, Safetensors::OpenFolder(folder));
  weights.layers.resize(static_cast<size_t>(weights.config.num_layers));
  std::vector<std::string> problems;
  EVILMOE_RETURN_IF_ERROR(
      TorchGuard("loading weights", [&] {
        ForEachParameter(weights, [&](const std::string& name, at::Tensor& tensor, const std::vector<int64_t>& shape) {
          const TensorView* view = file.Find(name);
          if (view == nullptr) {
            problems.push_back(absl::StrCat(name, ": missing"));
          } else if (view->shape != shape) {
            problems.push_back(absl::StrCat(name, ": shape [", absl::StrJoin(view->shape, ", "), "], expected [",
                                            absl::StrJoin(shape, ", "), "]"));
          } else {
            tensor = options.map_file && options.device.is_cpu() ? MappedTensor(file, *view, options.dtype) : at::Tensor();
            if (tensor.defined()) return;
            tensor = ToTensor(*view, options.dtype, options.device);
            file.Discard(*view);
          }
        });
        return true;
      }).status());
  if (!problems.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(folder.string(), ": ", absl::StrJoin(problems, "; ")));
  }
  if (weights.config.tie_word_embeddings) weights.head = weights.embedding;
  return weights;
}

Qwen3Weights ConvertQwen3(const Qwen3Weights& weights, c10::ScalarType dtype, c10::Device device) {
  Qwen3Weights converted = weights;
  ForEachParameter(converted, [&](const std::string&, at::Tensor& tensor, const std::vector<int64_t>&) {
    tensor = tensor.to(device, dtype);
  });
  if (converted.config.tie_word_embeddings) converted.head = converted.embedding;
  return converted;
}

absl::Status SaveQwen3(const Qwen3Weights& weights, const std::string& dtype, const std::filesystem::path& folder) {
  std::map<std::string, at::Tensor> tensors;
  for (auto& [name, tensor] : weights.Named()) tensors[name] = tensor;
  EVILMOE_ASSIGN_OR_RETURN(const std::string bytes, SerializeTensors(tensors, {{"format", "pt"}}, dtype));
  EVILMOE_RETURN_IF_ERROR(WriteFileAtomic(folder / "model.safetensors", bytes));
  const std::string dtype_name = dtype == "BF16" ? "bfloat16" : "float32";
  return WriteFileAtomic(folder / "config.json", Qwen3ConfigToJson(weights.config, dtype_name).dump(2) + "\n");
}

at::Tensor NormalTensor(uint64_t seed, int64_t rows, int64_t columns, double deviation) {
  at::Tensor out = at::empty({rows, columns}, at::kFloat);
  float* data = out.mutable_data_ptr<float>();
  for (int64_t i = 0; i < rows * columns; ++i) {
    data[i] = static_cast<float>(CounterNormal(seed, static_cast<uint64_t>(i)) * deviation);
  }
  return out;
}

Qwen3Weights InitQwen3(const Qwen3Config& config, uint64_t seed) {
  Qwen3Weights weights;
  weights.config = config;
  weights.layers.resize(static_cast<size_t>(config.num_layers));
  const double output_scale = 1 / std::sqrt(2.0 * static_cast<double>(config.num_layers));
  uint64_t index = 0;
  ForEachParameter(weights, [&](const std::string& name, at::Tensor& tensor, const std::vector<int64_t>& shape) {
    const uint64_t stream = StreamSeed(seed, "qwen3.init", index++);
    if (shape.size() == 1) {
      tensor = at::ones(shape);
    } else if (name == "model.embed_tokens.weight" || name == "lm_head.weight") {
      tensor = NormalTensor(stream, shape[0], shape[1], 0.05);
    } else {
      const bool residual = name.ends_with("o_proj.weight") || name.ends_with("down_proj.weight");
      tensor = NormalTensor(stream, shape[0], shape[1],
                            (residual ? output_scale : 1.0) / std::sqrt(static_cast<double>(shape[1])));
    }
  });
  if (config.tie_word_embeddings) weights.head = weights.embedding;
  return weights;
}

}  // namespace evilmoe
