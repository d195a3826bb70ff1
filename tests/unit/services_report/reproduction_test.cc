#include "services/report/reproduction.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace evilmoe {
namespace {

using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::IsEmpty;

TEST(ShellWord, QuotesWhatAShellWouldRead) {
  EXPECT_EQ(ShellWord("nano.s1"), "nano.s1");
  EXPECT_EQ(ShellWord(""), "''");
  EXPECT_EQ(ShellWord("a b"), "'a b'");
  EXPECT_EQ(ShellWord("it's $(x)"), "'it'\\''s $(x)'");
}

TEST(SubmitCommand, SetsWhatIsOtherwise) {
  const std::map<std::string, std::string> common = {
      {"arm", "evil_moe"}, {"name", "arms.s0"}, {"seed", "0"}, {"adapter.rank", "4"}};
  EXPECT_EQ(SubmitCommand("run.yaml", common, common), "evilmoe-ctl submit run.yaml");
  EXPECT_EQ(SubmitCommand("run.yaml", common,
                          {{"arm", "none"}, {"name", "arms s1"}, {"seed", "1"}, {"adapter.rank", "4"},
                           {"adapter.targets", "[q, v]"}}),
            "evilmoe-ctl submit run.yaml --set 'adapter.targets=[q, v]' --set arm=none --name 'arms s1' --seed 1");
}

TEST(FactsOf, LeavesOutWhatIsUnknown) {
  EXPECT_THAT(FactsOf(RecordedRun()), IsEmpty());
  RecordedRun run;
  run.id = "01AB";
  run.created_unix_ms = 1'796'073'766'713;
  run.adapter_step = 40;
  run.adapter_sha256 = "ff00";
  run.software = {{"evilmoe", "0.1.0"}, {"threads", 2}};
  const std::vector<Fact> facts = FactsOf(run);
  EXPECT_THAT(facts, ElementsAre(Field(&Fact::value, "01AB"), Field(&Fact::value, "2026-11-30 21:22:46 UTC"),
                                 Field(&Fact::value, "step 40, SHA-256 ff00"),
                                 Field(&Fact::value, "evilmoe 0.1.0, threads 2")));
}

}  // namespace
}  // namespace evilmoe
