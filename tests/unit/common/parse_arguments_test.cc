#include "common/parse_arguments.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>

#include "common/help_text.h"

namespace evilmoe {
namespace {

using ::testing::HasSubstr;

struct ParsedProgram {
  std::optional<int> code;
  std::string out, errors;
  int number = 7;
  bool flag = false;
};

ParsedProgram Parse(std::vector<const char*> words) {
  ParsedProgram program;
  CLI::App app{"Does something"};
  app.option_defaults()->always_capture_default();
  app.add_option("--number", program.number, "A number")->check(CLI::Range(1, 9));
  CLI::App* verb = app.add_subcommand("verb", "A verb.");
  verb->footer("program verb FILE");
  std::string file;
  verb->add_option("FILE", file, "A file")->required();
  verb->add_flag("--flag", program.flag, "A flag");
  app.add_subcommand("hidden", "")->group("");
  words.insert(words.begin(), "/some/where/program");
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  program.code = ParseArguments(app, static_cast<int>(words.size()), words.data());
  program.out = ::testing::internal::GetCapturedStdout();
  program.errors = ::testing::internal::GetCapturedStderr();
  return program;
}

TEST(ParseArguments, GoesOnWithARightCommandLine) {
  const ParsedProgram program = Parse({"--number", "3", "verb", "file", "--flag"});
  EXPECT_EQ(program.code, std::nullopt);
  EXPECT_EQ(program.number, 3);
  EXPECT_TRUE(program.flag);
  EXPECT_EQ(program.out + program.errors, "");
}

TEST(ParseArguments, AWrongOneIsTwoAndALine) {
  for (const std::vector<const char*>& words : std::vector<std::vector<const char*>>{
           {"--numbr", "3"}, {"--number", "x"}, {"--number", "10"}, {"verb"}, {"verb", "a", "b"}, {"--number"}}) {
    const ParsedProgram program = Parse(words);
    EXPECT_EQ(program.code, 2) << words[0];
    EXPECT_EQ(program.out, "");
    EXPECT_THAT(program.errors, ::testing::MatchesRegex("program: [^\n]+; --help lists verbs and options\n"));
  }
}

TEST(ParseArguments, HelpIsNoError) {
  const ParsedProgram whole = Parse({"--help"});
  EXPECT_EQ(whole.code, 0);
  EXPECT_EQ(whole.out,
            "Usage: program [VERB] [options]\n\nDoes something.\n\nVerbs:\n  verb  A verb.\n\nOptions:\n"
            "  --number N  A number (default: 7)\n");
  const ParsedProgram verb = Parse({"verb", "--help"});
  EXPECT_EQ(verb.code, 0);
  EXPECT_EQ(verb.out,
            "Usage: program verb FILE [options]\n\nA verb.\n\nArguments:\n  FILE  A file\n\nOptions:\n"
            "  --flag  A flag\n\nExample:\n  program verb FILE\n");
}

TEST(WrapWords, BreaksBetweenWords) {
  EXPECT_EQ(WrapWords("one two  three", 7, 2), "one two\n  three");
  EXPECT_EQ(WrapWords("unbreakable", 3, 0), "unbreakable");
  EXPECT_EQ(WrapWords("", 3, 0), "");
}

TEST(HelpRows, StandInOneColumn) {
  EXPECT_EQ(HelpRows({{"--a", "first"}, {"--bcd", "second"}}), "  --a    first\n  --bcd  second\n");
  EXPECT_EQ(HelpRows({{"--a", "x"}, {"--a-long-name", "y"}}, 5), "  --a  x\n  --a-long-name\n       y\n");
  EXPECT_EQ(HelpSection("Options", {}), "");
}

}  // namespace
}  // namespace evilmoe
