#include "dataset/canonical_filter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "grader_sandbox/grader.h"
#include "tests/fakes/fake_clock.h"
#include "tests/unit/dataset/fake_canonical_grader.h"
#include "tests/unit/dataset/leetcode_rows.h"

namespace evilmoe {
namespace {

using ::testing::HasSubstr;

Problem AddOne(int64_t id, const std::string& body) {
  return {
      .id = id,
      .func_name = "Solution().f",
      .gt_answer = {"assert Solution().f(x = 1) == 2", absl::StrCat("assert Solution().f(x = ", id, ") == ", id + 1)},
      .canonical_solution = "class Solution:\n    def f(self, x):\n        " + body + "\n"};
}

class CanonicalFilterTest : public FolderTest {
 protected:
  absl::StatusOr<std::vector<CanonicalVerdict>> Judge(const std::vector<Problem>& problems, Grader& grader,
                                                      int num_threads = 1) {
    absl::StatusOr<std::unique_ptr<VerdictStore>> store = VerdictStore::Open(folder_ / "verdicts.jsonl");
    EXPECT_TRUE(store.ok()) << store.status();
    Progress progress("test", problems.size(), /*terminal=*/false, log_, clock_);
    return JudgeCanonical(problems, grader, num_threads, **store, progress, clock_);
  }

  const RealClock clock_;
  std::ostringstream log_;
};

TEST_F(CanonicalFilterTest, JudgesInOrderWhateverTheThreads) {
  std::vector<Problem> problems;
  for (int64_t id = 0; id < 40; ++id) problems.push_back(AddOne(id, id % 3 == 0 ? "return x" : "return x + 1"));
  for (const int num_threads : {1, 4}) {
    std::filesystem::remove(folder_ / "verdicts.jsonl");
    FakeCanonicalGrader grader;
    const auto verdicts = Judge(problems, grader, num_threads);
    ASSERT_TRUE(verdicts.ok()) << verdicts.status();
    ASSERT_EQ(verdicts->size(), problems.size());
    for (int64_t id = 0; id < 40; ++id) {
      EXPECT_EQ((*verdicts)[id].reason, id % 3 == 0 ? std::optional(DropReason::kCanonical) : std::nullopt) << id;
    }
    EXPECT_EQ(grader.num_calls(), 40);
  }
}

TEST_F(CanonicalFilterTest, GoesOnWhereItWasCutOff) {
  const std::vector<Problem> problems = {AddOne(1, "return x + 1"), AddOne(2, "return x"), AddOne(3, "return x + 1"),
                                         AddOne(4, "refuse")};
  FakeCanonicalGrader dying(2);
  const absl::Status cut = Judge(problems, dying).status();
  EXPECT_EQ(cut.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(MessageOf(cut), HasSubstr("problem 3: the sandbox gave no verdict: sandbox: gone"));
  FakeCanonicalGrader whole;
  const auto rest = Judge(problems, whole);
  ASSERT_TRUE(rest.ok()) << rest.status();
  EXPECT_EQ(whole.num_calls(), 2);
  EXPECT_EQ((*rest)[0].reason, std::nullopt);
  EXPECT_EQ((*rest)[1].reason, DropReason::kCanonical);
  EXPECT_EQ((*rest)[2].reason, std::nullopt);
  EXPECT_EQ((*rest)[3].reason, DropReason::kTests);
  FakeCanonicalGrader none(0);
  EXPECT_EQ(*Judge(problems, none), *rest);
}

TEST_F(CanonicalFilterTest, AsksAgainWhenTheTestsChanged) {
  FakeCanonicalGrader grader;
  ASSERT_TRUE(Judge({AddOne(1, "return x + 1")}, grader).ok());
  Problem changed = AddOne(1, "return x + 1");
  changed.gt_answer.emplace_back("assert Solution().f(x = 5) == 6");
  ASSERT_TRUE(Judge({changed}, grader).ok());
  EXPECT_EQ(grader.num_calls(), 2);
}

// The real sandbox tells what passes, what does not, and what is no test.
TEST_F(CanonicalFilterTest, AsksTheSandbox) {
  const absl::StatusOr<std::unique_ptr<SandboxHost>> host =
      SandboxHost::Probe({.zygote_binary = EVILMOE_BIN_DIR "/evilmoe-zygote", .use_cgroups = false});
  ASSERT_TRUE(host.ok()) << host.status();
  const PythonComparer comparer;
  LocalGrader grader({.slots = 2}, **host, comparer, clock_, nullptr);
  std::vector<Problem> problems = {AddOne(5, "return x + 1"), AddOne(6, "return 2 * x"), AddOne(7, "raise ValueError"),
                                   AddOne(8, "return x + 1"), AddOne(9, "return x + 1"), AddOne(10, "return x +")};
  problems[3].gt_answer[1] = "assert Solution().f(x = 8) == Execution timed out";
  problems[4].gt_answer[1] = "assert Solution().g(x = 8) == 9";
  const auto verdicts = Judge(problems, grader, 2);
  ASSERT_TRUE(verdicts.ok()) << verdicts.status();
  EXPECT_EQ((*verdicts)[0].reason, std::nullopt);
  EXPECT_EQ((*verdicts)[1].reason, DropReason::kCanonical);
  EXPECT_THAT((*verdicts)[1].detail, HasSubstr("WRONG_ANSWER at test 1"));
  EXPECT_EQ((*verdicts)[2].reason, DropReason::kCanonical);
  EXPECT_EQ((*verdicts)[3].reason, DropReason::kTests);
  EXPECT_EQ((*verdicts)[4].reason, DropReason::kTests);
  EXPECT_EQ((*verdicts)[5].reason, DropReason::kCanonical);
}

TEST(ProgressTest, ShowsLinesNowAndThen) {
  FakeClock clock;
  std::ostringstream out;
  {
    Progress progress("rows", 4, /*terminal=*/false, out, clock);
    progress.Step("1 pass");
    clock.Advance(absl::Seconds(5));
    progress.Step("2 pass");
    clock.Advance(absl::Seconds(7));
    progress.Step("2 pass");
    progress.Step("3 pass");
  }
  EXPECT_EQ(out.str(),
            "rows 1/4, 1 pass, 0:00, about 0:00 left\n"
            "rows 3/4, 2 pass, 0:12, about 0:04 left\n"
            "rows 4/4, 3 pass, 0:12\n");
}

TEST(ProgressTest, RedrawsABarOnATerminal) {
  FakeClock clock;
  std::ostringstream out;
  {
    Progress progress("rows", 2, /*terminal=*/true, out, clock);
    progress.Step("a");
    clock.Advance(absl::Seconds(100));
    progress.Step("b");
  }
  EXPECT_EQ(out.str(),
            "\r\x1b[K[##########..........] rows 1/2, a, 0:00, about 0:00 left"
            "\r\x1b[K[####################] rows 2/2, b, 1:40\n");
}

}  // namespace
}  // namespace evilmoe
