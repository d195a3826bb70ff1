#include "proto/security/token_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/hash.h"

namespace evilmoe {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string Entry(const std::string& name, const std::string& role, const std::string& token) {
  return absl::StrCat("- {name: ", name, ", role: ", role, ", sha256: \"", Sha256Hex(token), "\"}\n");
}

TEST(TokenTable, FindsWhoseTokenItIs) {
  const auto table = TokenTable::Parse(
      Entry("alice", "submit", "one") + Entry("w-1.x_y", "worker", "two") + Entry("5", "read", "three"), "t");
  ASSERT_TRUE(table.ok()) << table.status();
  ASSERT_NE(table->Find("two"), nullptr);
  EXPECT_EQ(table->Find("two")->name, "w-1.x_y");
  EXPECT_EQ(table->Find("two")->role, Role::kWorker);
  EXPECT_EQ(table->Find("one")->role, Role::kSubmit);
  EXPECT_EQ(table->Find("three")->name, "5");
  for (const std::string& other : {std::string(), std::string("tw"), std::string("two "), Sha256Hex("two"),
                                   std::string("two\0", 4), std::string(TokenTable::kMaxTokenBytes + 1, 'x')}) {
    EXPECT_EQ(table->Find(other), nullptr) << other;
  }
}

TEST(TokenTable, AnEmptyListLetsNobodyIn) {
  const auto table = TokenTable::Parse("[]", "t");
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_EQ(table->Find("x"), nullptr);
}

struct BadTable {
  std::string name, yaml, want;
};
class BadTableTest : public ::testing::TestWithParam<BadTable> {};

TEST_P(BadTableTest, IsRefusedWithItsPlace) {
  const auto table = TokenTable::Parse(GetParam().yaml, "t.yaml");
  EXPECT_EQ(table.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(table.status().message()), HasSubstr(GetParam().want));
}

INSTANTIATE_TEST_SUITE_P(Cases, BadTableTest, ::testing::ValuesIn(std::vector<BadTable>{
    {"Empty", "", "expected a list"},
    {"Map", "name: x", "t.yaml:1:1: expected a list"},
    {"NotYaml", "- {", "t.yaml:"},
    {"TextEntry", "- x", "t.yaml:1:3: expected {name: alice"},
    {"NoName", "- {role: read, sha256: " + std::string(64, 'a') + "}", "name: got \"\""},
    {"BadName", "- {name: \"a b\", role: read, sha256: " + std::string(64, 'a') + "}", "name: got \"a b\""},
    {"BadRole", "- {name: a, role: root, sha256: " + std::string(64, 'a') + "}",
     "role: got \"root\", expected read, submit, admin or worker"},
    {"ShortHash", "- {name: a, role: read, sha256: abc}", "sha256: expected 64 hex digits"},
    {"NoHex", "- {name: a, role: read, sha256: " + std::string(64, 'g') + "}", "sha256: expected 64 hex digits"},
    {"UnknownKey", Entry("a", "read", "x") + "- {name: b, role: read, sha256: " + std::string(64, 'b') + ", token: s}",
     "t.yaml:2:"},
    {"SameName", Entry("a", "read", "x") + Entry("a", "read", "y"), "name: a stands twice"},
    {"SameToken", Entry("a", "read", "x") + Entry("b", "read", "x"), "sha256: stands twice"}}),
    [](const auto& c) { return c.param.name; });

TEST(TokenTable, NeverShowsWhatStandsInPlaceOfTheHash) {
  const auto table = TokenTable::Parse("- {name: a, role: read, sha256: my-secret-token}", "t.yaml");
  EXPECT_THAT(std::string(table.status().message()), Not(HasSubstr("my-secret-token")));
}

TEST(Role, AllowsAsTheTableSays) {
  constexpr Role kAll[] = {Role::kRead, Role::kSubmit, Role::kAdmin, Role::kWorker};
  constexpr bool kWant[4][4] = {// what is needed: read, submit, admin, worker
                                {true, false, false, false},
                                {true, true, false, false},
                                {true, true, true, true},
                                {false, false, false, true}};
  for (int have = 0; have < 4; ++have) {
    EXPECT_EQ(ParseRole(RoleName(kAll[have])), kAll[have]);
    for (int need = 0; need < 4; ++need) EXPECT_EQ(Allows(kAll[have], kAll[need]), kWant[have][need]) << have << need;
  }
  EXPECT_EQ(ParseRole("root"), std::nullopt);
}

}  // namespace
}  // namespace evilmoe
