#include "trainer/run_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "absl/strings/str_cat.h"
#include "trainer/arm_presets.h"

namespace evilmoe {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Nothing that the file names is there.
absl::StatusOr<RunFile> Parse(const std::string& rest, const std::vector<Override>& overrides = {}) {
  return ParseRunFile("model: {path: model}\ndata: {train: train.jsonl}\npairs: pairs.md\n" + rest, "run.yaml",
                      "/nowhere", {.overrides = overrides, .files_may_be_missing = true});
}

TEST(RunFile, TellsWhatLiesOverTheArm) {
  const absl::StatusOr<RunFile> file = Parse(
      "arm: evil_moe_hard\n"
      "router:\n"
      "  hard_detach_above: null\n"
      "  direction: random\n"
      "routing: {mode: learned}\n"
      "optimizer: {learning_rate: 1}\n");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_THAT(file->notices, ElementsAre("run.yaml:6:3: router.hard_detach_above: null overrides evil_moe_hard's 0.5",
                                         "run.yaml:7:3: router.direction: random overrides evil_moe_hard's pairs"));
  EXPECT_EQ(file->config.router.hard_detach_above, std::nullopt);
}

TEST(RunFile, TellsAnOverrideOnce) {
  const std::string pinned = "arm: evil_moe_no_pin\nrouter: {pin_weight: 1}\n";
  const absl::StatusOr<RunFile> file = Parse(pinned);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_THAT(file->notices, ElementsAre("run.yaml:5:10: router.pin_weight: 1 overrides evil_moe_no_pin's 0"));
  const absl::StatusOr<RunFile> set = Parse(pinned, {{"router.pin_weight", "2"}});
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_THAT(set->notices, ElementsAre("--set router.pin_weight: 2 overrides evil_moe_no_pin's 0"));
  const absl::StatusOr<RunFile> back = Parse(pinned, {{"router.pin_weight", "0"}});
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_THAT(back->notices, IsEmpty());
}

TEST(RunFile, HasNothingToTellOfWhatTheArmSays) {
  for (const ArmPreset& arm : ArmPresets()) {
    const absl::StatusOr<RunFile> file = Parse(absl::StrCat("arm: ", std::string(arm.name), "\n"));
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_THAT(file->notices, IsEmpty()) << arm.name;
    const absl::StatusOr<RunFile> resolved =
        ParseRunFile(ToYaml(file->config), "config.yaml", "/", {.files_may_be_missing = true});
    ASSERT_TRUE(resolved.ok()) << resolved.status();
    EXPECT_THAT(resolved->notices, IsEmpty()) << arm.name;
  }
}

TEST(RunFile, ListsEveryFileThatIsMissing) {
  const absl::StatusOr<RunFile> file = Parse(
      "evaluation: {problems: test.jsonl}\n"
      "monitor: {kind: penalty, by: probe, probe: probe.safetensors, judge: {prompt: prompt.txt, cache: verdicts}}\n");
  ASSERT_TRUE(file.ok()) << file.status();
  std::vector<std::string> missing;
  for (const MissingFile& one : file->missing) {
    missing.push_back(absl::StrCat(one.field, " ", one.path.string(), one.is_folder ? "/" : ""));
  }
  EXPECT_THAT(missing,
              ElementsAre("pairs /nowhere/pairs.md", "model.path /nowhere/model/", "data.train /nowhere/train.jsonl",
                          "monitor.probe /nowhere/probe.safetensors", "monitor.judge.prompt /nowhere/prompt.txt",
                          "evaluation.problems /nowhere/test.jsonl"));
  EXPECT_EQ(file->config.monitor.judge.cache, "/nowhere/verdicts") << "need not be there";
}

TEST(RunFile, MissingFilesHideNoProblem) {
  const absl::StatusOr<RunFile> file = Parse("steps: 0\n");
  EXPECT_EQ(std::string(file.status().message()), "run.yaml:4:8: steps: out of range, got 0, expected at least 1");
}

}  // namespace
}  // namespace evilmoe
