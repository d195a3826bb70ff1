#include "policy/model_config.h"

#include <cmath>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/bounded_json.h"
#include "common/file.h"
#include "common/status_macros.h"

namespace evilmoe {
namespace {

using Json = nlohmann::json;

constexpr int64_t kMaxParameters = int64_t{1} << 40;
constexpr size_t kMaxConfigBytes = size_t{16} << 20;

std::string Shown(const Json& value) {
  std::string text = value.dump(-1, ' ', true, Json::error_handler_t::replace);
  if (text.size() > 80) text = text.substr(0, 77) + "...";
  return text;
}

// Collects every problem of one config.json.
class ConfigReader {
 public:
  explicit ConfigReader(const Json& json) : json_(json) {}

  int64_t Size(const char* key, uint64_t largest) {
    const Json* value = Get(key);
    if (value == nullptr) return Missing(key), 0;
    if (!value->is_number_unsigned() || value->get<uint64_t>() < 1 || value->get<uint64_t>() > largest) {
      Problem(key, *value, absl::StrCat("an integer in [1, ", largest, "]"));
      return 0;
    }
    return value->get<int64_t>();
  }

  double Positive(const Json* value, const char* key) {
    if (value == nullptr) return Missing(key), 0;
    const double number = value->is_number() ? value->get<double>() : 0;
    if (!(number > 0) || !std::isfinite(number)) Problem(key, *value, "a number above 0");
    return number;
  }

  bool Flag(const char* key, bool absent) {
    const Json* value = Get(key);
    if (value == nullptr) return absent;
    if (!value->is_boolean()) Problem(key, *value, "true or false");
    return value->is_boolean() && value->get<bool>();
  }

  // Something that would change the computation: only `wanted` is implemented.
  void Only(const char* key, const Json& wanted, bool required) {
    const Json* value = Get(key);
    if (value == nullptr) {
      if (required) Missing(key);
    } else if (*value != wanted) {
      Problem(key, *value, absl::StrCat(Shown(wanted), " (nothing else is implemented)"));
    }
  }

  // nullptr when the key is absent or null.
  const Json* Get(const char* key) const {
    const auto found = json_.find(key);
    return found == json_.end() || found->is_null() ? nullptr : &*found;
  }

  void Problem(const std::string& key, const Json& value, const std::string& expected) {
    problems_.push_back(absl::StrCat(key, ": ", Shown(value), ", expected ", expected));
  }
  void Missing(const char* key) { problems_.push_back(absl::StrCat(key, ": missing")); }
  const std::vector<std::string>& problems() const { return problems_; }

