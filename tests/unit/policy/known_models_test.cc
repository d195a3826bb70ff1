#include "policy/known_models.h"

#include <gtest/gtest.h>

#include <map>

namespace evilmoe {
namespace {

// Parameters as the models' pages on the Hugging Face Hub count them, a tied head once.
TEST(KnownModels, HaveThePublishedNumberOfParameters) {
  const std::map<std::string, int64_t> published = {{"Qwen3-0.6B", 596'049'920},
                                                    {"Qwen3-1.7B", 1'720'574'976},
                                                    {"Qwen3-4B", 4'022'468'096},
                                                    {"Qwen3-8B", 8'190'735'360}};
  ASSERT_EQ(KnownModels().size(), published.size());
  for (const KnownModel& model : KnownModels()) {
    EXPECT_EQ(NumParameters(model.config), published.at(model.name)) << model.name;
  }
}

// A file is bf16; of a tied head it may hold a second copy.
TEST(KnownModels, AreDownloadedInAboutTwoBytesAParameter) {
  for (const KnownModel& model : KnownModels()) {
    Qwen3Config untied = model.config;
    untied.tie_word_embeddings = false;
    EXPECT_GE(model.download_bytes, 2 * NumParameters(model.config) * 99 / 100) << model.name;
    EXPECT_LE(model.download_bytes, 2 * NumParameters(untied) * 102 / 100) << model.name;
  }
}

// What a config.json says of them reads back: they are networks that the project has.
TEST(KnownModels, AreReadableConfigs) {
  for (const KnownModel& model : KnownModels()) {
    const absl::StatusOr<Qwen3Config> read = ParseQwen3Config(Qwen3ConfigToJson(model.config, "bfloat16").dump());
    ASSERT_TRUE(read.ok()) << model.name << read.status();
    EXPECT_EQ(*read, model.config) << model.name;
  }
}

TEST(KnownModels, AreFoundByTheFoldersName) {
  ASSERT_NE(FindKnownModel("Qwen3-4B"), nullptr);
  EXPECT_EQ(FindKnownModel("qwen3-4b"), FindKnownModel("Qwen3-4B"));
  EXPECT_EQ(FindKnownModel("Qwen3-4B-Base"), nullptr) << "another model, with weights of its own";
  EXPECT_EQ(FindKnownModel(""), nullptr);
}

}  // namespace
}  // namespace evilmoe
