// LeetCodeDataset's own files. They are not in this repository.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <variant>

#include "dataset/build.h"
#include "dataset/id_list.h"
#include "grader_sandbox/literal_parser.h"
#include "tests/unit/dataset/leetcode_rows.h"

namespace evilmoe {
namespace {

class PublishedDataTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(SharedData() / "leetcode")) {
      GTEST_SKIP() << "no LeetCodeDataset in " << SharedData() << "; set EVILMOE_SHARED to the folder above it";
    }
  }

  static std::vector<LeetCodeRow> Rows(const std::string& version) {
    auto rows = LoadLeetCodeRows(SharedData() / "leetcode" / ("LeetCodeDataset-" + version + ".jsonl.gz"));
    EXPECT_TRUE(rows.ok()) << rows.status();
    return *std::move(rows);
  }
};

TEST_F(PublishedDataTest, GivesTheProblemsOfTheEvaluation) {
  const auto ids = LoadIds(SharedData() / "leetcode/eval_ids.txt");
  ASSERT_TRUE(ids.ok()) << ids.status();
  const auto selection = SelectRows(Rows("v0.3.1-test"), {"medium", "hard"}, *ids);
  ASSERT_TRUE(selection.ok()) << selection.status();
  ASSERT_EQ(selection->rows.size(), 119u);
  size_t num_tests = 0;
  for (size_t i = 0; i < 119; ++i) {
    const LeetCodeRow& row = selection->rows[i];
    const auto made = ProblemOfRow(row, {});
    ASSERT_TRUE(std::holds_alternative<Problem>(made)) << row.id;
    const Problem& problem = std::get<Problem>(made);
    EXPECT_EQ(problem.id, (*ids)[i]);
    num_tests += problem.gt_answer.size();
    ASSERT_EQ(problem.gt_answer.size(), row.examples.size()) << row.id;
    const bool returns_text = row.starter_code.find("-> str") != std::string::npos;
    for (size_t k = 0; k < row.examples.size(); ++k) {
      const std::string quote = returns_text ? "\"" : "";
      EXPECT_EQ(problem.gt_answer[k], absl::StrCat("assert ", row.entry_point, "(", row.examples[k].input,
                                                   ") == ", quote, row.examples[k].output, quote));
      EXPECT_TRUE(ParseLiteralTest(problem.gt_answer[k]).ok()) << row.id << " " << k;
    }
  }
  EXPECT_EQ(num_tests, 12592u);
}

TEST_F(PublishedDataTest, MakesAProblemOfEveryRow) {
  for (const char* version : {"v0.3.1-test", "v0.2.0-train"}) {
    for (const LeetCodeRow& row : Rows(version)) {
      EXPECT_TRUE(std::holds_alternative<Problem>(ProblemOfRow(row, {}))) << version << " " << row.id;
    }
  }
}

}  // namespace
}  // namespace evilmoe
