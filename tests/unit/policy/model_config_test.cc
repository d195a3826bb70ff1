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
    {"hidden_act", "gelu", "hidden_act: \"gelu\", expected \"silu\""},
    {"attention_bias", true, "attention_bias: true, expected false"},
    {"attention_dropout", 0.1, "attention_dropout: 0.1"},
    {"use_sliding_window", true, "use_sliding_window: true, expected false"},
    {"rope_scaling", {{"rope_type", "yarn"}, {"factor", 4.0}}, "rope_scaling: {\"factor\":4.0"},
    {"rope_parameters", {{"rope_type", "yarn"}, {"rope_theta", 1e6}}, "rope_parameters: "},
    {"rope_parameters", {{"rope_type", "default"}}, "rope_parameters.rope_theta: missing"},
    {"quantization_config", {{"bits", 4}}, "quantization_config: "},
    {"layer_types", {"full_attention", "sliding_attention"}, "layer_types: \"sliding_attention\""},
    {"vocab_size", 0, "vocab_size: 0, expected an integer in [1, 2^31]"},
    {"vocab_size", -1, "vocab_size: -1"},
    {"hidden_size", "64", "hidden_size: \"64\""},
    {"num_hidden_layers", 2.5, "num_hidden_layers: 2.5"},
    {"intermediate_size", 1e300, "intermediate_size: "},
    {"head_dim", nullptr, "head_dim: missing"},
    {"head_dim", 127, "head_dim: 127, expected an even number"},
    {"num_key_value_heads", 3, "num_key_value_heads: 3, expected a divisor of num_attention_heads (16)"},
    {"rope_theta", 0, "rope_theta: 0, expected a number above 0"},
    {"rms_norm_eps", "small", "rms_norm_eps: \"small\""},
    {"tie_word_embeddings", 1, "tie_word_embeddings: 1, expected true or false"},
    {"eos_token_id", 151936, "eos_token_id: 151936, expected a token id below vocab_size"},
    {"eos_token_id", {1, -1}, "eos_token_id: -1"}}));

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
}

}  // namespace
}  // namespace evilmoe
