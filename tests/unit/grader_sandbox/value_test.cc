#include "grader_sandbox/value.h"

#include "absl/strings/str_cat.h"
#include "grader_sandbox/literal_parser.h"
#include "grader_sandbox/value_codec.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace evilmoe {
namespace {

Value Literal(const std::string& text) {
  const absl::StatusOr<Value> value = ParseLiteral(text);
  EXPECT_TRUE(value.ok()) << text << ": " << value.status();
  return value.ok() ? *value : Value(PyOpaque{"bad"});
}

struct EqualCase {
  std::string a;
  std::string b;
  bool want;
};

class PythonEqualTest : public ::testing::TestWithParam<EqualCase> {};

TEST_P(PythonEqualTest, AgreesWithPythonBothWays) {
  const auto& [a, b, want] = GetParam();
  EXPECT_EQ(PythonEqual(Literal(a), Literal(b)), want) << a << " == " << b;
  EXPECT_EQ(PythonEqual(Literal(b), Literal(a)), want) << b << " == " << a;
  if (want) {
    EXPECT_EQ(PythonHash(Literal(a)), PythonHash(Literal(b)));
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, PythonEqualTest,
                         ::testing::ValuesIn(std::vector<EqualCase>{
                             {"True", "1", true},
                             {"True", "1.0", true},
                             {"False", "0", true},
                             {"0.0", "-0.0", true},
                             {"None", "False", false},
                             {"None", "None", true},
                             {"1", "1.5", false},
                             {"9007199254740993", "9007199254740992.0", false},
                             {"9007199254740992", "9007199254740992.0", true},
                             {"10000000000000000000000", "1e22", true},
                             {"100000000000000000000000", "1e23", false},
                             {"-5", "-5.0", true},
                             {"-5", "5", false},
                             {"256", "256.0", true},
                             {"1e308", "1", false},
                             {"float('nan')", "float('nan')", false},
                             {"float('inf')", "inf", true},
                             {"float('inf')", "-inf", false},
                             {"float('inf')", "1" + std::string(400, '0'), false},
                             {"[1, 2]", "(1, 2)", false},
                             {"[1, 2]", "[1, 2]", true},
                             {"[1, 2]", "[2, 1]", false},
                             {"[1, 2]", "[1, 2, 3]", false},
                             {"{1, 2}", "{2, 1.0}", true},
                             {"{1, 2}", "{1, 3}", false},
                             {"set()", "{}", false},
                             {"{1: 'a', 2: 'b'}", "{2: 'b', True: 'a'}", true},
                             {"{1: 'a'}", "{1: 'b'}", false},
                             {"{1: 'a'}", "{2: 'a'}", false},
                             {"'a'", "b'a'", false},
                             {"'1'", "1", false},
                             {"'\\ud800'", "'\\ud800'", true},
                             {"[[], {}, ()]", "[[], {}, ()]", true},
                             {"{(1, 'x'): [1]}", "{(1.0, 'x'): [True]}", true},
                         }));

TEST(PythonEqualTest, OpaqueEqualsNothing) {
  const Value opaque(PyOpaque{"Thing"});
  EXPECT_FALSE(PythonEqual(opaque, opaque));
  EXPECT_FALSE(PythonEqual(opaque, Value(PyNone{})));
}

TEST(ValueCodecTest, RoundTripKeepsEveryKind) {
  const std::string text =
      "[None, True, False, 0, -1, 255, 123456789012345678901234567890, 1.5, -0.0, inf, 'é\\ud800', b'\\x00\\xff', [], "
      "(1,), {1, 'a'}, {'k': [1, {2: ()}]}]";
  const Value value = Literal(text);
  std::string bytes;
  ASSERT_TRUE(EncodeValue(value, 1 << 20, bytes).ok());
  ByteReader reader(bytes);
  const absl::StatusOr<Value> back = DecodeValue(reader);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_TRUE(reader.AtEnd().ok());
  EXPECT_TRUE(PythonEqual(*back, value));
  EXPECT_EQ(*WriteLiteral(*back), *WriteLiteral(value));
}

std::string Nested(int depth) { return std::string(depth, '[') + std::string(depth, ']'); }

TEST(ValueCodecTest, DepthIsLimitedBothWays) {
  EXPECT_TRUE(ParseLiteral(Nested(kMaxValueDepth)).ok());
  EXPECT_FALSE(ParseLiteral(Nested(kMaxValueDepth + 2)).ok());
  Value deep{PyList{}};
  for (int i = 0; i < kMaxValueDepth + 1; ++i) deep = Value(PyList{{deep}});
  std::string bytes;
  EXPECT_EQ(EncodeValue(deep, 1 << 20, bytes).code(), absl::StatusCode::kInvalidArgument);
  std::string hostile;
  for (int i = 0; i < 100'000; ++i) hostile += std::string("l\1\0\0\0", 5);
  ByteReader reader(hostile);
  EXPECT_EQ(DecodeValue(reader).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(ValueCodecTest, SetOfManyNansDoesNotCollide) {
  std::string nan = "f";
  AppendU64(nan, 0x7ff8000000000000);
  std::string bytes = "S";
  const uint32_t count = 200'000;
  AppendU32(bytes, count);
  for (uint32_t i = 0; i < count; ++i) bytes += i % 2 == 0 ? nan : std::string("o\1\0\0\0x", 6);
  ByteReader reader(bytes);
  const absl::StatusOr<Value> set = DecodeValue(reader);  // minutes, if it did
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_FALSE(PythonEqual(*set, *set));
}

TEST(ValueCodecTest, SizeIsLimited) {
  std::string bytes;
  EXPECT_EQ(EncodeValue(Value(PyStr{std::string(100, 'a')}), 50, bytes).code(), absl::StatusCode::kResourceExhausted);
}

class HostileBytesTest : public ::testing::TestWithParam<std::string> {};

TEST_P(HostileBytesTest, IsRefused) {
  ByteReader reader(GetParam());
  EXPECT_EQ(DecodeValue(reader).status().code(), absl::StatusCode::kInvalidArgument);
}

INSTANTIATE_TEST_SUITE_P(Cases, HostileBytesTest,
                         ::testing::Values("", "?", "i", std::string("i\1\0\0\0", 5), std::string("i\1\0\0\0\0", 6),
                                           std::string("n\0\0\0\0", 5), "l\xff\xff\xff\xff", "s\xff\xff\xff\x7f",
                                           std::string("S\2\0\0\0TT", 7), std::string("S\2\0\0\0Ti\1\0\0\0\1", 12),
                                           std::string("S\1\0\0\0l\0\0\0\0", 10), std::string("d\2\0\0\0NTNF", 9),
                                           std::string("d\1\0\0\0N", 6), "f1234567"));

TEST(ValueCodecTest, EveryCutAndEveryFlippedByteIsHandled) {
  std::string bytes;
  ASSERT_TRUE(EncodeValue(Literal("[1, 'abc', {2: (3.5, None)}, {4}, b'x']"), 1 << 20, bytes).ok());
  for (size_t cut = 0; cut < bytes.size(); ++cut) {
    ByteReader reader(std::string_view(bytes).substr(0, cut));
    EXPECT_FALSE(DecodeValue(reader).ok()) << cut;
  }
  int refused = 0;
  for (size_t at = 0; at < bytes.size(); ++at) {
    for (int byte = 0; byte < 256; ++byte) {
      std::string damaged = bytes;
      damaged[at] = static_cast<char>(byte);
      ByteReader reader(damaged);
      refused += DecodeValue(reader).ok() ? 0 : 1;
    }
  }
  EXPECT_GT(refused, 1000);
}

}  // namespace
}  // namespace evilmoe
