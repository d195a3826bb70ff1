#include "dataset/build.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <sstream>

#include "tests/fakes/fake_clock.h"
#include "tests/unit/dataset/fake_canonical_grader.h"
#include "tests/unit/dataset/leetcode_rows.h"

namespace evilmoe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class BuildTest : public FolderTest {
 protected:
  // Builds with a sandbox that goes down after `calls`.
  absl::Status Build(const BuildOptions& options, int calls = 1000) {
    num_calls_ = 0;
    const MakeGrader make = [&]() -> absl::StatusOr<std::unique_ptr<Grader>> {
      return std::make_unique<Counting>(std::make_unique<FakeCanonicalGrader>(calls), num_calls_);
    };
    table_.str("");
    return BuildProblems(options, make, clock_, log_, table_);
  }

  std::vector<int64_t> IdsOf(const std::filesystem::path& path) const {
    const auto problems = LoadProblems(path);
    EXPECT_TRUE(problems.ok()) << problems.status();
    std::vector<int64_t> ids;
    for (const Problem& problem : *problems) ids.push_back(problem.id);
    return ids;
  }

  class Counting final : public Grader {
   public:
    Counting(std::unique_ptr<Grader> grader, std::atomic<int>& calls) : grader_(std::move(grader)), calls_(calls) {}
    absl::StatusOr<GradeResult> Grade(const GradeTask& task, absl::Time deadline) override {
      ++calls_;
      return grader_->Grade(task, deadline);
    }

   private:
    const std::unique_ptr<Grader> grader_;
    std::atomic<int>& calls_;
  };

  // Seven rows, out of order and of both layouts: 5 has no starter code, 7 a wrong solution.
  std::filesystem::path Rows() const {
    nlohmann::json no_starter = NewRow(5);
    no_starter["starter_code"] = "";
    nlohmann::json wrong = NewRow(7);
    wrong["completion"] = "class Solution:\n    def f(self, x):\n        return x\n";
    return Write("rows.jsonl", Lines({NewRow(9, "Hard"), OldRow(NewRow(2)), NewRow(3, "Easy"), no_starter, wrong,
                                      OldRow(NewRow(4, "Hard")), NewRow(11)}));
  }

  BuildOptions Options() const { return {.from = Rows(), .out = folder_ / "out.jsonl"}; }

  FakeClock clock_;
  std::ostringstream log_, table_;
  std::atomic<int> num_calls_ = 0;
};

TEST_F(BuildTest, KeepsWhatIsSoundByNumber) {
  BuildOptions options = Options();
  options.dropped = folder_ / "dropped.jsonl";
  const absl::Status built = Build(options);
  ASSERT_TRUE(built.ok()) << built;
  EXPECT_THAT(IdsOf(options.out), ElementsAre(2, 3, 4, 9, 11));
  EXPECT_EQ(table_.str(),
            "      7  rows\n"
            "      1  dropped: no starter code\n"
            "      1  dropped: canonical solution does not pass its tests\n"
            "      5  kept, with 10 asserts, 1 easy, 2 medium, 2 hard\n");
  EXPECT_EQ(*ReadFile(options.dropped),
            "{\"id\":5,\"reason\":\"no_starter_code\",\"detail\":\"\"}\n"
            "{\"id\":7,\"reason\":\"canonical\",\"detail\":\"its canonical solution gets WRONG_ANSWER at test 0, "
            "expected PASS\"}\n");
}

TEST_F(BuildTest, MakesTheFolder) {
  BuildOptions options = Options();
  options.out = folder_ / "new/er/out.jsonl";
  ASSERT_TRUE(Build(options).ok());
  EXPECT_EQ(IdsOf(options.out).size(), 5u);
  options.out = options.from / "out.jsonl";
  EXPECT_THAT(MessageOf(Build(options)), HasSubstr("--out: "));
}

TEST_F(BuildTest, KnowsBeforeTheSandboxRunsThatAFileCannotBeWritten) {
  const BuildOptions good = Options();
  const std::string rows = *ReadFile(good.from);
  const std::filesystem::path ids = Write("ids.txt", "9\n2\n");
  const struct {
    std::filesystem::path out, dropped;
    const char* why;
  } cases[] = {{folder_, {}, "a folder"},
               {good.from, {}, "is another file of this command"},
               {ids, {}, "is another file of this command"},
               {good.out, good.out, "--dropped: "},
               {good.out, good.from / "dropped.jsonl", "--dropped: "}};
  for (const auto& [out, dropped, why] : cases) {
    BuildOptions options = good;
    options.ids = ids;
    options.out = out;
    options.dropped = dropped;
    EXPECT_THAT(MessageOf(Build(options)), HasSubstr(why));
    EXPECT_EQ(num_calls_, 0) << why;
    EXPECT_FALSE(std::filesystem::exists(good.out)) << why;
  }
  EXPECT_EQ(*ReadFile(good.from), rows);
}

TEST_F(BuildTest, TakesTheDifficultiesThatAreAskedFor) {
  BuildOptions options = Options();
  options.difficulties = {"easy", "hard"};
  ASSERT_TRUE(Build(options).ok());
  EXPECT_THAT(IdsOf(options.out), ElementsAre(3, 4, 9));
  EXPECT_THAT(table_.str(), HasSubstr("      4  of another difficulty\n"));
}

