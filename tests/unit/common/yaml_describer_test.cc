#include "common/yaml_describer.h"

#include <gtest/gtest.h>

#include "common/yaml_reader.h"
#include "common/yaml_reference.h"

namespace evilmoe {
namespace {

struct Inner {
  std::filesystem::path file;
  double share = 0.5;
  std::vector<std::string> words = {"a", "b"};
};

struct Settings {
  int count = 3;
  uint64_t seed = 1;
  std::string kind = "plain";
  std::optional<double> limit;
  std::vector<std::pair<std::string, double>> weights = {{"a", 1}};
  std::vector<double> pair = {0, 1};
  Inner inner;
};

// As a config's own template lists its fields.
template <typename Section>
void Fields(Section s, Settings* c) {
  s.Doc("Some settings.");
  s.Field("count", &c->count).Range(1, 9).Doc("How many.");
  s.Field("seed", &c->seed).Doc("Of all.");
  s.Field("kind", &c->kind).OneOf({"plain", "fancy"}, {"later"}).Doc("a | b.");
  s.Field("limit", &c->limit).Above(0).Below(1).Doc("Unset: none.");
  s.Field("weights", &c->weights).Required("name: weight").Doc("Of names.");
  s.Field("pair", &c->pair)
      .Check(c->pair.size() == 2, "two numbers", R"({"minItems": 2, "items": {"minimum": 0}})")
      .Doc("Two.");
  Section inner = s.Section("inner");
  inner.Doc("What is inside.");
  inner.Field("file", &c->inner.file).Required("a file").Doc("Needed.");
  inner.Field("share", &c->inner.share).Min(0).Max(1).Doc("A part.");
  inner.Field("words", &c->inner.words).Doc("Some.");
}

YamlDescription Describe() {
  YamlDescription described;
  Settings defaults;
  Fields(YamlDescriber(described), &defaults);
  return described;
}

TEST(YamlDescriber, TellsWhatTheParserChecks) {
  Settings settings;
  YamlReader reader("count: 10\nlimit: 1\npair: [1]\nweights: {}\n", "s.yaml");
  Fields(reader.Root(), &settings);
  EXPECT_EQ(std::string(reader.Finish().message()),
            "s.yaml:1:1: inner.file: missing, expected a file\n"
            "s.yaml:1:8: count: out of range, got 10, expected [1, 9]\n"
            "s.yaml:2:8: limit: out of range, got 1, expected less than 1\n"
            "s.yaml:3:7: pair: bad value, got [1], expected two numbers\n"
            "s.yaml:4:10: weights: empty, expected name: weight");
}

TEST(YamlDescriber, GivesASchema) {
  const nlohmann::ordered_json schema = JsonSchemaOf(Describe(), "Settings");
  EXPECT_EQ(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
  EXPECT_EQ(schema["title"], "Settings");
  EXPECT_EQ(schema["additionalProperties"], false);
  EXPECT_EQ(schema["required"], nlohmann::json{"inner"});
  const nlohmann::ordered_json& p = schema["properties"];
  EXPECT_EQ(p["count"].dump(), R"({"description":"How many.","type":"integer","minimum":1,"maximum":9,"default":3})");
  EXPECT_EQ(p["seed"]["minimum"], 0);
  EXPECT_EQ(p["seed"]["maximum"], UINT64_MAX);
  EXPECT_EQ(p["kind"].dump(), R"({"description":"a | b.","type":"string","enum":["plain","fancy"],"default":"plain"})");
  EXPECT_EQ(p["limit"].dump(), R"({"description":"Unset: none.","type":["number","null"],"exclusiveMinimum":0.0,)"
                               R"("exclusiveMaximum":1.0,"default":null})");
  EXPECT_EQ(p["weights"].dump(), R"({"description":"Of names.","type":"object",)"
                                 R"("additionalProperties":{"type":"number"},"minProperties":1,"default":{"a":1.0}})");
  EXPECT_EQ(p["pair"].dump(), R"({"description":"Two.","type":"array","items":{"type":"number","minimum":0},)"
                              R"("minItems":2,"default":[0.0,1.0]})");
  EXPECT_EQ(p["inner"]["required"], nlohmann::json{"file"});
  EXPECT_EQ(p["inner"]["properties"]["file"].dump(), R"({"description":"Needed.","type":"string","minLength":1})");
}

TEST(YamlDescriber, GivesTables) {
  EXPECT_EQ(MarkdownOf(Describe()),
            "## At the top\n"
            "Some settings.\n\n"
            "| field | type | default | allowed | what |\n|---|---|---|---|---|\n"
            "| `count` | whole number | `3` | [1, 9] | How many. |\n"
            "| `seed` | whole number | `1` |  | Of all. |\n"
            "| `kind` | text | `plain` | plain or fancy | a \\| b. |\n"
            "| `limit` | number or null | `null` | more than 0; less than 1 | Unset: none. |\n"
            "| `weights` | name: number | `{a: 1}` |  | Of names. |\n"
            "| `pair` | list of numbers | `[0, 1]` | two numbers | Two. |\n\n"
            "## `inner`\n"
            "What is inside.\n\n"
            "| field | type | default | allowed | what |\n|---|---|---|---|---|\n"
            "| `inner.file` | path | required |  | Needed. |\n"
            "| `inner.share` | number | `0.5` | at least 0; at most 1 | A part. |\n"
            "| `inner.words` | list of text | `[a, b]` |  | Some. |\n");
}

}  // namespace
}  // namespace evilmoe
