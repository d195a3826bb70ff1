#include "common/yaml_writer.h"

#include <gtest/gtest.h>

#include "common/yaml_reader.h"

namespace evilmoe {
namespace {

TEST(YamlWriter, WritesFieldsAndSections) {
  std::string text;
  YamlWriter root(text);
  const int count = 3;
  const std::vector<double> numbers = {0.1, 2, 7e-5, 1.5e-7};
  const std::optional<double> unset;
  const std::vector<std::pair<std::string, double>> weights = {{"a", 1.5}};
  root.Field("count", &count);
  YamlWriter section = root.Section("section");
  section.Field("numbers", &numbers);
  section.Field("unset", &unset);
  section.Field("weights", &weights);
  EXPECT_EQ(text, "count: 3\nsection:\n  numbers: [0.1, 2, 7.0e-05, 1.5e-07]\n  unset: null\n  weights: {a: 1.5}\n");
}

// Whatever the text, what is written reads back the same.
TEST(YamlWriter, TextReadsBackAsItself) {
  for (const std::string text :
       {"plain",      "",     "5",   "1e3", "true", "null",       "~",          "yes",        "unix:/tmp/a b.sock",
        "a: b",       "# no", "- x", "{",   "'",    "\"",         "\\",         "line\nline", "\t",
        "  spaces  ", "π",    "*a",  "&a",  "!t",   "/a/b-c_d.e", "0.0.0.0:80", "C:\\x",      "nan",
        "\x7f\x01"}) {
    std::string yaml;
    YamlWriter(yaml).Field("text", &text);
    std::string read;
    YamlReader reader(yaml, "t.yaml");
    reader.Root().Field("text", &read);
    const absl::Status status = reader.Finish();
    EXPECT_TRUE(status.ok()) << status << "\n" << yaml;
    EXPECT_EQ(read, text) << yaml;
  }
}

}  // namespace
}  // namespace evilmoe
