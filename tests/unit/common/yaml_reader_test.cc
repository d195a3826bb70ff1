#include "common/yaml_reader.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/seed.h"

namespace evilmoe {
namespace {

struct Settings {
  bool on = false;
  int count = 3;
  int64_t big = 0;
  uint64_t seed = 0;
  double ratio = 0.5;
  std::optional<double> limit;
  std::string name = "default";
  std::filesystem::path file;
  std::vector<std::string> words;
  std::vector<double> numbers;
  std::vector<std::pair<std::string, double>> weights;
  int inner = 1;
};

absl::Status Read(std::string_view yaml, Settings* s) {
  YamlReader reader(yaml, "s.yaml");
  YamlSection root = reader.Root();
  root.Field("on", &s->on);
  root.Field("count", &s->count).Range(1, 9);
  root.Field("big", &s->big);
  root.Field("seed", &s->seed);
  root.Field("ratio", &s->ratio).Above(0);
  root.Field("limit", &s->limit).Min(2);
  root.Field("name", &s->name).OneOf({"default", "a", "5", "null", "x: y"}, {"later"});
  root.Field("file", &s->file);
  root.Field("words", &s->words);
  root.Field("numbers", &s->numbers);
  root.Field("weights", &s->weights);
  root.Section("section").Section("deeper").Field("inner", &s->inner);
  return reader.Finish();
}

TEST(YamlReader, ReadsEveryType) {
  Settings s;
  const absl::Status status = Read(
      "on: true\ncount: +7\nbig: -9223372036854775808\nseed: 18446744073709551615\nratio: 1e-3\nlimit: 2\n"
      "name: \"5\"\nfile: a/b.txt\nwords: [x, 'true']\nnumbers: [1, -.5]\nweights: {b: 1, a: 0.5}\n"
      "section:\n  deeper: {inner: 4}\n",
      &s);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_TRUE(s.on);
  EXPECT_EQ(s.count, 7);
  EXPECT_EQ(s.big, INT64_MIN);
  EXPECT_EQ(s.seed, UINT64_MAX);
  EXPECT_EQ(s.ratio, 1e-3);
  EXPECT_EQ(s.limit, 2);
  EXPECT_EQ(s.name, "5");
  EXPECT_EQ(s.file, "a/b.txt");
  EXPECT_EQ(s.words, (std::vector<std::string>{"x", "true"}));
  EXPECT_EQ(s.numbers, (std::vector<double>{1, -0.5}));
  EXPECT_EQ(s.weights, (std::vector<std::pair<std::string, double>>{{"b", 1}, {"a", 0.5}}));
  EXPECT_EQ(s.inner, 4);
}

// Line ends behind a text are those of the file, whatever the parser is handed.
TEST(YamlReader, KeepsTheEndOfTheLastText) {
  for (const auto& [yaml, value] : std::vector<std::pair<std::string, std::string>>{{"file: |+\n  a\n", "a\n"},
                                                                                    {"file: |+\n  a\n\n", "a\n\n"},
                                                                                    {"file: |\n  a\n\n", "a\n"},
                                                                                    {"file: |-\n  a\n", "a"},
                                                                                    {"file: a\n  b\n", "a b"},
                                                                                    {"file: 'a'", "a"}}) {
    Settings s;
    const absl::Status status = Read(yaml, &s);
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_EQ(s.file, value) << yaml;
  }
}

TEST(YamlReader, AnEmptyDocumentKeepsTheDefaults) {
  for (const char* yaml : {"", "# only a comment\n", "---\n", "null\n"}) {
    Settings s;
    EXPECT_TRUE(Read(yaml, &s).ok()) << yaml;
    EXPECT_EQ(s.count, 3);
    EXPECT_EQ(s.name, "default");
  }
}

struct BadCase {
  const char* name;
  std::string yaml;
  std::string message;
};

class YamlReaderBadTest : public ::testing::TestWithParam<BadCase> {};

TEST_P(YamlReaderBadTest, SaysWhatIsWrong) {
  Settings s;
  const absl::Status status = Read(GetParam().yaml, &s);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(std::string(status.message()), GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(
    Cases, YamlReaderBadTest,
    ::testing::ValuesIn(std::vector<BadCase>{
        {"QuotedNumber", "count: '5'\n",
         "s.yaml:1:8: count: wrong type, got text \"5\", expected a whole number (write 5 without quotes)"},
        {"Hexadecimal", "count: 0x5\n", "s.yaml:1:8: count: wrong type, got 0x5, expected a whole number"},
        {"TooBigForInt", "count: 3000000000\n",
         "s.yaml:1:8: count: out of range, got 3000000000, expected [-2147483648, 2147483647]"},
        {"NotFinite", "ratio: .inf\n",
         "s.yaml:1:8: ratio: wrong type, got .inf, expected a number (.inf and .nan are none)"},
        {"Nan", "ratio: nan\n", "s.yaml:1:8: ratio: wrong type, got nan, expected a number (.inf and .nan are none)"},
        {"TooBigForDouble", "ratio: 1e999\n", "s.yaml:1:8: ratio: wrong type, got 1e999, expected a number"},
        {"PlainNumberForText", "name: 5\n", "s.yaml:1:7: name: wrong type, got 5, expected text (write \"5\")"},
        {"NullForText", "name: ~\n", "s.yaml:1:1: name: wrong type, got nothing, expected text"},
        {"Later", "name: later\n",
         "s.yaml:1:7: name: not available yet, got \"later\", expected default, a, 5, null or x: y"},
        {"OptionalIsChecked", "limit: 1\n", "s.yaml:1:8: limit: out of range, got 1, expected at least 2"},
        {"ListForScalar", "on: [true]\n", "s.yaml:1:5: on: wrong type, got a list, expected true or false"},
        {"ItemOfAList", "words: [a, 1]\n", "s.yaml:1:12: words[1]: wrong type, got 1, expected text (write \"1\")"},
        {"ScalarForSection", "section: 1\n",
         "s.yaml:1:10: section: wrong type, got 1, expected a section (name: value, indented)"},
        {"NullSection", "section:\n",
         "s.yaml:1:1: section: wrong type, got nothing, expected a section (name: value, "
         "indented)"},
        {"UnknownInSection", "section:\n  deeper:\n    iner: 1\n",
         "s.yaml:3:5: section.deeper.iner: unknown key, did you mean inner?"},
        {"MergeKey", "<<: {count: 1}\n", "s.yaml:1:1: merge key (<<) is not allowed, expected the fields themselves"},
        {"AliasForASection", "on: &a true\nsection: *a\ncount: 0\n",
         "s.yaml:1:5: anchor (&name) is not allowed, expected a plain value\n"
         "s.yaml:2:10: alias (*name) is not allowed, expected the value itself\n"
         "s.yaml:3:8: count: out of range, got 0, expected [1, 9]"},
        {"AliasAsAKey", "on: &a true\n*a : 1\ncount: 0\n",
         "s.yaml:1:5: anchor (&name) is not allowed, expected a plain value\n"
         "s.yaml:2:1: alias (*name) is not allowed, expected the value itself\n"
         "s.yaml:3:8: count: out of range, got 0, expected [1, 9]"},
        {"TagBesideAProblem", "count: !!int 0\n",
         "s.yaml:1:8: tag tag:yaml.org,2002:int is not allowed, expected a plain value\n"
         "s.yaml:1:8: count: out of range, got 0, expected [1, 9]"},
        {"UnclosedQuote", "count: 5\nname: \"a\ncount: 6\n",
         "s.yaml:2:1: not YAML: a quote behind this place that is not closed"},
        {"Tab", "section:\n\tdeeper: {inner: 1}\n", "s.yaml:2:1: tab in the indentation, expected spaces"},
        {"NotUtf8", "name: caf\xe9\n", "s.yaml:1:10: not UTF-8, got byte 0xe9, expected a file saved as UTF-8"},
        {"EndOfTransmission",
         "count: 5\n\x04"
         "count: 0\n",
         "s.yaml:2:1: not text, got the control character 0x04, expected none"},
        {"FieldOfAnotherSection", "inner: 2\nsection: {count: 2}\n",
         "s.yaml:1:1: inner: unknown key, did you mean section.deeper.inner?\n"
         "s.yaml:2:11: section.count: unknown key, did you mean count at the top?"},
        {"FieldWithItsSection", "section.deeper.inner: 2\n",
         "s.yaml:1:1: section.deeper.inner: unknown key, expected inner in the section section.deeper"},
        {"KeyOfSeveralLines", "\"a\\nb\": 1\n",
         "s.yaml:1:1: \"a\\nb\": unknown key, expected one of on, count, big, seed, ratio, limit, name, file, words, "
         "numbers, weights, section"},
        {"Anchor", "count: &a 5\n", "s.yaml:1:8: anchor (&name) is not allowed, expected a plain value"},
        {"NulInPath", "file: \"a\\0b\"\n",
         "s.yaml:1:7: file: wrong type, got text \"a\\u0000b\", expected a path without NUL bytes"},
        {"Several", "count: 0\nnmae: 1\nratio: 0\n",
         "s.yaml:1:8: count: out of range, got 0, expected [1, 9]\n"
         "s.yaml:2:1: nmae: unknown key, did you mean name?\n"
         "s.yaml:3:8: ratio: out of range, got 0, expected more than 0"}}),
    [](const auto& c) { return c.param.name; });

TEST(YamlReader, LargeInputIsRefusedUnread) {
  Settings s;
  const absl::Status status = Read(std::string(kMaxYamlBytes + 1, '#'), &s);
  EXPECT_EQ(std::string(status.message()), "s.yaml:1:1: too large, got 1048577 bytes, expected at most 1048576");
}

TEST(YamlReader, TellsTheFirstHundredProblems) {
  Settings s;
  std::string yaml;
  for (int i = 0; i < 70000; ++i) absl::StrAppend(&yaml, "key_", i, ": 1\n");  // a search through all would not end
  const std::vector<std::string> lines = absl::StrSplit(Read(yaml, &s).message(), '\n');
  ASSERT_EQ(lines.size(), kMaxYamlProblems + 1);
  EXPECT_EQ(lines[1], "s.yaml:2:1: key_1: unknown key, expected one of those above");
  EXPECT_EQ(lines.back(), "and 69900 more problems");
}

TEST(YamlReader, TellsWhichDefaultsAreOverridden) {
  YamlReader reader("a: 1\nb: 2.0\nc: null\nd: x\n", "s.yaml");
  reader.Override("d", "y", "--set");
  for (const char* field : {"a", "c", "d", "e"}) reader.Default(field, "0", "preset");
  reader.Default("b", "2", "preset");  // the same number
  std::vector<std::string> lines;
  for (const YamlReader::Overridden& o : reader.overridden()) {
    lines.push_back(absl::StrCat(o.where, o.path, " ", o.value, " ", o.default_value));
  }
  EXPECT_EQ(lines, (std::vector<std::string>{"s.yaml:1:1: a 1 0", "s.yaml:3:1: c null 0", "--set d y 0"}));
}

TEST(YamlReader, DepthIsBoundedBeforeTheStackIs) {
  Settings s;
  for (const char* open : {"[", "{a: ", "- "}) {
    std::string yaml = "words: ";
    if (open[0] == '-') yaml.clear();
    for (int i = 0; i < 100000; ++i) yaml += open;
    EXPECT_EQ(Read(yaml, &s).code(), absl::StatusCode::kInvalidArgument) << open;
  }
}

// A person's slips and worse: whatever the bytes, the answer is OK or a list of problems.
TEST(YamlReader, BearsAnyBytes) {
  const std::string sample =
      "on: true\ncount: 7\nratio: 1e-3\nname: \"5\"\nwords: [x, 'true']\nweights: {b: 1}\nsection:\n  deeper: {inner: "
      "4}\n";
  static constexpr std::string_view kBytes = ":-?[]{},#&*!|>'\"%@`\n\t \\0a\0\xff~<=";
  int num_refused = 0;
  for (uint64_t round = 0; round < 20000; ++round) {
    RandomStream random(StreamSeed(1, "yaml", round));
    std::string text = sample;
    for (int64_t edits = random.Int(1, 4); edits > 0; --edits) {
      const size_t at = static_cast<size_t>(random.Int(0, static_cast<int64_t>(text.size()) - 1));
      text[at] = kBytes[static_cast<size_t>(random.Int(0, static_cast<int64_t>(kBytes.size()) - 1))];
    }
    Settings s;
    const absl::Status status = Read(text, &s);
    ASSERT_TRUE(status.ok() || absl::IsInvalidArgument(status)) << status << "\n" << text;
    num_refused += status.ok() ? 0 : 1;
  }
  EXPECT_GT(num_refused, 10000);
}

TEST(EditDistance, CountsEditsAndSwaps) {
  EXPECT_EQ(EditDistance("", ""), 0);
  EXPECT_EQ(EditDistance("abc", ""), 3);
  EXPECT_EQ(EditDistance("rank", "rnak"), 1);
  EXPECT_EQ(EditDistance("rank", "bank"), 1);
  EXPECT_EQ(EditDistance("steps", "step"), 1);
  EXPECT_EQ(EditDistance("kitten", "sitting"), 3);
}

TEST(NearestName, IsSilentWhenNothingIsNear) {
  EXPECT_EQ(NearestName("rnak", {"init", "rank"}), "rank");
  EXPECT_EQ(NearestName("colour", {"init", "rank"}), "");
  EXPECT_EQ(NearestName("MAX-TOKENS", {"init", "max_tokens"}), "max_tokens");
  EXPECT_EQ(NearestName(std::string(100000, 'a'), {"rank"}), "");
}

}  // namespace
}  // namespace evilmoe
