#include "services/report/run_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/services_report/fake_run.h"

namespace evilmoe {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::SizeIs;

RecordedRun Read(const FakeRun& run) {
  absl::StatusOr<RecordedRun> record = ReadRun(run.directory());
  EXPECT_TRUE(record.ok()) << record.status();
  return record.ok() ? *std::move(record) : RecordedRun{};
}

TEST(RecordedRun, CorruptMetricsLinesAreCountedWithFileAndLine) {
  const FakeRun run;
  run.Write("metrics.jsonl", FakeRun::Step(1, 0.1, 0.2).dump() + "\n{\"step\": 2, \"hack\n[1]\n{\"no_step\": 1}\n\n" +
                                 FakeRun::Step(5, 0.1, 0.2).dump() + "\n{\"step\": 6");
  const RecordedRun record = Read(run);
  EXPECT_EQ(record.num_steps, 2);
  EXPECT_THAT(record.notes, Contains("metrics.jsonl: 4 lines skipped, no valid record (line 2, 3, 4, 7)."));
}

TEST(RecordedRun, StepsAreSortedAndTheLastTryOfAStepCounts) {
  const FakeRun run;
  run.Write("metrics.jsonl", FakeRun::Step(2, 0.9, 0).dump() + "\n" + FakeRun::Step(1, 0.1, 0).dump() + "\n" +
                                 FakeRun::Step(2, 0.5, 0).dump() + "\n");
  const RecordedRun record = Read(run);
  EXPECT_EQ(record.metrics["step"], nlohmann::ordered_json({1, 2}));
  EXPECT_EQ(record.metrics["hack_rate_strict"], nlohmann::ordered_json({0.1, 0.5}));
}

TEST(RecordedRun, FieldsOfTheWrongTypeAreUnset) {
  const FakeRun run;
  run.Write("metrics.jsonl", R"({"step": 1, "kl": "high", "w_histogram_hack": [1, 2], "w_histogram_clean": ["x"]})");
  const RecordedRun record = Read(run);
  EXPECT_TRUE(record.metrics["kl"][0].is_null());
  EXPECT_TRUE(record.metrics["w_histogram_hack"][0].is_null());
  EXPECT_TRUE(record.metrics["w_histogram_clean"][0].is_null());
}

TEST(RecordedRun, BrokenAblationIsANote) {
  for (const char* text : {"", "{", "[]", "{\"rows\": 3}"}) {
    const FakeRun run;
    run.Write("eval/ablation.json", text);
    const RecordedRun record = Read(run);
    EXPECT_TRUE(record.ablation.is_null()) << text;
    EXPECT_THAT(record.notes, Contains(HasSubstr("eval/ablation.json could not be read"))) << text;
  }
}

TEST(RecordedRun, RolloutFilesThatBreakOffGiveWhatTheyHave) {
  const FakeRun run;
  const std::string row = FakeRun::Rollout(1, 0, 0.5, true, "text").dump() + "\n";
  const std::string whole = FakeRun::Zstd(row), more = FakeRun::Zstd(row + "{broken\n");
  run.Write("rollouts/step-1.jsonl.zst", whole + more.substr(0, more.size() / 2));
  run.Write("rollouts/step-2.jsonl.zst", "no zstd at all");
  run.Write("rollouts/step-3.jsonl.zst", whole + more);
  run.Write("rollouts/notes.txt", "not a step");
  const RecordedRun record = Read(run);
  EXPECT_THAT(record.samples, SizeIs(3));
  EXPECT_THAT(record.notes, Contains("rollouts/step-1.jsonl.zst breaks off; what came before is used."));
  EXPECT_THAT(record.notes, Contains(HasSubstr("rollouts/step-2.jsonl.zst could not be read")));
  EXPECT_THAT(record.notes, Contains("rollouts/step-3.jsonl.zst: 1 line skipped, no valid record (line 3)."));
}

TEST(RecordedRun, ReadsStepsSpreadOverTheRunWithTheLastOne) {
  const FakeRun run;
  for (int step = 1; step <= 40; ++step) run.WriteRollouts(step, {FakeRun::Rollout(step, 0, 0.5, false, "x")});
  const RecordedRun record = Read(run);
  ASSERT_EQ(record.samples.size(), kMaxStepsRead);
  EXPECT_EQ(record.samples.front().step, 1);
  EXPECT_EQ(record.samples.back().step, 40);
}

TEST(RecordedRun, LongTextsAreCutBetweenCharacters) {
  const FakeRun run;
  std::string text = "a";
  for (int i = 0; i < 5000; ++i) text += "é";
  run.WriteRollouts(1, {FakeRun::Rollout(1, 0, 0.5, false, text)});
  const RecordedRun record = Read(run);
  ASSERT_EQ(record.samples.size(), 1u);
  EXPECT_THAT(record.samples[0].text, HasSubstr("é\n[cut: 10001 bytes in all]"));
  EXPECT_LT(record.samples[0].text.size(), kMaxTextBytes + 40);
}

}  // namespace
}  // namespace evilmoe
