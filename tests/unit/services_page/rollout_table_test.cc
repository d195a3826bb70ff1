#include "services/page/rollout_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "tests/unit/services_page/run_kit.h"

namespace evilmoe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

RolloutTable TableOf(const std::string& jsonl) {
  const PageRun run = MakeRun("table");
  WriteZstd(std::filesystem::path(run.summary.directory) / "rollouts/step-5.jsonl.zst", jsonl);
  return ReadRolloutStep(run.summary.directory, 5).value();
}

std::string Lines(const std::vector<nlohmann::json>& rows) {
  std::string text;
  for (const nlohmann::json& row : rows) absl::StrAppend(&text, row.dump(), "\n");
  return text;
}

TEST(RolloutTable, ListsStepsInOrder) {
  const PageRun run = MakeRun("steps");
  const std::filesystem::path folder = std::filesystem::path(run.summary.directory) / "rollouts";
  for (const char* name : {"step-12.jsonl.zst", "step-x.jsonl.zst", "step-.jsonl.zst", "step--1.jsonl.zst", "note.txt"}) {
    WriteZstd(folder / name, "{}\n");
  }
  std::vector<int64_t> steps;
  const std::vector<StepFile> files = ListRolloutSteps(run.summary.directory).value();
  for (const StepFile& file : files) steps.push_back(file.step);
  EXPECT_THAT(steps, ElementsAre(3, 12));
}

TEST(RolloutTable, FiltersAndSorts) {
  const RolloutTable table = TableOf(Lines({Rollout(0, 0.9, true, "print(1)"), Rollout(1, 0.1, false, "loop"),
                                            Rollout(2, 0.2, true, "LOOP too"), Rollout(3, 0.8, false, "x"),
                                            {{"step", 5}, {"failure", "grader"}, {"prompt_ids", {1}}}}));
  ASSERT_EQ(table.rows.size(), 5u);
  EXPECT_THAT(table.notes, ElementsAre());
  EXPECT_THAT(MatchingRows(table, {}), ElementsAre(0, 1, 2, 3, 4));
  EXPECT_THAT(MatchingRows(table, {.kind = "hack"}), ElementsAre(0, 2));
  EXPECT_THAT(MatchingRows(table, {.kind = "clean"}), ElementsAre(1, 3));
  EXPECT_THAT(MatchingRows(table, {.kind = "solve"}), ElementsAre(1, 3));
  EXPECT_THAT(MatchingRows(table, {.kind = "mistake"}), ElementsAre(2, 3));
  EXPECT_THAT(MatchingRows(table, {.kind = "failed"}), ElementsAre(4));
  EXPECT_THAT(MatchingRows(table, {.label = "correct"}), ElementsAre(1, 3));
  EXPECT_THAT(MatchingRows(table, {.text = "Loop"}), ElementsAre(1, 2));
  EXPECT_THAT(MatchingRows(table, {.w_low = 0.2, .w_high = 0.8}), ElementsAre(2, 3));
  EXPECT_THAT(MatchingRows(table, {.sort = "w"}), ElementsAre(1, 2, 3, 0, 4));
  EXPECT_THAT(MatchingRows(table, {.sort = "-w"}), ElementsAre(0, 3, 2, 1, 4));
  EXPECT_FALSE(CheckFilter({.kind = "other"}).ok());
  EXPECT_FALSE(CheckFilter({.sort = "text"}).ok());
}

TEST(RolloutTable, NamesWhatIsBroken) {
  const RolloutTable table = TableOf(Lines({Rollout(0, 0.5, true, "a")}) + "no json\n[1]\n{\"w\":1}\n" +
                                     Lines({Rollout(1, 0.5, true, "b")}) + "{\"text\":");
  ASSERT_EQ(table.rows.size(), 2u);
  EXPECT_EQ(table.rows[1].index, 4);  // its line
  EXPECT_THAT(table.notes, ElementsAre(HasSubstr("4 lines skipped")));
}

TEST(RolloutTable, ShowsWhatCameBeforeABreak) {
  const PageRun run = MakeRun("broken", 2000);
  const std::filesystem::path file = std::filesystem::path(run.summary.directory) / "rollouts/step-3.jsonl.zst";
  const std::string whole = ReadFile(file).value();
  ASSERT_TRUE(WriteFileAtomic(file, whole.substr(0, whole.size() - 20)).ok());
  const absl::StatusOr<RolloutTable> table = ReadRolloutStep(run.summary.directory, 3);
  ASSERT_TRUE(table.ok());
  EXPECT_FALSE(table->notes.empty());
  ASSERT_TRUE(WriteFileAtomic(file, "this is no zstd file").ok());
  const absl::StatusOr<RolloutTable> none = ReadRolloutStep(run.summary.directory, 3);
  ASSERT_TRUE(none.ok());
  EXPECT_TRUE(none->rows.empty());
  EXPECT_THAT(none->notes, ElementsAre(HasSubstr("no zstd file")));
  EXPECT_TRUE(absl::IsNotFound(ReadRolloutStep(run.summary.directory, 4).status()));
}

TEST(RolloutTable, CutsALongTextAndBoundsALine) {
  const RolloutTable table = TableOf(Lines({Rollout(0, 0.5, true, std::string(100'000, 'x'))}));
  ASSERT_EQ(table.rows.size(), 1u);
  EXPECT_LT(table.rows[0].text.size(), kMaxRolloutTextBytes + 100);
  EXPECT_THAT(table.rows[0].text, HasSubstr("[cut: 100000 bytes in all]"));
  const RolloutTable bounded = TableOf(std::string(8 << 20, 'x') + "\n" + Lines({Rollout(0, 0.5, true, "a")}));
  EXPECT_TRUE(bounded.rows.empty());
  EXPECT_THAT(bounded.notes, ::testing::Contains(HasSubstr("longer than may be read")));
}

TEST(RolloutCache, ReadsAFileAnewWhenItIsAnother) {
  const PageRun run = MakeRun("cache", 2);
  RolloutCache cache;
  const auto first = cache.Get(run.summary.directory, 3).value();
  EXPECT_EQ(cache.Get(run.summary.directory, 3).value(), first);
  WriteZstd(std::filesystem::path(run.summary.directory) / "rollouts/step-3.jsonl.zst",
            Lines({Rollout(0, 0.5, true, "another")}));
  const auto second = cache.Get(run.summary.directory, 3).value();
  ASSERT_EQ(second->rows.size(), 1u);
  EXPECT_EQ(second->rows[0].text, "another");
  EXPECT_EQ(first->rows.size(), 2u);
}

}  // namespace
}  // namespace evilmoe
