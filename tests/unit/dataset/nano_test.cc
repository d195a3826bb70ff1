#include "dataset/nano.h"

#include <gtest/gtest.h>

#include <sstream>

#include "grader_sandbox/grader.h"
#include "tests/unit/dataset/leetcode_rows.h"

namespace evilmoe {
namespace {

using NanoDatasetTest = FolderTest;

TEST_F(NanoDatasetTest, IsSoundAndTheSameTwice) {
  const absl::StatusOr<std::unique_ptr<SandboxHost>> host =
      SandboxHost::Probe({.zygote_binary = EVILMOE_BIN_DIR "/evilmoe-zygote", .use_cgroups = false});
  ASSERT_TRUE(host.ok()) << host.status();
  const PythonComparer comparer;
  const RealClock clock;
  LocalGrader grader({}, **host, comparer, clock, nullptr);
  std::ostringstream progress;
  for (const char* name : {"one", "two"}) {
    const NanoDatasetOptions options{
        .out = folder_ / name, .num_train = 6, .num_validation = 2, .num_test = 2, .seed = 5};
    const absl::Status written = WriteNanoDataset(options, grader, clock, progress);
    ASSERT_TRUE(written.ok()) << written;
  }
  for (const char* name : {"train.jsonl", "validation.jsonl", "test.jsonl"}) {
    EXPECT_EQ(*ReadFile(folder_ / "one" / name), *ReadFile(folder_ / "two" / name));
    const absl::StatusOr<std::vector<Problem>> problems = LoadProblems(folder_ / "one" / name);
    ASSERT_TRUE(problems.ok()) << problems.status();
    EXPECT_EQ(problems->size(), std::string_view(name) == "train.jsonl" ? 6u : 2u);
    for (const Problem& problem : *problems) {
      const absl::Status sound = grader.Grade({.problem = problem}, clock.Now() + absl::Minutes(1)).status();
      EXPECT_TRUE(sound.ok()) << sound;
    }
  }
}

}  // namespace
}  // namespace evilmoe
