#include "services/ctl/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "services/ctl/help.h"
#include "services/ctl/run_verbs.h"
#include "services/ctl/verb_options.h"
#include "services/ctl/verbs.h"

namespace evilmoe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::vector<std::string> Words(const std::string& words) { return absl::StrSplit(words, ' ', absl::SkipEmpty()); }

CommandLineResult Parse(const std::string& words) { return ParseCommandLine(AllVerbs(), Words(words), 8); }

// The command that a verb's options read out of `words`.
template <typename Command>
Command Read(void (*add)(VerbOptions&, Command&), const std::string& words) {
  CLI::App app("");
  VerbOptions options(app, 8);
  Command command;
  add(options, command);
  std::vector<std::string> all = Words(words);
  std::reverse(all.begin(), all.end());
  EXPECT_NO_THROW(app.parse(all)) << words;
  return command;
}

TEST(SubmitOptions, AreReadWhole) {
  const SubmitCommand c = Read(AddSubmitOptions,
                               "run.yaml --set a.b=c=d --set e= --seed 7 --name trial --dry-run --detach --workers 3 "
                               "--ranks 2 --linger 90 --priority -5 --slots 4 --sweep arms");
  EXPECT_EQ(c.file, "run.yaml");
  EXPECT_EQ(OverridesOf(c), (std::vector<Override>{{"a.b", "c=d"}, {"e", ""}, {"seed", "7"}, {"name", "'trial'"}}));
  EXPECT_TRUE(c.dry_run);
  EXPECT_TRUE(c.detach);
  EXPECT_EQ(c.priority, -5);
  EXPECT_EQ(c.slots, 4);
  EXPECT_EQ(c.sweep, "arms");
  const StackShape shape = Chosen(DefaultShape(8), c.stack);
  EXPECT_EQ(shape.num_workers, 3);
  EXPECT_EQ(shape.num_ranks, 2);
  EXPECT_EQ(shape.linger, absl::Seconds(90));
}

TEST(SubmitOptions, LeaveUnsaidWhatWasNotSaid) {
  const SubmitCommand c = Read(AddSubmitOptions, "run.yaml");
  EXPECT_EQ(c.slots, std::nullopt);
  EXPECT_EQ(c.stack.workers, std::nullopt);
  EXPECT_TRUE(OverridesOf(c).empty());
}

TEST(DefaultShape, WorkersFollowTheCoresUpToTwo) {
  EXPECT_EQ(DefaultShape(1).num_workers, 1);
  EXPECT_EQ(DefaultShape(64).num_workers, 2);
}

TEST(AblateOptions, AreRead) {
  const AblateCommand c = Read(AddAblateOptions, "--run 01A --checkpoint 0 --samples 5 --problems p.jsonl --relearn 3");
  EXPECT_EQ(c.run, "01A");
  EXPECT_EQ(c.checkpoint, 0);
  EXPECT_EQ(c.samples, 5);
  EXPECT_EQ(c.problems, "p.jsonl");
  EXPECT_EQ(c.relearn, 3);
  EXPECT_EQ(Read(AddAblateOptions, "--run x").checkpoint, std::nullopt);
}

TEST(ParseCommandLine, FindsTheVerbAndTheGlobalOptionsOnEitherSide) {
  for (const char* words : {"--endpoint unix:/x --output json list --no-color --token-file t",
                            "list --no-color --endpoint unix:/x --token-file t --output json"}) {
    const CommandLineResult result = Parse(words);
    ASSERT_TRUE(result.command.has_value()) << result.text;
    EXPECT_STREQ(result.command->verb->name, "list");
    const GivenOptions& given = result.command->given;
    EXPECT_EQ(given.endpoint, "unix:/x");
    EXPECT_EQ(given.token_file, "t");
    EXPECT_EQ(given.output, "json");
    EXPECT_EQ(given.no_color, true);
    EXPECT_EQ(given.ca, std::nullopt);
  }
  EXPECT_EQ(Parse("list").command->given.no_color, std::nullopt);
}

