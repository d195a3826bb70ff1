#include "policy/model_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace evilmoe {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Json = nlohmann::json;

// The published config.json of Qwen3-0.6B, in essence.
Json Published() {
  return Json::parse(R"({"architectures": ["Qwen3ForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
    "bos_token_id": 151643, "eos_token_id": 151645, "head_dim": 128, "hidden_act": "silu", "hidden_size": 1024,
    "initializer_range": 0.02, "intermediate_size": 3072, "max_position_embeddings": 40960, "max_window_layers": 28,
    "model_type": "qwen3", "num_attention_heads": 16, "num_hidden_layers": 28, "num_key_value_heads": 8,
    "rms_norm_eps": 1e-06, "rope_scaling": null, "rope_theta": 1000000, "sliding_window": null,
    "tie_word_embeddings": true, "torch_dtype": "bfloat16", "use_cache": true, "use_sliding_window": false,
    "vocab_size": 151936})");
}

TEST(ModelConfig, ReadsThePublishedLayout) {
  const auto config = ParseQwen3Config(Published().dump());
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->vocab_size, 151936);
  EXPECT_EQ(config->num_layers, 28);
  EXPECT_EQ(config->num_kv_heads, 8);
  EXPECT_EQ(config->head_dim, 128);
  EXPECT_EQ(config->rope_theta, 1e6);
  EXPECT_EQ(config->rms_norm_eps, 1e-6);
  EXPECT_TRUE(config->tie_word_embeddings);
  EXPECT_THAT(config->eos_ids, ElementsAre(151645));
}

TEST(ModelConfig, ReadsTheNewerLayout) {
  Json json = Published();
  json.erase("rope_theta");
  json.erase("rope_scaling");
  json["rope_parameters"] = {{"rope_theta", 5e6}, {"rope_type", "default"}};
  json["layer_types"] = std::vector<std::string>(28, "full_attention");
  json["eos_token_id"] = {151645, 151643};
  const auto config = ParseQwen3Config(json.dump());
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->rope_theta, 5e6);
  EXPECT_THAT(config->eos_ids, ElementsAre(151645, 151643));
}

TEST(ModelConfig, WhatIsWrittenIsRead) {
  auto config = ParseQwen3Config(Published().dump());
  ASSERT_TRUE(config.ok());
  for (const std::vector<int32_t>& eos_ids : {std::vector<int32_t>{}, {5}, {5, 6}}) {
    config->eos_ids = eos_ids;
    const auto again = ParseQwen3Config(Qwen3ConfigToJson(*config, "bfloat16").dump());
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(*again, *config);
  }
}

struct RefusedCase {
  const char* key;
  Json value;
  const char* message;
};

class RefusedConfigTest : public ::testing::TestWithParam<RefusedCase> {};