TEST_F(BuildTest, KeepsTheOrderOfTheIds) {
  BuildOptions options = Options();
  options.ids = Write("ids.txt", "9\n2\n4\n");
  ASSERT_TRUE(Build(options).ok());
  EXPECT_THAT(IdsOf(options.out), ElementsAre(9, 2, 4));
  EXPECT_THAT(table_.str(), HasSubstr("      4  not asked for by id\n"));
}

struct BadIdsCase {
  std::string name, ids;
  std::set<std::string> difficulties;
  std::string want;
};

class BadIdsTest : public BuildTest, public ::testing::WithParamInterface<BadIdsCase> {};

TEST_P(BadIdsTest, WriteNothing) {
  BuildOptions options = Options();
  options.ids = Write("ids.txt", GetParam().ids);
  options.difficulties = GetParam().difficulties;
  const absl::Status status = Build(options);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(MessageOf(status), HasSubstr(GetParam().want));
  EXPECT_FALSE(std::filesystem::exists(options.out));
}

INSTANTIATE_TEST_SUITE_P(
    Cases, BadIdsTest,
    ::testing::ValuesIn(std::vector<BadIdsCase>{
        {"Unknown", "2\n100\n9\n200\n", {"easy", "medium", "hard"}, "rows.jsonl: no row of problem 100, 200"},
        {"OtherDifficulty", "2\n9\n", {"medium"}, "of another difficulty than --difficulty says: 9"},
        {"Dropped",
         "2\n5\n7\n",
         {"easy", "medium", "hard"},
         "2 of its problems cannot be had: 5 (no starter code), 7 (canonical solution does not pass its tests)"},
        {"Bad", "2\nx\n", {"easy", "medium", "hard"}, "ids.txt: line 2: \"x\", expected one integer"}}),
    [](const auto& c) { return c.param.name; });

TEST_F(BuildTest, GoesOnWithoutDroppedIdsWhenTold) {
  BuildOptions options = Options();
  options.ids = Write("ids.txt", "9\n5\n7\n2\n");
  options.allow_dropped = true;
  ASSERT_TRUE(Build(options).ok());
  EXPECT_THAT(IdsOf(options.out), ElementsAre(9, 2));
}

TEST_F(BuildTest, GivesTheSameBytesWhateverTheThreadsAndTheOrderOfTheRows) {
  BuildOptions options = Options();
  ASSERT_TRUE(Build(options).ok());
  const std::string bytes = *ReadFile(options.out);
  std::vector<nlohmann::json> rows;
  std::istringstream lines(*ReadFile(options.from));
  for (std::string line; std::getline(lines, line);) rows.insert(rows.begin(), nlohmann::json::parse(line));
  options.from = Write("backwards.jsonl", Lines(rows));
  options.out = folder_ / "other.jsonl";
  options.num_threads = 5;
  ASSERT_TRUE(Build(options).ok());
  EXPECT_EQ(*ReadFile(options.out), bytes);
}

TEST_F(BuildTest, GoesOnWhereItWasCutOff) {
  const BuildOptions options = Options();
  BuildOptions whole = options;
  whole.out = folder_ / "whole.jsonl";
  ASSERT_TRUE(Build(whole).ok());
  EXPECT_EQ(num_calls_, 6);
  const absl::Status cut = Build(options, /*calls=*/2);
  EXPECT_EQ(cut.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(MessageOf(cut), HasSubstr("out.jsonl is not written; what was found so far is in "));
  EXPECT_FALSE(std::filesystem::exists(options.out));
  ASSERT_TRUE(Build(options).ok());
  EXPECT_EQ(num_calls_, 4);
  EXPECT_EQ(*ReadFile(options.out), *ReadFile(whole.out));
  ASSERT_TRUE(Build(options).ok());
  EXPECT_EQ(num_calls_, 0);
  EXPECT_EQ(*ReadFile(options.out), *ReadFile(whole.out));
}

TEST_F(BuildTest, DropsLongPrompts) {
  BuildOptions options = Options();
  options.tokenizer = std::filesystem::path(EVILMOE_SOURCE_DIR) / "examples/nano/model";
  options.max_prompt_tokens = 100000;
  ASSERT_TRUE(Build(options).ok());
  EXPECT_EQ(IdsOf(options.out).size(), 5u);
  nlohmann::json longer = NewRow(2);
  longer["problem_description"] = std::string(3000, 'x');
  options.from = Write("long.jsonl", Lines({NewRow(1), longer}));
  options.max_prompt_tokens = 1000;
  ASSERT_TRUE(Build(options).ok());
  EXPECT_THAT(IdsOf(options.out), ElementsAre(1));
  EXPECT_THAT(table_.str(), HasSubstr("      1  dropped: prompt has too many tokens\n"));
}

TEST_F(BuildTest, LeavesTheFileAloneWhenNothingIsLeft) {
  BuildOptions options = Options();
  ASSERT_TRUE(Build(options).ok());
  const std::string bytes = *ReadFile(options.out);
  nlohmann::json wrong = NewRow(1);
  wrong["completion"] = "";
  options.from = Write("wrong.jsonl", Lines({wrong}));
  EXPECT_THAT(MessageOf(Build(options)), HasSubstr("wrong.jsonl: no problem is left, nothing is written"));
  EXPECT_EQ(*ReadFile(options.out), bytes);
}

}  // namespace
}  // namespace evilmoe
