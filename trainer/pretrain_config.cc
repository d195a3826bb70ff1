#include "trainer/pretrain_config.h"

#include "common/status_macros.h"
#include "common/yaml_reader.h"

namespace evilmoe {
namespace {

void ReadModel(YamlSection section, Qwen3Config& model) {
  model.max_position_embeddings = 1024;
  model.rope_theta = 10000;
  model.rms_norm_eps = 1e-6;
  model.tie_word_embeddings = true;
  section.Field("hidden_size", &model.hidden_size).Range(8, 16384);
  section.Field("num_layers", &model.num_layers).Range(1, 256);
  section.Field("num_heads", &model.num_heads).Range(1, 256);
  section.Field("num_kv_heads", &model.num_kv_heads).Range(1, 256);
  section.Field("head_dim", &model.head_dim).Range(2, 512);
  section.Field("intermediate_size", &model.intermediate_size).Range(8, 65536);
  section.Field("max_position_embeddings", &model.max_position_embeddings).Range(16, 1 << 20);
  section.Field("rope_theta", &model.rope_theta).Above(0);
  section.Field("rms_norm_eps", &model.rms_norm_eps).Above(0);
  section.Field("tie_word_embeddings", &model.tie_word_embeddings);
  if (model.num_kv_heads > 0 && model.num_heads % model.num_kv_heads != 0) {
    section.Problem("num_heads", "not a multiple of num_kv_heads");
  }
  if (model.head_dim % 2 != 0) section.Problem("head_dim", "odd, expected an even number");
}

void Read(YamlSection root, PretrainConfig& config) {
  root.Field("tokenizer", &config.tokenizer);
  root.Field("text", &config.text);
  root.Field("out", &config.out);
  root.Field("dtype", &config.dtype).OneOf({"float32", "bfloat16"});
  root.Field("seed", &config.seed);
  root.Field("steps", &config.steps).Min(1);
  root.Field("batch_size", &config.batch_size).Range(1, 65536);
  root.Field("max_tokens", &config.max_tokens).Range(2, 1 << 20);
  root.Field("learning_rate", &config.learning_rate).Above(0);
  root.Field("warmup_steps", &config.warmup_steps).Min(0);
  root.Field("weight_decay", &config.weight_decay).Min(0);
  root.Field("max_grad_norm", &config.max_grad_norm).Above(0);
  root.Field("save_every", &config.save_every).Min(1);
  root.Field("threads", &config.threads).Range(1, 64);
  ReadModel(root.Section("model"), config.model);
  for (const auto& [name, path] :
       {std::pair{"tokenizer", &config.tokenizer}, {"text", &config.text}, {"out", &config.out}}) {
    if (path->empty()) root.Problem(name, "missing, expected a path");
  }
}

}  // namespace

absl::StatusOr<PretrainConfig> ParsePretrainConfig(std::string_view yaml, const std::string& file_name,
                                                   const std::filesystem::path& base_folder) {
  PretrainConfig config;
  YamlReader reader(yaml, file_name);
  Read(reader.Root(), config);
  EVILMOE_RETURN_IF_ERROR(reader.Finish());
  for (std::filesystem::path* path : {&config.tokenizer, &config.text, &config.out}) *path = base_folder / *path;
  return config;
}

}  // namespace evilmoe
