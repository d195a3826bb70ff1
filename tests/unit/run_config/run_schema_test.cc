#include "trainer/run_schema.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/yaml_describer.h"
#include "nlohmann/json.hpp"
#include "trainer/run_fields.h"

namespace evilmoe {
namespace {

std::string Read(const std::string& name) {
  return ReadFile(std::filesystem::path(EVILMOE_SOURCE_DIR) / name).value_or("");
}

// `evilmoe-ctl schema > docs/run.schema.json`
TEST(RunSchema, TheFileIsCurrent) { EXPECT_EQ(Read("docs/run.schema.json"), RunJsonSchema()); }

// The tables of `evilmoe-ctl schema --markdown`, behind words by hand.
TEST(RunSchema, TheReferenceIsCurrent) {
  const std::string text = Read("docs/run_file.md");
  EXPECT_TRUE(absl::EndsWith(text, "\n" + RunReference())) << RunReference();
}

void ExpectDocumented(const YamlDescription& described, const std::string& path) {
  EXPECT_FALSE(described.doc.empty()) << path << ": no Doc()";
  EXPECT_TRUE(absl::StrContains(described.doc, '.')) << path << ": " << described.doc;
  EXPECT_FALSE(absl::StrContains(described.doc, '\n')) << path;
  for (const YamlDescription& member : described.members) {
    ExpectDocumented(member, absl::StrCat(path, ".", member.name));
  }
}

TEST(RunSchema, EveryFieldIsDocumented) {
  YamlDescription root;
  RunConfig defaults;
  run_fields::RunFields(YamlDescriber(root), &defaults, {});
  EXPECT_GT(root.members.size(), 10u);
  ExpectDocumented(root, "run");
}

// What ToYaml() writes is what the schema lists: no field is in one of them alone.
TEST(RunSchema, HasTheFieldsThatARunIsWrittenWith) {
  const nlohmann::ordered_json schema = nlohmann::ordered_json::parse(RunJsonSchema());
  const std::string yaml = ToYaml(RunConfig());
  std::string listed;
  const auto list = [&](const auto& self, const nlohmann::ordered_json& section, const std::string& indent) -> void {
    for (const auto& [name, field] : section["properties"].items()) {
      absl::StrAppend(&listed, indent, name, "\n");
      if (field.contains("properties")) self(self, field, indent + "  ");
    }
  };
  list(list, schema, "");
  std::string written;
  size_t begin = 0;
  for (size_t end = yaml.find('\n'); end != std::string::npos; begin = end + 1, end = yaml.find('\n', begin)) {
    absl::StrAppend(&written, yaml.substr(begin, yaml.find(':', begin) - begin), "\n");
  }
  EXPECT_EQ(listed, written);
}

}  // namespace
}  // namespace evilmoe
