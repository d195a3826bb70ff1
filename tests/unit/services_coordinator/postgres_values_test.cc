#include "services/coordinator/postgres_values.h"

#include "common/seed.h"
#include "gtest/gtest.h"
#include "services/coordinator/postgres_errors.h"

namespace evilmoe {
namespace {

TEST(PostgresTextTest, LeavesOrdinaryTextAsItIs) {
  for (const std::string& text :
       {std::string(), std::string("plain"), std::string("Größe ☃ 😀\n\t\\'\""), std::string("\x7f\xef\xbf\xbf")}) {
    EXPECT_EQ(ToPostgresText(text), text);
    EXPECT_EQ(FromPostgresText(text), text);
  }
}

TEST(PostgresTextTest, WritesWhatTheServerDoesNotTakeInAnotherWay) {
  EXPECT_EQ(ToPostgresText(std::string("a\0b", 3)),
            "a\x1a"
            "00b");
  EXPECT_EQ(ToPostgresText("\x1a"),
            "\x1a"
            "1a");
  EXPECT_EQ(ToPostgresText("\xc3"),
            "\x1a"
            "c3")
      << "half a character";
  EXPECT_EQ(ToPostgresText("\xc0\x80"),
            "\x1a"
            "c0\x1a"
            "80")
      << "an overlong one";
  EXPECT_EQ(ToPostgresText("\xed\xa0\x80"),
            "\x1a"
            "ed\x1a"
            "a0\x1a"
            "80")
      << "half a surrogate pair";
  EXPECT_EQ(ToPostgresText("\xf4\x90\x80\x80"),
            "\x1a"
            "f4\x1a"
            "90\x1a"
            "80\x1a"
            "80")
      << "beyond the last one";
}

TEST(PostgresTextTest, GivesAnyBytesBack) {
  RandomStream random(1);
  for (int i = 0; i < 2000; ++i) {
    std::string text(static_cast<size_t>(random.Int(0, 12)), '\0');
    for (char& byte : text) byte = random.Bernoulli(0.3) ? '\x1a' : static_cast<char>(random.Bits());
    EXPECT_EQ(FromPostgresText(ToPostgresText(text)), text);
  }
}

TEST(PostgresTextTest, ReadsWhatSomebodyElseWrote) {
  EXPECT_EQ(FromPostgresText("a\x1a"), "a\x1a");
  EXPECT_EQ(FromPostgresText("a\x1a"
                             "0"),
            "a\x1a"
            "0");
}

TEST(PostgresValuesTest, IntegersKeepTheirSign) {
  for (const int64_t value : {INT64_MIN, int64_t{-2}, int64_t{-1}, int64_t{0}, int64_t{1}, INT64_MAX}) {
    EXPECT_EQ(ReadPostgresInteger(WritePostgresInteger(value)), value);
  }
  EXPECT_EQ(ReadPostgresInteger(std::string("\xff\xff\xff\xfe", 4)), -2) << "an int";
  EXPECT_EQ(ReadPostgresInteger("\x01"), 1) << "a bool";
  EXPECT_EQ(ReadPostgresInteger(""), 0) << "null";
}

TEST(PostgresErrorsTest, CodesSayWhetherAgainMayHelp) {
  using enum absl::StatusCode;
  for (const auto& [state, code] : std::vector<std::pair<std::string, absl::StatusCode>>{
           {"08006", kUnavailable},        {"40001", kUnavailable},        {"40P01", kUnavailable},
           {"57014", kUnavailable},        {"57P01", kUnavailable},        {"55P03", kUnavailable},
           {"53300", kUnavailable},        {"25006", kUnavailable},        {"58030", kUnavailable},
           {"53100", kResourceExhausted},  {"53200", kResourceExhausted},  {"EM001", kFailedPrecondition},
           {"42501", kFailedPrecondition}, {"28P01", kFailedPrecondition}, {"3D000", kFailedPrecondition},
           {"XX001", kDataLoss},           {"XX002", kDataLoss},           {"42601", kInternal},
           {"23503", kInternal},           {"54000", kInternal},           {"XX000", kInternal}}) {
    EXPECT_EQ(CodeOfSqlState(state), code) << state;
  }
}

}  // namespace
}  // namespace evilmoe
