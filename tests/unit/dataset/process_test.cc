// evilmoe-dataset as a process: killed in the middle of a build, and what it says of bad words.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include <algorithm>
#include <utility>

#include "environment/problem.h"
#include "tests/unit/dataset/leetcode_rows.h"
#include "tests/unit/grader_sandbox/process_census.h"

namespace evilmoe {
namespace {

using ::testing::HasSubstr;

class DatasetProcessTest : public FolderTest {
 protected:
  void TearDown() override {
    if (pid_ > 0) kill(pid_, SIGKILL);
    if (pid_ > 0) waitpid(pid_, nullptr, 0);
    FolderTest::TearDown();
  }

  // Its standard error goes to errors(), standard output nowhere.
  void Start(std::vector<std::string> words) {
    words.insert(words.begin(), EVILMOE_BIN_DIR "/evilmoe-dataset");
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, errors_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    ASSERT_EQ(posix_spawn(&pid_, words[0].c_str(), &actions, nullptr, arguments.data(), environ), 0);
    posix_spawn_file_actions_destroy(&actions);
  }
  int Wait() {
    int status = -1;
    EXPECT_GT(waitpid(std::exchange(pid_, -1), &status, 0), 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  int Run(const std::vector<std::string>& words) {
    Start(words);
    return Wait();
  }
  std::string Errors() const { return *ReadFile(errors_); }

  static size_t NumLines(const std::filesystem::path& path) {
    const absl::StatusOr<std::string> text = ReadFile(path);
    return text.ok() ? static_cast<size_t>(std::ranges::count(*text, '\n')) : 0;
  }

  const std::filesystem::path errors_ = folder_ / "errors.txt";
  pid_t pid_ = -1;
};

TEST_F(DatasetProcessTest, EndsWithTheSameFileAfterAKill) {
  constexpr size_t kNumRows = 12;
  std::vector<nlohmann::json> rows;
  for (size_t id = 0; id < kNumRows; ++id) {
    rows.push_back(NewRow(static_cast<int64_t>(id)));
    // Long enough that a kill comes in the middle.
    rows.back()["completion"] = absl::StrCat("class Solution:\n    def f(self, x):\n        for i in range(3000000 + ",
                                             id, "): pass\n        return x + 1\n");
  }
  const std::filesystem::path from = Write("rows.jsonl", Lines(rows));
  const auto words = [&](const std::string& out) {
    return std::vector<std::string>{"dataset", "build", "--from", from, "--out", folder_ / out, "--jobs", "1"};
  };
  ASSERT_EQ(Run(words("whole.jsonl")), 0) << Errors();
  const std::filesystem::path verdicts = folder_ / "cut.jsonl.verdicts.jsonl";
  Start(words("cut.jsonl"));
  ASSERT_TRUE(AwaitHolds([&] { return NumLines(verdicts) >= 2 || IsGone(pid_); }, std::chrono::seconds(60)));
  kill(pid_, SIGKILL);
  ASSERT_EQ(Wait(), -SIGKILL);
  const size_t known = NumLines(verdicts);
  EXPECT_LT(known, kNumRows);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "cut.jsonl"));
  ASSERT_EQ(Run(words("cut.jsonl")), 0) << Errors();
  EXPECT_EQ(*ReadFile(folder_ / "cut.jsonl"), *ReadFile(folder_ / "whole.jsonl"));
  EXPECT_EQ(NumLines(verdicts), kNumRows);  // none was asked for twice
  EXPECT_EQ(LoadProblems(folder_ / "cut.jsonl")->size(), kNumRows);
}

TEST_F(DatasetProcessTest, SaysOnOneLineWhatAnOptionTakes) {
  const std::vector<std::vector<std::string>> cases = {
      {"nano", "--out", folder_ / "nano", "--train", "0"},
      {"nano", "--out", folder_ / "nano", "--test", "1000000"},
      {"build", "--from", "x", "--out", "y", "--tokenizer", "z", "--max-prompt-tokens", "0"}};
  for (const std::vector<std::string>& words : cases) {
    EXPECT_EQ(Run(words), 2) << Errors();
    EXPECT_TRUE(Errors().starts_with("evilmoe-dataset: --")) << Errors();
    EXPECT_LT(Errors().size(), 160u) << Errors();
    EXPECT_EQ(std::ranges::count(Errors(), '\n'), 1) << Errors();
  }
}

TEST_F(DatasetProcessTest, MakesNano) {
  ASSERT_EQ(Run({"dataset", "nano", "--out", folder_ / "nano", "--train", "4", "--validation", "2", "--test", "3"}), 0)
      << Errors();
  const std::vector<std::pair<std::string, size_t>> files = {{"train", 4}, {"validation", 2}, {"test", 3}};
  for (const auto& [name, count] : files) {
    const auto problems = LoadProblems(folder_ / "nano" / (name + ".jsonl"));
    ASSERT_TRUE(problems.ok()) << problems.status();
    EXPECT_EQ(problems->size(), count) << name;
  }
  ASSERT_EQ(Run({"dataset", "split", "--from", folder_ / "nano/train.jsonl", "--out", folder_ / "split", "--splits",
                 "a=1", "--against", folder_ / "nano/validation.jsonl", "--against", folder_ / "nano/test.jsonl"}),
            0)
      << Errors();
  EXPECT_EQ(*ReadFile(folder_ / "split/a.jsonl"), *ReadFile(folder_ / "nano/train.jsonl"));
  EXPECT_EQ(Run({"dataset", "inspect", folder_ / "split/a.jsonl"}), 0) << Errors();
}

TEST_F(DatasetProcessTest, BuildsThePublishedEvaluation) {
  const std::filesystem::path data = SharedData() / "leetcode";
  if (!std::filesystem::exists(data)) {
    GTEST_SKIP() << "no LeetCodeDataset in " << data << "; set EVILMOE_SHARED to the folder above data/";
  }
  ASSERT_EQ(Run({"dataset", "build", "--from", data / "LeetCodeDataset-v0.3.1-test.jsonl.gz", "--difficulty",
                 "medium,hard", "--ids", data / "eval_ids.txt", "--out", folder_ / "eval.jsonl"}),
            0)
      << Errors();
  const auto problems = LoadProblems(folder_ / "eval.jsonl");
  ASSERT_TRUE(problems.ok()) << problems.status();
  EXPECT_EQ(problems->size(), 119u);
  size_t num_tests = 0;
  std::string ids;
  for (const Problem& problem : *problems) {
    num_tests += problem.gt_answer.size();
    absl::StrAppend(&ids, problem.id, "\n");
  }
  EXPECT_EQ(num_tests, 12592u);
  std::string wanted = *ReadFile(data / "eval_ids.txt");
  if (!wanted.ends_with('\n')) wanted += '\n';
  EXPECT_EQ(ids, wanted);
}

struct WordsCase {
  std::string name;
  std::vector<std::string> words;
  std::string want;
  int code = 2;
};

class DatasetWordsTest : public DatasetProcessTest, public ::testing::WithParamInterface<WordsCase> {};

TEST_P(DatasetWordsTest, AreRefusedInALine) {
  EXPECT_EQ(Run(GetParam().words), GetParam().code);
  EXPECT_THAT(Errors(), HasSubstr(GetParam().want));
  EXPECT_EQ(NumLines(errors_), 1u) << Errors();
}

INSTANTIATE_TEST_SUITE_P(
    Cases, DatasetWordsTest,
    ::testing::ValuesIn(std::vector<WordsCase>{
        {"NoVerb", {"dataset"}, "A subcommand is required"},
        {"UnknownVerb", {"dataset", "bild"}, "bild: unknown verb, expected build, split, inspect or nano"},
        {"NoOut", {"dataset", "build", "--from", "x"}, "--out is required"},
        {"NoFile", {"dataset", "build", "--from", "/nowhere/x", "--out", "y"}, "/nowhere/x: open: No such file", 4},
        {"LimitWithoutTokenizer",
         {"dataset", "build", "--from", "x", "--out", "y", "--max-prompt-tokens", "9"},
         "--max-prompt-tokens requires --tokenizer"},
        {"Difficulty",
         {"dataset", "build", "--from", "x", "--out", "y", "--difficulty", "easy,odd"},
         "--difficulty: odd not in"},
        {"InspectNothing", {"inspect", "/nowhere/x"}, "/nowhere/x: open: No such file", 4},
        {"Shares", {"split", "--from", "x", "--out", "y", "--splits", "a=2"}, "the fractions sum to 2, expected 1"}}),
    [](const auto& c) { return c.param.name; });

}  // namespace
}  // namespace evilmoe