TEST_P(RefusedConfigTest, NamesTheField) {
  Json json = Published();
  json[GetParam().key] = GetParam().value;
  const auto config = ParseQwen3Config(json.dump());
  ASSERT_FALSE(config.ok());
  EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(config.status().message()), HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(Cases, RefusedConfigTest, ::testing::ValuesIn(std::vector<RefusedCase>{
    {"model_type", "qwen3_moe", "model_type: \"qwen3_moe\", expected \"qwen3\""},
    {"model_type", nullptr, "model_type: missing"},
    {"architectures", Json::array({"Qwen3ForSequenceClassification"}), "architectures: [\"Qwen3ForSequenceClass"},
    {"architectures", Json::array({"Qwen3Model"}), "architectures: [\"Qwen3Model\"], expected [\"Qwen3ForCausalLM\"]"},
    {"hidden_act", "gelu", "hidden_act: \"gelu\", expected \"silu\""},
    {"attention_bias", true, "attention_bias: true, expected false"},
    {"attention_dropout", 0.1, "attention_dropout: 0.1"},
    {"use_sliding_window", true, "use_sliding_window: true, expected false"},
    {"layer_types", {"full_attention", "sliding_attention"}, "layer_types: \"sliding_attention\""},
    {"layer_types", Json::array({"full_attention"}), "layer_types: 1, expected one entry for each of the 28 layers"},
    {"layer_types", "full_attention", "layer_types: \"full_attention\", expected an array"},
    {"num_experts", 128, "num_experts: 128, expected null (experts are not implemented)"},
    {"num_local_experts", 8, "num_local_experts: 8"},
    {"num_experts_per_tok", 8, "num_experts_per_tok: 8"},
    {"moe_intermediate_size", 768, "moe_intermediate_size: 768"},
    {"decoder_sparse_step", 1, "decoder_sparse_step: 1"},
    {"mlp_only_layers", Json::array({0}), "mlp_only_layers: [0]"},
    {"rope_scaling", {{"rope_type", "yarn"}, {"factor", 4.0}}, "rope_scaling: {\"factor\":4.0"},
    {"rope_scaling", {{"type", "linear"}, {"factor", 2.0}}, "rope_scaling: {\"factor\":2.0"},
    {"rope_scaling", {{"type", "default"}, {"mrope_section", {16, 24, 24}}}, "rope_scaling: {\"mrope_section\""},
    {"rope_scaling", {{"rope_type", "default"}, {"rope_theta", 5.0}}, "rope_scaling.rope_theta: 5.0"},
    {"rope_parameters", {{"rope_type", "yarn"}, {"rope_theta", 1e6}}, "rope_parameters: "},
    {"rope_parameters", {{"type", "yarn"}, {"rope_theta", 1e6}}, "rope_parameters: "},
    {"rope_parameters", {{"full_attention", {{"rope_theta", 1e6}}}}, "rope_parameters: {\"full_attention\""},
    {"rope_parameters", {{"rope_theta", 1e6}, {"partial_rotary_factor", 0.5}}, "rope_parameters: {\"partial_rotary"},
    {"rope_parameters", {{"rope_theta", 5e6}}, "rope_theta: 1000000, expected 5000000.0, as in rope_parameters"},
    {"rope_parameters", {{"rope_theta", -1}}, "rope_parameters.rope_theta: -1"},
    {"rope_parameters", 3, "rope_parameters: 3"},
    {"partial_rotary_factor", 0.25, "partial_rotary_factor: 0.25, expected 1"},
    {"quantization_config", {{"bits", 4}}, "quantization_config: "},
    {"auto_map", {{"AutoModel", "modeling.Other"}}, "auto_map: "},
    {"per_layer_config", {{"0", {{"head_dim", 64}}}}, "per_layer_config: "},
    {"torch_dtype", "float8_e4m3fn", "torch_dtype: \"float8_e4m3fn\", expected \"float32\""},
    {"dtype", "int8", "dtype: \"int8\""},
    {"vocab_size", 0, "vocab_size: 0, expected an integer in [1, 4194304]"},
    {"vocab_size", -1, "vocab_size: -1"},
    {"vocab_size", 4194305, "vocab_size: 4194305"},
    {"hidden_size", "64", "hidden_size: \"64\""},
    {"hidden_size", 131073, "hidden_size: 131073, expected an integer in [1, 131072]"},
    {"num_hidden_layers", 2.5, "num_hidden_layers: 2.5"},
    {"num_hidden_layers", 1025, "num_hidden_layers: 1025, expected an integer in [1, 1024]"},
    {"num_attention_heads", 4097, "num_attention_heads: 4097"},
    {"intermediate_size", 1e300, "intermediate_size: "},
    {"intermediate_size", 18446744073709551615u, "intermediate_size: 18446744073709551615"},
    {"head_dim", nullptr, "head_dim: missing"},
    {"head_dim", 127, "head_dim: 127, expected an even number"},
    {"head_dim", 4098, "head_dim: 4098"},
    {"max_position_embeddings", 2147483649u, "max_position_embeddings: 2147483649"},
    {"num_key_value_heads", 3, "num_key_value_heads: 3, expected a divisor of num_attention_heads (16)"},
    {"rope_theta", 0, "rope_theta: 0, expected a number above 0"},
    {"rms_norm_eps", "small", "rms_norm_eps: \"small\""},
    {"tie_word_embeddings", 1, "tie_word_embeddings: 1, expected true or false"},
    {"eos_token_id", 151936, "eos_token_id: 151936, expected a token id below vocab_size"},
    {"eos_token_id", {1, -1}, "eos_token_id: -1"}}));

struct AcceptedCase {
  const char* key;
  Json value;
};

class AcceptedConfigTest : public ::testing::TestWithParam<AcceptedCase> {};

// What sounds like another computation and is none.
TEST_P(AcceptedConfigTest, ChangesNothing) {
  Json json = Published();
  json[GetParam().key] = GetParam().value;
  const auto config = ParseQwen3Config(json.dump());
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(*config, *ParseQwen3Config(Published().dump()));
}

INSTANTIATE_TEST_SUITE_P(Cases, AcceptedConfigTest, ::testing::ValuesIn(std::vector<AcceptedCase>{
    {"architectures", nullptr},
    {"sliding_window", 4096},
    {"max_window_layers", 0},
    {"attention_dropout", 0},
    {"rope_scaling", {{"type", "default"}}},
    {"rope_parameters", {{"rope_type", "default"}}},
    {"rope_parameters", {{"rope_type", "default"}, {"rope_theta", 1e6}, {"partial_rotary_factor", 1.0}}},
    {"partial_rotary_factor", 1.0},
    {"num_experts", 0},
    {"mlp_only_layers", Json::array()},
    {"quantization_config", nullptr},
    {"dtype", "float32"},
    {"transformers_version", "5.0.0"}}));

struct PublishedShape {
  const char* name;
  int64_t hidden_size, intermediate_size, num_layers, num_heads;
  bool tied;
  int64_t num_parameters;  // of Qwen3ForCausalLM in transformers
};

class PublishedShapesTest : public ::testing::TestWithParam<PublishedShape> {};

TEST_P(PublishedShapesTest, AreRead) {
  const PublishedShape& shape = GetParam();
  Json json = Published();
  json["hidden_size"] = shape.hidden_size;
  json["intermediate_size"] = shape.intermediate_size;
  json["num_hidden_layers"] = json["max_window_layers"] = shape.num_layers;
  json["num_attention_heads"] = shape.num_heads;
  json["tie_word_embeddings"] = shape.tied;
  const auto config = ParseQwen3Config(json.dump());
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->num_heads, shape.num_heads);
  EXPECT_EQ(config->tie_word_embeddings, shape.tied);
  EXPECT_EQ(NumParameters(*config), shape.num_parameters);
}

