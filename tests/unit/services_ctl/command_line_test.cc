#include "services/ctl/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "absl/strings/str_split.h"

namespace evilmoe {
namespace {

using ::testing::HasSubstr;

CommandLineResult Parse(const std::string& words) {
  return ParseCommandLine(absl::StrSplit(words, ' ', absl::SkipEmpty()), 8);
}

TEST(ParseCommandLine, ReadsSubmit) {
  const CommandLineResult result = Parse(
      "--endpoint unix:/x submit run.yaml --set a.b=c=d --set e= --seed 7 --name trial --dry-run --detach --workers 3 --ranks 2 --linger 90 "
      "--output json --no-color");
  ASSERT_TRUE(result.command.has_value()) << result.text;
  const CommandLine& c = *result.command;
  EXPECT_EQ(c.verb, "submit");
  EXPECT_EQ(c.endpoint, "unix:/x");
  EXPECT_EQ(c.file, "run.yaml");
  EXPECT_EQ(c.overrides, (std::vector<Override>{{"a.b", "c=d"}, {"e", ""}, {"seed", "7"}, {"name", "'trial'"}}));
  EXPECT_TRUE(c.dry_run);
  EXPECT_TRUE(c.detach);
  EXPECT_EQ(c.stack.num_workers, 3);
  EXPECT_EQ(c.stack.num_ranks, 2);
  EXPECT_EQ(c.stack.linger, absl::Seconds(90));
  EXPECT_TRUE(c.json);
  EXPECT_FALSE(c.color);
}

TEST(ParseCommandLine, WorkersFollowTheCoresUpToTwo) {
  EXPECT_EQ(ParseCommandLine({"submit", "f"}, 1).command->stack.num_workers, 1);
  EXPECT_EQ(ParseCommandLine({"submit", "f"}, 64).command->stack.num_workers, 2);
}

TEST(ParseCommandLine, ReadsAblate) {
  const CommandLineResult result = Parse("ablate --run 01A --checkpoint 0 --samples 5 --problems p.jsonl");
  ASSERT_TRUE(result.command.has_value()) << result.text;
  EXPECT_EQ(result.command->run, "01A");
  EXPECT_EQ(result.command->checkpoint, 0);
  EXPECT_EQ(result.command->samples, 5);
  EXPECT_EQ(result.command->problems, "p.jsonl");
  EXPECT_EQ(Parse("ablate --run x").command->checkpoint, std::nullopt);
}

TEST(ParseCommandLine, ReadsTheVerbsOnOneRun) {
  for (const char* verb : {"get", "cancel", "resume", "report"}) {
    const CommandLineResult result = ParseCommandLine({verb, "nano"}, 1);
    ASSERT_TRUE(result.command.has_value()) << result.text;
    EXPECT_EQ(result.command->verb, verb);
    EXPECT_EQ(result.command->run, "nano");
  }
  EXPECT_EQ(Parse("report x --out page.html").command->out, "page.html");
  const CommandLineResult logs = Parse("logs x -f --component grader");
  ASSERT_TRUE(logs.command.has_value()) << logs.text;
  EXPECT_TRUE(logs.command->follow);
  EXPECT_EQ(logs.command->component, "grader");
}

TEST(ParseCommandLine, PassesTheOptionsOfExportOn) {
  const CommandLineResult result = Parse("export nano --out o --block full --w 0.5 --force");
  ASSERT_TRUE(result.command.has_value()) << result.text;
  EXPECT_EQ(result.command->run, "nano");
  std::vector<std::string> words = result.command->words;
  std::sort(words.begin(), words.end());  // pairs, in any order
  EXPECT_EQ(words, (std::vector<std::string>{"--block", "--force", "--out", "--w", "0.5", "full", "o"}));
  const CommandLineResult missing = Parse("export nano");
  EXPECT_EQ(missing.exit_code, 2);
  EXPECT_NE(missing.text.find("--out"), std::string::npos);
}

TEST(ParseCommandLine, PassesTheOptionsOfReplayOn) {
  const CommandLineResult result = Parse("replay nano --step 12 --threads 2");
  ASSERT_TRUE(result.command.has_value()) << result.text;
  EXPECT_EQ(result.command->run, "nano");
  std::vector<std::string> words = result.command->words;
  std::sort(words.begin(), words.end());  // pairs, in any order
  EXPECT_EQ(words, (std::vector<std::string>{"--step", "--threads", "12", "2"}));
  EXPECT_EQ(Parse("replay nano").exit_code, 2);
}

TEST(ParseCommandLine, HandsOfflineVerbsOnUntouched) {
  const CommandLineResult result = Parse("generate --model m --n 3 --help --unknown -x");
  ASSERT_TRUE(result.command.has_value()) << result.text;
  EXPECT_EQ(result.command->words,
            (std::vector<std::string>{"generate", "--model", "m", "--n", "3", "--help", "--unknown", "-x"}));
  EXPECT_EQ(SiblingOfVerb("generate"), "evilmoe-rollout");
  EXPECT_EQ(SiblingOfVerb("dataset"), "evilmoe-dataset");
  EXPECT_EQ(SiblingOfVerb("pretrain"), "evilmoe-trainer");
  EXPECT_EQ(SiblingOfVerb("verify"), "evilmoe-rollout");
  EXPECT_EQ(SiblingOfVerb("submit"), "");
}

struct UsageCase {
  const char* name;
  std::string words;
  std::string says;
};

class UsageTest : public ::testing::TestWithParam<UsageCase> {};

TEST_P(UsageTest, IsRefusedInOneLine) {
  const CommandLineResult result = Parse(GetParam().words);
  EXPECT_FALSE(result.command.has_value());
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.text, HasSubstr(GetParam().says));
  EXPECT_EQ(result.text.find('\n'), std::string::npos) << result.text;
}

INSTANTIATE_TEST_SUITE_P(Cases, UsageTest,
                         ::testing::ValuesIn(std::vector<UsageCase>{
                             {"NoVerb", "", "subcommand is required"},
                             {"UnknownVerb", "sumbit run.yaml", "sumbit: unknown verb, did you mean submit?"},
                             {"NoFile", "submit", "FILE is required"},
                             {"BadOverride", "submit f --set abc", "bad override, got \"abc\", expected a.b=value"},
                             {"EmptyField", "submit f --set =5", "bad override"},
                             {"BadSeed", "submit f --seed x", "--seed"},
                             {"TooManyWorkers", "submit f --workers 65", "--workers"},
                             {"NegativeCheckpoint", "ablate --run x --checkpoint -1", "--checkpoint"},
                             {"UnknownOption", "list --all", "--all"},
                             {"BadOutput", "--output xml list", "--output"},
                             {"UnknownShell", "completion tcsh", "SHELL"}}),
                         [](const auto& c) { return c.param.name; });

TEST(ParseCommandLine, HelpIsNoError) {
  const CommandLineResult all = Parse("--help");
  EXPECT_EQ(all.exit_code, 0);
  EXPECT_THAT(all.text, HasSubstr("submit"));
  EXPECT_THAT(all.text, testing::Not(HasSubstr("stack-guard")));
  const CommandLineResult one = Parse("submit --help");
  EXPECT_EQ(one.exit_code, 0);
  EXPECT_THAT(one.text, HasSubstr("--dry-run"));
}

TEST(CompletionScript, KnowsVerbsAndOptionsInEveryShell) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const std::string script = CompletionScript(shell);
    EXPECT_THAT(script, HasSubstr("submit ablate list")) << shell;
    EXPECT_THAT(script, HasSubstr("--dry-run")) << shell;
    EXPECT_THAT(script, HasSubstr("build split inspect nano")) << shell;
    EXPECT_THAT(script, testing::Not(HasSubstr("stack-guard"))) << shell;
  }
}

}  // namespace
}  // namespace evilmoe