 private:
  const Json& json_;
  std::vector<std::string> problems_;
};

// Keys of Qwen3's relatives with experts. A dense config has none of them, or says none.
constexpr const char* kExpertKeys[] = {"num_experts",         "num_local_experts",     "n_routed_experts",
                                       "num_experts_per_tok", "moe_intermediate_size", "shared_expert_intermediate_size",
                                       "decoder_sparse_step", "mlp_only_layers"};

void RefuseOtherNetworks(ConfigReader& reader) {
  reader.Only("model_type", "qwen3", /*required=*/true);
  reader.Only("architectures", Json::array({"Qwen3ForCausalLM"}), /*required=*/false);
  reader.Only("hidden_act", "silu", /*required=*/true);
  reader.Only("attention_bias", false, /*required=*/false);
  reader.Only("attention_dropout", 0.0, /*required=*/false);
  for (const char* key : kExpertKeys) {
    const Json* value = reader.Get(key);
    if (value != nullptr && *value != 0 && *value != Json::array()) {
      reader.Problem(key, *value, "null (experts are not implemented)");
    }
  }
  for (const char* key : {"quantization_config", "auto_map", "per_layer_config"}) {
    if (const Json* value = reader.Get(key)) reader.Problem(key, *value, "null (nothing else is implemented)");
  }
  for (const char* key : {"dtype", "torch_dtype"}) {  // the newer name and the older one
    const Json* value = reader.Get(key);
    if (value != nullptr && *value != "float32" && *value != "bfloat16" && *value != "float16") {
      reader.Problem(key, *value, "\"float32\", \"bfloat16\" or \"float16\"");
    }
  }
}

// use_sliding_window decides; sliding_window and max_window_layers mean nothing without it.
void RefuseSlidingWindows(ConfigReader& reader, int64_t num_layers) {
  reader.Only("use_sliding_window", false, /*required=*/false);
  const Json* kinds = reader.Get("layer_types");
  if (kinds == nullptr) return;
  if (!kinds->is_array()) return reader.Problem("layer_types", *kinds, "an array of \"full_attention\"");
  for (const Json& kind : *kinds) {
    if (kind != "full_attention") return reader.Problem("layer_types", kind, "\"full_attention\" in every layer");
  }
  if (num_layers > 0 && kinds->size() != static_cast<size_t>(num_layers)) {
    reader.Problem("layer_types", kinds->size(), absl::StrCat("one entry for each of the ", num_layers, " layers"));
  }
}

// Whether `rope` (the value of `key`) asks for nothing but the plain rotation of the whole head.
bool IsPlainRope(ConfigReader& reader, const char* key, const Json& rope) {
  bool plain = rope.is_object();
  for (const char* kind : {"rope_type", "type"}) {
    plain = plain && (!rope.contains(kind) || rope[kind] == "default");
  }
  if (plain) {
    for (const auto& [name, value] : rope.items()) {
      const bool known = name == "rope_type" || name == "type" || name == "rope_theta";
      plain = plain && (known || value.is_null() || (name == "partial_rotary_factor" && value == 1));
    }
  }
  if (!plain) reader.Problem(key, rope, "rope_type \"default\" with rope_theta alone (nothing else is implemented)");
  return plain;
}

// rope_theta stands at the top (published) or in rope_parameters (newer transformers), which wins there.
double RopeTheta(ConfigReader& reader) {
  const Json* partial = reader.Get("partial_rotary_factor");
  if (partial != nullptr && *partial != 1) {
    reader.Problem("partial_rotary_factor", *partial, "1 (nothing else is implemented)");
  }
  const Json* scaling = reader.Get("rope_scaling");
  if (scaling != nullptr && IsPlainRope(reader, "rope_scaling", *scaling) && scaling->contains("rope_theta")) {
    reader.Problem("rope_scaling.rope_theta", (*scaling)["rope_theta"], "rope_theta at the top or in rope_parameters");
  }
  const Json* outer = reader.Get("rope_theta");
  const Json* parameters = reader.Get("rope_parameters");
  if (parameters == nullptr) return reader.Positive(outer, "rope_theta");
  if (!IsPlainRope(reader, "rope_parameters", *parameters)) return 0;
  const auto inner = parameters->find("rope_theta");
  if (inner == parameters->end() || inner->is_null()) return reader.Positive(outer, "rope_theta");
  if (outer != nullptr && *outer != *inner) {
    reader.Problem("rope_theta", *outer, absl::StrCat(Shown(*inner), ", as in rope_parameters"));
  }
  return reader.Positive(&*inner, "rope_parameters.rope_theta");
}

std::vector<int32_t> EosIds(ConfigReader& reader, int64_t vocab_size) {
  const Json* value = reader.Get("eos_token_id");
  if (value == nullptr) return {};
  std::vector<int32_t> ids;
  for (const Json& id : value->is_array() ? *value : Json::array({*value})) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() >= static_cast<uint64_t>(vocab_size)) {
      reader.Problem("eos_token_id", id, "a token id below vocab_size");
      return {};
    }
    ids.push_back(id.get<int32_t>());
  }
  return ids;
}

absl::Status Problems(const ConfigReader& reader) {
  if (reader.problems().empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrJoin(reader.problems(), "; "));
}

}  // namespace

int64_t NumParameters(const Qwen3Config& c) {
  const int64_t attention = 2 * c.hidden_size * (c.num_heads + c.num_kv_heads) * c.head_dim + 2 * c.head_dim;
  const int64_t feed_forward = 3 * c.hidden_size * c.intermediate_size;
  const int64_t norms = 2 * c.hidden_size;
  const int64_t tables = (c.tie_word_embeddings ? 1 : 2) * c.vocab_size * c.hidden_size;
  return c.num_layers * (attention + feed_forward + norms) + tables + c.hidden_size;
}

