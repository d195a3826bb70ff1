#include "grader_sandbox/examined_tests.h"

#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "gmock/gmock.h"
#include "grader_sandbox/grader.h"
#include "tests/unit/grader_sandbox/sandbox_test_kit.h"

namespace evilmoe {
namespace {

using enum VerdictKind;

struct ExaminedCase {
  std::string name;
  std::vector<std::string> tests;
  std::string code;
  VerdictKind want;
  int index = -1;
};

class ExaminedTest : public ::testing::TestWithParam<ExaminedCase> {
 protected:
  absl::StatusOr<GradeResult> Grade(const std::vector<std::string>& tests, const std::string& code) {
    Problem problem = AddOne();
    problem.gt_answer = tests;
    problem.setup_code = "def is_close(a, b):\n    return abs(a - b) < 1e-6\n";
    return grader_.Grade({.problem = problem, .response = absl::StrCat("```python\n", code, "\n```")},
                         clock_.Now() + absl::Minutes(1));
  }
  const RealClock clock_;
  const PythonComparer comparer_;
  LocalGrader grader_{{.cpu_limit = absl::Milliseconds(500)}, TestHost(), comparer_, clock_, nullptr};
};

TEST_P(ExaminedTest, GetsItsVerdict) {
  const absl::StatusOr<GradeResult> result = Grade(GetParam().tests, GetParam().code);
  ASSERT_TRUE(result.ok()) << result.status();
  const Verdict& verdict = result->verdicts.at(0).verdict;
  EXPECT_EQ(VerdictName(verdict.kind), VerdictName(GetParam().want)) << verdict.error;
  EXPECT_EQ(verdict.index, GetParam().index);
}

const std::vector<std::string> kClose = {"assert Solution().f(x = 1) == 2", "assert is_close(Solution().f(x = 2), 3.0)"};
const std::vector<std::string> kNested = {"assert Solution().f(Solution().f(1)) == 3"};

INSTANTIATE_TEST_SUITE_P(
    Cases, ExaminedTest,
    ::testing::ValuesIn(std::vector<ExaminedCase>{
        {"Right", kClose, Method("return x + 1"), kPass},
        {"WrongInTheSecond", kClose, Method("return 2"), kWrongAnswer, 1},
        {"Nested", kNested, Method("return x + 1"), kPass},
        {"NestedWrong", kNested, Method("return x if x == 2 else x + 1"), kWrongAnswer, 0},
        {"TwoCalls", {"assert sorted([Solution().f(2), Solution().f(1)]) == [2, 3]"}, Method("return x + 1"), kPass},
        {"RaisesInTheSecond", kClose, Method("return x + 1 if x == 1 else 1 / 0"), kRuntimeError, 1},
        {"ComparisonRaises", kClose, Method("return x + 1 if x == 1 else 'three'"), kWrongAnswer, 1},
        {"AlwaysEqualObject", {"assert Solution().f(x = 1) in [2, 3]"},
         "class E:\n  def __eq__(self, o): return True\n" + Method("return E()"), kWrongAnswer, 0},
        {"CannotReachTheAsserts", kClose,
         "class AssertionError(Exception): pass\ndef is_close(*a): return True\n" + Method("return 2"), kWrongAnswer, 1},
        {"ValueBreaksTheAssert", {"assert sum(range(Solution().f(x = 1))) == 1"}, Method("return 10**12"), kWrongAnswer, 0},
        {"ValueMakesACallThatCannotBeSent", {"assert Solution().f(2 ** Solution().f(2)) == 9"},
         Method("return 10**8"), kWrongAnswer, 0},
        {"ValueAsksForMoreAndMore", {"assert any(Solution().f(x) > 5 for x in range(40))"}, Method("return 0"),
         kWrongAnswer, 0},
        {"Loops", kClose, Method("\n        while True: pass"), kTimeout, 0},
        {"ExitsEarly", kClose, "import os\nos._exit(0)", kNoResult},
    }),
    [](const auto& row) { return row.param.name; });

using ExaminedTestRefusal = ExaminedTest;

TEST_F(ExaminedTestRefusal, NamesTheTestAndWhy) {
  for (const auto& [test, why] : std::vector<std::pair<std::string, std::string>>{
           {"assert True", "calls nothing"},
           {"assert Solution().g(1) in [2]", "a call of g"},
           {"assert Solution().f(object()) in [2]", "not plain"},
           {"assert (Solution().f(x = 1)", "SyntaxError"}}) {
    const absl::Status status = Grade({"assert Solution().f(x = 1) == 2", test}, Method("return x + 1")).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << test;
    EXPECT_THAT(std::string(status.message()), ::testing::AllOf(::testing::HasSubstr("test 1"), ::testing::HasSubstr(why)));
  }
}

}  // namespace
}  // namespace evilmoe
