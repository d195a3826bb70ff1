#include "dataset/split.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <algorithm>
#include <map>
#include <sstream>

#include "environment/prompt_format.h"
#include "tests/unit/dataset/leetcode_rows.h"

namespace evilmoe {
namespace {

using ::testing::HasSubstr;

Problem Make(int64_t id, const std::string& description) {
  return {.id = id,
          .difficulty = id % 2 == 0 ? "easy" : "hard",
          .prompt = {{"user", UserPrompt(description, "f", "class Solution: ...")}},
          .func_name = "Solution().f",
          .gt_answer = {"assert Solution().f(x = 1) == 2"},
          .canonical_solution = "class Solution: ...",
          .starter_code = "class Solution: ..."};
}

std::vector<Problem> Many(int count, int64_t first = 1) {
  std::vector<Problem> problems;
  for (int64_t id = first; id < first + count; ++id) problems.push_back(Make(id, absl::StrCat("Problem number ", id)));
  return problems;
}

TEST(ParseShares, ReadsNamesAndFractions) {
  const auto shares = ParseShares("train=0.8,val_1=0.1,test-b=0.1");
  ASSERT_TRUE(shares.ok()) << shares.status();
  ASSERT_EQ(shares->size(), 3u);
  EXPECT_EQ((*shares)[1].name, "val_1");
  EXPECT_EQ((*shares)[2].fraction, 0.1);
  EXPECT_TRUE(ParseShares("all=1").ok());
}

struct BadSharesCase {
  std::string name, text, want;
};

class BadSharesTest : public ::testing::TestWithParam<BadSharesCase> {};

TEST_P(BadSharesTest, SaysWhich) {
  const auto shares = ParseShares(GetParam().text);
  ASSERT_EQ(shares.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(MessageOf(shares.status()), HasSubstr(GetParam().want));
}

INSTANTIATE_TEST_SUITE_P(Cases, BadSharesTest,
                         ::testing::ValuesIn(std::vector<BadSharesCase>{
                             {"Nothing", "", "expected NAME=FRACTION"},
                             {"NoFraction", "a=0.5,b", "\"b\": expected NAME=FRACTION, the fraction above 0"},
                             {"Zero", "a=1,b=0", "\"b=0\": expected NAME=FRACTION, the fraction above 0"},
                             {"NotANumber", "a=nan", "the fraction above 0"},
                             {"Path", "../a=1", "the name of letters, digits, - and _"},
                             {"Twice", "a=0.5,a=0.5", "\"a=0.5\": the name occurs twice"},
                             {"TooMuch", "a=0.8,b=0.3", "the fractions sum to 1.1, expected 1"},
                             {"TooLittle", "a=0.8", "the fractions sum to 0.8, expected 1"}}),
                         [](const auto& c) { return c.param.name; });

TEST(ShareOf, IsAFunctionOfDescriptionAndSeed) {
  const auto shares = *ParseShares("train=0.8,validation=0.1,test=0.1");
  const std::vector<Problem> problems = Many(4000);
  std::map<size_t, int> sizes;
  int moved = 0;
  for (const Problem& problem : problems) {
    const size_t share = ShareOf(problem, shares, 7);
    ++sizes[share];
    moved += ShareOf(problem, shares, 8) != share;
    Problem other = Make(problem.id + 10000, " problem   NUMBER\n" + absl::StrCat(problem.id));
    other.gt_answer = {"assert Solution().f(x = 3) == 4"};
    EXPECT_EQ(ShareOf(other, shares, 7), share) << problem.id;
  }
  // Five standard deviations around the fractions.
  EXPECT_NEAR(sizes[0], 3200, 130);
  EXPECT_NEAR(sizes[1], 400, 95);
  EXPECT_NEAR(sizes[2], 400, 95);
  EXPECT_GT(moved, 1000);
}

TEST(CheckDisjoint, FindsIdsAndDescriptions) {
  EXPECT_TRUE(CheckDisjoint(Many(5), Many(5, 100)).ok());
  EXPECT_EQ(MessageOf(CheckDisjoint(Many(5), std::vector{Make(3, "another")})),
            "1 problems with the same id: 3; expected nothing in common");
  EXPECT_EQ(MessageOf(CheckDisjoint(Many(5), std::vector{Make(90, "problem  Number 4 ")})),
            "1 with the same description: 4; expected nothing in common");
  EXPECT_THAT(MessageOf(CheckDisjoint(Many(20), Many(20))),
              HasSubstr("20 problems with the same id: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 10 more"));
}

class SplitTest : public FolderTest {
 protected:
  std::filesystem::path File(const std::string& name, const std::vector<Problem>& problems) const {
    EXPECT_TRUE(WriteProblems(folder_ / name, problems).ok());
    return folder_ / name;
  }
  std::vector<int64_t> IdsOf(const std::string& name) const {
    std::vector<int64_t> ids;
    const auto problems = LoadProblems(folder_ / "out" / name);
    EXPECT_TRUE(problems.ok()) << problems.status();
    for (const Problem& problem : *problems) ids.push_back(problem.id);
    return ids;
  }
  std::ostringstream table_;
};

TEST_F(SplitTest, WritesDisjointSharesOfAll) {
  const SplitOptions options{.from = File("all.jsonl", Many(300)), .out = folder_ / "out", .seed = 3};
  ASSERT_TRUE(SplitProblems(options, table_).ok());
  std::vector<int64_t> all;
  for (const char* name : {"train.jsonl", "validation.jsonl", "test.jsonl"}) {
    const std::vector<int64_t> ids = IdsOf(name);
    EXPECT_TRUE(std::ranges::is_sorted(ids)) << name;
    all.insert(all.end(), ids.begin(), ids.end());
  }
  std::ranges::sort(all);
  EXPECT_EQ(all.size(), 300u);
  EXPECT_EQ(std::ranges::adjacent_find(all), all.end());
  EXPECT_THAT(table_.str(), HasSubstr("train"));
  const std::vector<int64_t> test = IdsOf("test.jsonl");
  // A smaller file: what is left of it stays where it was.
  const SplitOptions fewer{.from = File("fewer.jsonl", Many(150)), .out = folder_ / "out", .seed = 3};
  ASSERT_TRUE(SplitProblems(fewer, table_).ok());
  for (const int64_t id : IdsOf("test.jsonl")) EXPECT_TRUE(std::ranges::binary_search(test, id)) << id;
}

TEST_F(SplitTest, WritesNothingWhenSomethingOverlaps) {
  SplitOptions options{.from = File("all.jsonl", Many(300)), .out = folder_ / "out"};
  options.against = {File("fine.jsonl", Many(5, 1000)), File("same.jsonl", Many(2, 299))};
  const absl::Status status = SplitProblems(options, table_);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(MessageOf(status),
            absl::StrCat(options.from.string(), " and ", options.against[1].string(),
                         ": 2 problems with the same id: 299, 300; 2 with the same description: 299, 300; "
                         "expected nothing in common"));
  EXPECT_FALSE(std::filesystem::exists(options.out));
}

TEST_F(SplitTest, NeverWritesOverWhatItReads) {
  std::filesystem::create_directories(folder_ / "out");
  const SplitOptions options{.from = File("out/train.jsonl", Many(300)), .out = folder_ / "out/../out"};
  const std::string bytes = *ReadFile(options.from);
  EXPECT_THAT(MessageOf(SplitProblems(options, table_)), HasSubstr("train.jsonl: is another file of this command"));
  EXPECT_EQ(*ReadFile(options.from), bytes);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "out/validation.jsonl"));
}

TEST_F(SplitTest, LeavesNoSharesOfTwoDraws) {
  SplitOptions options{.from = File("all.jsonl", Many(300)), .out = folder_ / "out", .shares = "a=0.1,b=0.9"};
  ASSERT_TRUE(SplitProblems(options, table_).ok());
  options.seed = 1;
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = signal(SIGXFSZ, SIG_IGN);
  // As if the disk were full behind the first share.
  const rlimit small{.rlim_cur = std::filesystem::file_size(folder_ / "out/b.jsonl") / 2, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const absl::Status full = SplitProblems(options, table_);
  EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  signal(SIGXFSZ, handler);
  EXPECT_FALSE(full.ok());
  EXPECT_TRUE(std::filesystem::exists(folder_ / "out/a.jsonl"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "out/b.jsonl"));
}

TEST_F(SplitTest, RefusesAnEmptyShare) {
  const SplitOptions options{.from = File("all.jsonl", Many(3)), .out = folder_ / "out", .shares = "a=0.999,b=0.001"};
  EXPECT_THAT(MessageOf(SplitProblems(options, table_)), HasSubstr("--splits: b: none of the 3 problems falls in it"));
  EXPECT_FALSE(std::filesystem::exists(options.out));
}

}  // namespace
}  // namespace evilmoe