absl::StatusOr<Qwen3Config> ParseQwen3Config(std::string_view text) {
  const Json json = ParseBoundedJson(text);
  if (!json.is_object()) return absl::InvalidArgumentError("not a JSON object; expected a Qwen3 config.json");
  ConfigReader reader(json);
  RefuseOtherNetworks(reader);
  Qwen3Config config;
  // With these bounds NumParameters, and the bytes of any one tensor, stay far below 2^63.
  config.vocab_size = reader.Size("vocab_size", 1 << 22);
  config.hidden_size = reader.Size("hidden_size", 1 << 17);
  config.num_layers = reader.Size("num_hidden_layers", 1024);
  config.num_heads = reader.Size("num_attention_heads", 4096);
  config.num_kv_heads = reader.Size("num_key_value_heads", 4096);
  config.head_dim = reader.Size("head_dim", 4096);
  config.intermediate_size = reader.Size("intermediate_size", 1 << 20);
  config.max_position_embeddings = reader.Size("max_position_embeddings", uint64_t{1} << 31);
  RefuseSlidingWindows(reader, config.num_layers);
  config.rope_theta = RopeTheta(reader);
  config.rms_norm_eps = reader.Positive(reader.Get("rms_norm_eps"), "rms_norm_eps");
  config.tie_word_embeddings = reader.Flag("tie_word_embeddings", /*absent=*/false);
  if (config.vocab_size > 0) config.eos_ids = EosIds(reader, config.vocab_size);
  if (config.num_kv_heads > 0 && config.num_heads % config.num_kv_heads != 0) {
    reader.Problem("num_key_value_heads", config.num_kv_heads,
                   absl::StrCat("a divisor of num_attention_heads (", config.num_heads, ")"));
  }
  if (config.head_dim % 2 != 0) reader.Problem("head_dim", config.head_dim, "an even number");
  if (const int64_t parameters = NumParameters(config); parameters > kMaxParameters) {
    reader.Problem("parameters in all", parameters, absl::StrCat("at most ", kMaxParameters));
  }
  EVILMOE_RETURN_IF_ERROR(Problems(reader));
  return config;
}

absl::StatusOr<Qwen3Config> ReadQwen3Config(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "config.json";
  EVILMOE_ASSIGN_OR_RETURN(const std::string text, ReadFile(file, kMaxConfigBytes));
  absl::StatusOr<Qwen3Config> config = ParseQwen3Config(text);
  if (!config.ok()) return Annotate(config.status(), file.string());

  const std::filesystem::path generation_file = folder / "generation_config.json";
  const absl::StatusOr<std::string> generation = ReadFile(generation_file, kMaxConfigBytes);
  if (absl::IsNotFound(generation.status())) return config;
  EVILMOE_RETURN_IF_ERROR(generation.status());
  const Json json = ParseBoundedJson(*generation);
  if (!json.is_object()) return absl::InvalidArgumentError(absl::StrCat(generation_file.string(), ": not an object"));
  ConfigReader reader(json);
  std::vector<int32_t> eos_ids = EosIds(reader, config->vocab_size);
  EVILMOE_RETURN_IF_ERROR(Annotate(Problems(reader), generation_file.string()));
  if (!eos_ids.empty()) config->eos_ids = std::move(eos_ids);
  return config;
}

nlohmann::ordered_json Qwen3ConfigToJson(const Qwen3Config& config, const std::string& dtype) {
  nlohmann::ordered_json json = {
      {"architectures", {"Qwen3ForCausalLM"}},
      {"model_type", "qwen3"},
      {"torch_dtype", dtype},
      {"vocab_size", config.vocab_size},
      {"hidden_size", config.hidden_size},
      {"num_hidden_layers", config.num_layers},
      {"num_attention_heads", config.num_heads},
      {"num_key_value_heads", config.num_kv_heads},
      {"head_dim", config.head_dim},
      {"intermediate_size", config.intermediate_size},
      {"hidden_act", "silu"},
      {"max_position_embeddings", config.max_position_embeddings},
      {"rope_theta", config.rope_theta},
      {"rope_scaling", nullptr},
      {"rms_norm_eps", config.rms_norm_eps},
      {"tie_word_embeddings", config.tie_word_embeddings},
      {"attention_bias", false},
      {"attention_dropout", 0.0},
      {"use_sliding_window", false},
      {"sliding_window", nullptr},
  };
  if (config.eos_ids.size() == 1) json["eos_token_id"] = config.eos_ids[0];
  if (config.eos_ids.size() > 1) json["eos_token_id"] = config.eos_ids;
  return json;
}

}  // namespace evilmoe