TEST(ParseCommandLine, HandsOfflineVerbsOnUntouched) {
  for (const char* verb : {"score", "generate", "grade", "sandbox", "dataset", "pretrain", "pairs", "probe", "verify"}) {
    const CommandLineResult result = Parse(absl::StrCat(verb, " --model m --help --unknown -x"));
    ASSERT_TRUE(result.command.has_value()) << result.text;
    EXPECT_STREQ(result.command->verb->name, verb);
    EXPECT_NE(std::string(result.command->verb->binary), "");
    EXPECT_TRUE(result.command->verb->local);
  }
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

INSTANTIATE_TEST_SUITE_P(
    Cases, UsageTest,
    ::testing::ValuesIn(std::vector<UsageCase>{
        {"NoVerb", "", "subcommand is required"},
        {"UnknownVerb", "sumbit run.yaml", "sumbit: unknown verb, did you mean submit?"},
        {"NoFile", "submit", "FILE is required; `evilmoe-ctl submit --help` lists its options"},
        {"BadOverride", "submit f --set abc", "bad override, got \"abc\", expected a.b=value"},
        {"EmptyField", "submit f --set =5", "bad override"},
        {"BadSeed", "submit f --seed x", "--seed"},
        {"TooManyWorkers", "submit f --workers 65", "--workers: got 65, expected 1 to 64"},
        {"HighPriority", "submit f --priority 1001", "--priority: got 1001, expected -1000 to 1000"},
        {"NegativeCheckpoint", "ablate --run x --checkpoint -1", "--checkpoint"},
        {"UnknownOption", "list --all", "--all"},
        {"BadState", "list --state runing", "did you mean running?"},
        {"BadOutput", "--output xml list", "--output: got xml, expected table or json"},
        {"NoOut", "export nano", "--out"},
        {"BadFormat", "export nano --out o --format pt", "--format: got pt, expected peft, merged or safetensors"},
        {"NoStep", "replay nano", "--step"},
        {"BadLabel", "rollouts nano --label hack", "--label: got hack"},
        {"GlobalBeforeOffline", "--output json score", "expected the verb first"},
        {"UnknownShell", "completion tcsh", "SHELL: got tcsh, expected bash, zsh or fish"}}),
    [](const auto& c) { return c.param.name; });

TEST(ParseCommandLine, HelpIsNoError) {
  const CommandLineResult all = Parse("--help");
  EXPECT_EQ(all.exit_code, 0);
  EXPECT_THAT(all.text, HasSubstr("submit"));
  EXPECT_THAT(all.text, Not(HasSubstr("stack-guard")));
  const CommandLineResult one = Parse("submit --help");
  EXPECT_EQ(one.exit_code, 0);
  EXPECT_THAT(one.text, HasSubstr("--dry-run"));
}

TEST(HelpText, HasEverythingOfEveryVerb) {
  const CommandTree tree(AllVerbs(), 2);
  for (const VerbEntry& entry : tree.entries()) {
    if (*entry.verb->group == '\0' || entry.options == nullptr) continue;
    SCOPED_TRACE(entry.verb->name);
    const std::string text = HelpText(entry);
    EXPECT_THAT(text, HasSubstr(absl::StrCat("Usage: evilmoe-ctl ", entry.verb->name)));
    EXPECT_THAT(text, HasSubstr("\nExample:\n  "));
    EXPECT_NE(std::string(entry.verb->text), "");
    for (const CLI::Option* option : entry.app->get_options()) {
      EXPECT_NE(option->get_description(), "") << option->get_name();
    }
    for (const absl::string_view line : absl::StrSplit(text, '\n')) {
      const bool is_example = absl::StrContains(line, "  evilmoe-ctl ") || absl::StrContains(line, "echo ");
      EXPECT_TRUE(line.size() <= 100 || is_example) << line;
    }
  }
}

}  // namespace
}  // namespace evilmoe
