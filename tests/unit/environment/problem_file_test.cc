#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "environment/problem.h"

namespace evilmoe {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

Problem Twice(int64_t id) {
  return {.id = id,
          .difficulty = "easy",
          .prompt = {{"user", "Double x and should pass all tests."}},
          .func_name = "Solution().twice",
          .gt_answer = {"assert Solution().twice(x = 2) == 4"},
          .canonical_solution = "class Solution:\n    def twice(self, x):\n        return 2 * x\n",
          .starter_code = "class Solution:\n    def twice(self, x):\n"};
}

std::string Line(int64_t id) { return ProblemToJson(Twice(id)).dump() + "\n"; }
std::string MessageOf(const absl::Status& status) { return std::string(status.message()); }

int64_t PeakBytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return int64_t{usage.ru_maxrss} << 10;
}

class ProblemFileTest : public ::testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(folder_); }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  absl::StatusOr<std::vector<Problem>> Load(const std::string& text) const {
    EXPECT_TRUE(WriteFileAtomic(file_, text).ok());
    return LoadProblems(file_);
  }

  const std::filesystem::path folder_ =
      std::filesystem::path(::testing::TempDir()) / ("evilmoe_problem_file_test." + std::to_string(getpid()));
  const std::filesystem::path file_ = folder_ / "problems.jsonl";
};

struct BadFileCase {
  std::string name;
  std::string second_line;  // between two good ones; with its end
  std::string want;
};

class BadProblemFileTest : public ProblemFileTest, public ::testing::WithParamInterface<BadFileCase> {};