INSTANTIATE_TEST_SUITE_P(Models, PublishedShapesTest, ::testing::ValuesIn(std::vector<PublishedShape>{
    {"0.6B", 1024, 3072, 28, 16, true, 596'049'920},
    {"1.7B", 2048, 6144, 28, 16, true, 1'720'574'976},
    {"4B", 2560, 9728, 36, 32, true, 4'022'468'096},
    {"8B", 4096, 12288, 36, 32, false, 8'190'735'360},
    {"14B", 5120, 17408, 40, 40, false, 14'768'307'200},
    {"32B", 5120, 25600, 64, 64, false, 32'762'123'264}}));

TEST(ModelConfig, RefusesMoreThanAnyMachineHolds) {
  Json json = Published();
  json["hidden_size"] = 131072;
  json["intermediate_size"] = 1048576;
  json["num_hidden_layers"] = 1024;
  json["num_attention_heads"] = json["num_key_value_heads"] = json["head_dim"] = 4096;
  json["vocab_size"] = 4194304;
  EXPECT_THAT(std::string(ParseQwen3Config(json.dump()).status().message()),
              HasSubstr("parameters in all: 9429961752576000, expected at most 1099511627776"));
}

TEST(ModelConfig, ListsEveryProblemAtOnce) {
  Json json = Published();
  json["model_type"] = "llama";
  json["attention_bias"] = true;
  json["hidden_size"] = 0;
  json.erase("vocab_size");
  const auto config = ParseQwen3Config(json.dump());
  EXPECT_THAT(std::string(config.status().message()),
              AllOf(HasSubstr("model_type"), HasSubstr("attention_bias"), HasSubstr("hidden_size"),
                    HasSubstr("vocab_size: missing")));
}

TEST(ModelConfig, RefusesWhatIsNoObject) {
  for (const char* text : {"", "[]", "{", "3"}) EXPECT_FALSE(ParseQwen3Config(text).ok()) << text;
  const std::string deep = "{\"model_type\": " + std::string(200'000, '[') + std::string(200'000, ']') + "}";
  EXPECT_FALSE(ParseQwen3Config(deep).ok());
}

}  // namespace
}  // namespace evilmoe
