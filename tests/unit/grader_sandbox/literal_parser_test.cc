#include "grader_sandbox/literal_parser.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace evilmoe {
namespace {

using ::testing::HasSubstr;

struct LiteralCase {
  std::string text;
  std::string want;  // as WriteLiteral shows it
};

class LiteralTextTest : public ::testing::TestWithParam<LiteralCase> {};

TEST_P(LiteralTextTest, ReadsAndWritesBack) {
  const absl::StatusOr<Value> value = ParseLiteral(GetParam().text);
  ASSERT_TRUE(value.ok()) << value.status();
  const absl::StatusOr<std::string> written = WriteLiteral(*value);
  ASSERT_TRUE(written.ok()) << written.status();
  EXPECT_EQ(*written, GetParam().want);
  const absl::StatusOr<Value> again = ParseLiteral(*written);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(*WriteLiteral(*again), *written);
}

INSTANTIATE_TEST_SUITE_P(
    Cases, LiteralTextTest,
    ::testing::ValuesIn(std::vector<LiteralCase>{
        {"None", "None"},
        {" True ", "True"},
        {"0", "0"},
        {"-0", "0"},
        {"- 7", "-7"},
        {"+7", "7"},
        {"1_000", "1000"},
        {"00", "0"},
        {"0xFF", "255"},
        {"0o17", "15"},
        {"0b101", "5"},
        {"123456789012345678901234567890123", "123456789012345678901234567890123"},
        {"-123456789012345678901234567890123", "-123456789012345678901234567890123"},
        {"1.5", "1.5"},
        {".5", "0.5"},
        {"1.", "1.0"},
        {"-2.50", "-2.5"},
        {"1e3", "1000.0"},
        {"1E-3", "0.001"},
        {"1e400", "float(\"inf\")"},
        {"float(\"inf\")", "float(\"inf\")"},
        {"float('-inf')", "float(\"-inf\")"},
        {"-float('inf')", "float(\"-inf\")"},
        {"-inf", "float(\"-inf\")"},
        {"float( 'nan' )", "float(\"nan\")"},
        {"''", "''"},
        {"\"it's\"", "'it\\'s'"},
        {"'a\\n\\t\\\\\\x41\\u00e9\\U0001F600'", "'a\\n\\t\\\\Aé\xF0\x9F\x98\x80'"},
        {"'\\ud83d\\ude00'", "'\\ud83d\\ude00'"},
        {"'\\101\\0'", "'A\\x00'"},
        {"'\\q'", "'\\\\q'"},
        {"r'\\n'", "'\\\\n'"},
        {"b'\\xff\\x00a'", "b'\\xff\\x00a'"},
        {"'a' \"b\"", "'ab'"},
        {"('a'\n'b')", "'ab'"},
        {"'a\\\nb\\\r\nc\\\rd'", "'abcd'"},
        {"r'a\\\nb'", "'a\\\\\\nb'"},
        {"bR'\\n' b'\\777'", "b'\\\\n\\xff'"},
        {"'\\777'", "'\u01ff'"},
        {"0x_ff", "255"},
        {"1_0.0_1e1_0", "1.001e+11"},
        {"\r\n [1,\r\n2] \r\n", "[1, 2]"},
        {"[]", "[]"},
        {"[1, [2, ], (), (3,), (4)]", "[1, [2], (), (3,), 4]"},
        {"{}", "{}"},
        {"{'a': 1, (1, 2): [None]}", "{'a': 1, (1, 2): [None]}"},
        {"{1, 2}", "{1, 2}"},
        {"set()", "set()"},
    }));

struct BadCase {
  std::string text;
  std::string want;  // part of the message
};

class BadLiteralTest : public ::testing::TestWithParam<BadCase> {};

TEST_P(BadLiteralTest, IsRefusedWithAReason) {
  const absl::StatusOr<Value> value = ParseLiteral(GetParam().text);
  ASSERT_EQ(value.status().code(), absl::StatusCode::kInvalidArgument) << GetParam().text;
  EXPECT_THAT(std::string(value.status().message()), HasSubstr(GetParam().want));
}

INSTANTIATE_TEST_SUITE_P(Cases, BadLiteralTest,
                         ::testing::ValuesIn(std::vector<BadCase>{
                             {"", "a literal"},
                             {"[1", "`]`"},
                             {"[1 2]", "`]`"},
                             {"'abc", "closing quote"},
                             {"'a\nb'", "closing quote"},
                             {"'''abc'''", "single quotes of its kind"},
                             {"f'a'", "prefix"},
                             {"1j", "complex"},
                             {"012", "leading zero"},
                             {"0x", "digit"},
                             {"1 + 1", "the end"},
                             {"{[1]: 2}", "hashed"},
                             {"{1: 2, 1.0: 3}", "once"},
                             {"{1: 2, 3}", "throughout"},
                             {"'a' b'b'", "bytes with bytes"},
                             {"-'a'", "literal"},
                             {"-None", "number"},
                             {"+True", "number"},
                             {"[+set()]", "number"},
                             {"-(1)", "literal"},
                             {"(set)()", "literal"},
                             {"'a'\n'b'", "the end"},
                             {"-\n1", "a literal"},
                             {"'a\rb'", "closing quote"},
                             {".", "digit"},
                             {".e5", "digit"},
                             {"1._5", "the end"},
                             {"1_", "the end"},
                             {"ur'a'", "prefix"},
                             {"bb'a'", "prefix"},
                             {"'\xff'", "UTF-8"},
                             {"'\xed\xa0\x80'", "UTF-8"},
                             {std::string("'a\0'", 4), "NUL"},
                             {"'\\xg0'", "hex digits"},
                             {"'\\N{BULLET}'", "\\N"},
                             {"float('1.5')", "inf"},
                             {"tree_node([1])", "a literal"},
                             {"range(3)", "a literal"},
                             {std::string("1\0", 2), "NUL"},
                         }));

TEST(LiteralTestTest, ReadsNamedAndPositionalArguments) {
  const absl::StatusOr<LiteralTest> test =
      ParseLiteralTest("assert Solution().f([1, 2], 'x',n=3 , words = [\"a = b\", 'c)'] ) == -1");
  ASSERT_TRUE(test.ok()) << test.status();
  EXPECT_EQ(test->call.method, "f");
  ASSERT_EQ(test->call.positional.size(), 2u);
  ASSERT_EQ(test->call.keywords.size(), 2u);
  EXPECT_EQ(test->call.keywords[1].first, "words");
  EXPECT_EQ(*WriteLiteral(test->call.keywords[1].second), "['a = b', 'c)']");
  EXPECT_EQ(*WriteLiteral(test->expected), "-1");
}

class BadTestTest : public ::testing::TestWithParam<BadCase> {};

TEST_P(BadTestTest, IsRefusedWithAReason) {
  const absl::StatusOr<LiteralTest> test = ParseLiteralTest(GetParam().text);
  ASSERT_EQ(test.status().code(), absl::StatusCode::kInvalidArgument) << GetParam().text;
  EXPECT_THAT(std::string(test.status().message()), HasSubstr(GetParam().want));
}

INSTANTIATE_TEST_SUITE_P(Cases, BadTestTest,
                         ::testing::ValuesIn(std::vector<BadCase>{
                             {"Solution().f() == 1", "assert"},
                             {"assert Solution().f() == 1, 'message'", "no message"},
                             {"assert Solution().f()", "=="},
                             {"assert Solution().f() == 1 and True", "the end"},
                             {"assert Solution().f() is None", "=="},
                             {"assert f(1) == 1", "Solution().method"},
                             {"assert Solution().f(x = 1, x = 2) == 1", "once"},
                             {"assert Solution().f(x = 1, 2) == 1", "name = value"},
                             {"assert Solution().f(*[1]) == 1", "a literal"},
                             {"assert is_same_list(Solution().f(), [])", "list_node"},
                             {"assert is_same_list(f(), None)", "Solution().method"},
                             {"assert Solution().f(x = 1 == 1", "`)`"},
                             {"assert\nSolution().f() == 1", "Solution().method"},
                             {"assert Solution().f() ==\n1", "a literal"},
                             {"assert Solution().if() == 1", "a method name"},
                             {"assert Solution().\u20ac() == 1", "a method name"},
                             {"assert Solution().\uff46() == 1", "a method name"},
                             {"assert Solution().f(None = 1) == 1", "the name of an argument"},
                             {"assert Solution().f(x\uff46 = 1) == 1", "a literal"},
                         }));

TEST(LiteralTestTest, SpansLinesInsideBracketsAlone) {
  const absl::StatusOr<LiteralTest> test =
      ParseLiteralTest("\n assert Solution(\n) .f(\n1,\n\tx\n=\n2\n) == [\n3]\r\n");
  ASSERT_TRUE(test.ok()) << test.status();
  EXPECT_EQ(*WriteLiteral(test->expected), "[3]");
}

TEST(ParseCallTest, CountsNodesAsLevels) {
  const auto nested = [](int levels) {
    std::string text = "Solution().f(";
    for (int i = 0; i < levels; ++i) text += "list_node([";
    for (int i = 0; i < levels; ++i) text += "])";
    return text + ")";
  };
  EXPECT_TRUE(ParseCall(nested(kMaxValueDepth)).ok());
  const absl::Status refused = ParseCall(nested(100'000)).status();
  ASSERT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("levels"));
}

TEST(RefusalTest, IsOneLineOfWholeCharacters) {
  EXPECT_EQ(ParseLiteral("1 2\n3").status().message(), "test: found `2` at byte 2, expected the end");
  EXPECT_EQ(ParseLiteral("-\n1").status().message(), "test: found the end of a line at byte 1, expected a literal");
  EXPECT_EQ(ParseLiteral("1 '\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac'").status().message(),
            "test: found `'\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac` at byte 2, expected the end");
}

TEST(WriteLiteralTest, RefusesIntsThatCannotBeReadBack) {
  const std::string largest(200'000, '9');
  const absl::StatusOr<Value> value = ParseLiteral(largest);
  ASSERT_TRUE(value.ok()) << value.status();
  EXPECT_EQ(*WriteLiteral(*value), largest);
  EXPECT_FALSE(ParseLiteral("1" + largest).ok());
  EXPECT_FALSE(ParseLiteral("0x" + std::string(200'000, 'f')).ok());
  EXPECT_TRUE(ParseLiteral("0x" + std::string(166'000, 'f')).ok());
  const absl::Status refused = WriteLiteral(Value(PyInt{false, std::string(1 << 20, '\x7f')})).status();
  ASSERT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("digits"));
}

TEST(WriteLiteralTest, RefusesWhatHasNoLiteral) {
  EXPECT_FALSE(WriteLiteral(Value(PyOpaque{"Thing"})).ok());
  EXPECT_FALSE(WriteLiteral(Value(PyStr{"\xff"})).ok());
}

}  // namespace
}  // namespace evilmoe