TEST_P(BadProblemFileTest, GetsOneLine) {
  const auto problems = Load(Line(1) + GetParam().second_line + Line(3));
  ASSERT_EQ(problems.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(MessageOf(problems.status()), absl::StrCat(file_.string(), ": line 2: ", GetParam().want));
}

// The line of problem 2 with `from` in it replaced.
std::string Changed(const std::string& from, const std::string& to) {
  std::string line = Line(2);
  const size_t at = line.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return at == std::string::npos ? line : line.replace(at, from.size(), to);
}

INSTANTIATE_TEST_SUITE_P(
    Cases, BadProblemFileTest,
    ::testing::ValuesIn(std::vector<BadFileCase>{
        {"Cut", Line(2).substr(0, 40) + "\n", "not JSON: it ends too early, after 40 bytes"},
        {"NoJson", "id,difficulty\n", "not JSON, at byte 1"},
        {"List", "[]\n", "problem: a array, expected an object"},
        {"TwoProblemsInALine", Line(2).substr(0, Line(2).size() - 1) + Line(4),
         absl::StrCat("not JSON, at byte ", Line(2).size())},
        {"IdTwice", Line(1), "id: 1 occurs before, expected every id once"},
        {"KeyTwice", Changed("\"difficulty\"", "\"id\":5,\"difficulty\""),
         "\"id\" occurs twice in one object, expected once"},
        {"KeyOfAMessageTwice", Changed("\"role\"", "\"role\":\"system\",\"role\""),
         "\"role\" occurs twice in one object, expected once"},
        {"IdIsText", Changed("\"id\":2", "\"id\":\"2\""), "id: a string, expected an integer"},
        {"IdIsHuge", Changed("\"id\":2", "\"id\":18446744073709551615"),
         "id: 18446744073709551615, expected an integer of 64 bits"},
        {"AssertsAreText", Changed("[\"assert Solution().twice(x = 2) == 4\"]", "\"assert True\""),
         "gt_answer: expected a non-empty list of assert statements"},
        {"NoAssert", Changed("assert Solution()", "print(Solution()"),
         "gt_answer[0]: \"print(Solution().twice(x = 2) == 4\" is no assert, expected it to begin with \"assert \""},
        {"AssertWithoutSpace", Changed("assert Solution()", "assertSolution()"),
         "gt_answer[0]: \"assertSolution().twice(x = 2) == 4\" is no assert, expected it to begin with \"assert \""},
        {"LongDifficulty", Changed("easy", std::string(1000, 'e')),
         "difficulty: \"" + std::string(60, 'e') + "\"..., expected easy, medium or hard"},
        {"NotUtf8", Changed("Double", "\xc3\x28"), "not JSON, at byte 66"}}),
    [](const auto& c) { return c.param.name; });

TEST_F(ProblemFileTest, SaysThatTheFileIsCut) {
  const std::string whole = Line(1) + Line(2);
  const auto problems = Load(whole.substr(0, whole.size() - 30));
  EXPECT_EQ(MessageOf(problems.status()),
            absl::StrCat(file_.string(),
                         ": line 2: the last line has no end; is the file cut short?: not JSON: it ends "
                         "too early, after ",
                         Line(2).size() - 30, " bytes"));
}

TEST_F(ProblemFileTest, ReadsALastLineWithoutEnd) {
  const std::string whole = Line(1) + Line(2);
  const auto problems = Load(whole.substr(0, whole.size() - 1));
  ASSERT_TRUE(problems.ok()) << problems.status();
  EXPECT_EQ(problems->size(), 2u);
}

TEST_F(ProblemFileTest, RefusesALineOf100MegabytesWithoutHoldingIt) {
  constexpr int kMegabytes = 100;
  {
    std::ofstream out(file_);
    out << Line(1) << "{\"id\": 2, \"setup_code\": \"";
    for (int i = 0; i < kMegabytes; ++i) out << std::string(1'000'000, 'x');
    out << "\"}\n" << Line(1);
  }
  const int64_t before = PeakBytes();
  const auto problems = LoadProblems(file_);
  EXPECT_LT(PeakBytes() - before, int64_t{90} << 20);
  EXPECT_EQ(MessageOf(problems.status()), absl::StrCat(file_.string(), ": line 2: longer than 16777216 bytes\n",
                                                       "line 3: id: 1 occurs before, expected every id once"));
}

TEST_F(ProblemFileTest, TakesALineJustBelowTheLimit) {
  Problem problem = Twice(1);
  problem.setup_code = std::string(kMaxProblemLineBytes - Line(1).size() + 1, '#');
  ASSERT_TRUE(WriteProblems(file_, std::vector{problem}).ok());
  EXPECT_EQ(std::filesystem::file_size(file_), kMaxProblemLineBytes + 1);
  EXPECT_TRUE(LoadProblems(file_).ok());
  problem.setup_code += "#";
  EXPECT_THAT(MessageOf(WriteProblems(file_, std::vector{problem})), EndsWith("line 1: longer than 16777216 bytes"));
}

TEST_F(ProblemFileTest, ComesBackAsItWasWritten) {
  Problem problem = Twice(7);
  problem.setup_code = "# \xc3\xa9\xe2\x82\xac \"\\ \t\x01\n";
  ASSERT_TRUE(WriteProblems(file_, std::vector{problem, Twice(3)}).ok());
  const std::string bytes = *ReadFile(file_);
  const auto read = LoadProblems(file_);
  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_EQ(read->size(), 2u);
  EXPECT_EQ((*read)[0].setup_code, problem.setup_code);
  EXPECT_EQ((*read)[1].id, 3);
  ASSERT_TRUE(WriteProblems(file_, *read).ok());
  EXPECT_EQ(*ReadFile(file_), bytes);
}

struct BadWriteCase {
  std::string name;
  std::function<void(std::vector<Problem>&)> spoil;
  std::string want;
};

class BadWriteTest : public ProblemFileTest, public ::testing::WithParamInterface<BadWriteCase> {};

TEST_P(BadWriteTest, LeavesTheFileAsItWas) {
  ASSERT_TRUE(WriteProblems(file_, std::vector{Twice(9)}).ok());
  std::vector<Problem> problems = {Twice(1), Twice(2)};
  GetParam().spoil(problems);
  const absl::Status status = WriteProblems(file_, problems);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(MessageOf(status), HasSubstr(GetParam().want));
  EXPECT_EQ(*ReadFile(file_), Line(9));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);
}

INSTANTIATE_TEST_SUITE_P(
    Cases, BadWriteTest,
    ::testing::ValuesIn(std::vector<BadWriteCase>{
        {"SameId", [](auto& problems) { problems[1].id = 1; }, "line 2: id: 1 occurs before"},
        {"NoAssert", [](auto& problems) { problems[1].gt_answer = {"pass"}; },
         "line 2: gt_answer[0]: \"pass\" is no assert"},
        {"NoDifficulty", [](auto& problems) { problems[0].difficulty = ""; }, "line 1: difficulty"},
        {"NotUtf8", [](auto& problems) { problems[1].setup_code = "\xff"; }, "problem 2: a text that is not UTF-8"},
        {"None", [](auto& problems) { problems.clear(); }, "no problem in it"}}),
    [](const auto& c) { return c.param.name; });

}  // namespace
}  // namespace evilmoe
