// The scripts in the shells that they are for; zsh and fish where they are installed.

#include "services/ctl/completion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/file.h"
#include "services/ctl/verbs.h"

namespace evilmoe {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::IsSupersetOf;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

class CompletionTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::path(::testing::TempDir()) / "completion-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
    // In evilmoe-ctl's place: it is asked for runs and sweeps alone.
    std::ofstream(folder_ / "evilmoe-ctl")
        << "#!/bin/sh\ncase \"$*\" in\n  'complete-runs --kind runs') printf 'nano\\tx\\n01AB\\ty\\n' ;;\n"
           "  'complete-runs --kind sweeps') printf 'arms\\tsweep\\n' ;;\nesac\n";
    std::filesystem::permissions(folder_ / "evilmoe-ctl", std::filesystem::perms::owner_all);
    std::filesystem::create_directory(folder_ / "files");
    std::ofstream(folder_ / "files" / "run.yaml") << "\n";
    std::filesystem::create_directory(folder_ / "files" / "folder");
    for (const char* shell : {"bash", "zsh", "fish"}) {
      ASSERT_TRUE(WriteFileAtomic(folder_ / shell, CompletionScript(tree_, shell)).ok());
    }
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  // What a shell program prints, a line each.
  std::vector<std::string> Run(const std::string& shell, const std::string& program) {
    EXPECT_TRUE(WriteFileAtomic(folder_ / "program", program).ok());
    const std::string line = absl::StrCat("cd ", (folder_ / "files").string(), " && PATH=", folder_.string(),
                                          ":$PATH ", shell, " ", (folder_ / "program").string(), " 2>&1");
    FILE* pipe = popen(line.c_str(), "r");
    EXPECT_NE(pipe, nullptr);
    std::string out;
    char buffer[4096];
    for (size_t n; (n = fread(buffer, 1, sizeof buffer, pipe)) > 0;) out.append(buffer, n);
    EXPECT_EQ(pclose(pipe), 0) << out;
    return absl::StrSplit(out, '\n', absl::SkipEmpty());
  }
  // The words that bash offers for the last of `words`, cut as readline cuts a line.
  std::vector<std::string> Bash(const std::vector<std::string>& words) {
    std::string program = absl::StrCat("source ", (folder_ / "bash").string(), "\nCOMP_WORDS=(");
    for (const std::string& word : words) absl::StrAppend(&program, "'", word, "' ");
    absl::StrAppend(&program, ")\nCOMP_CWORD=", words.size() - 1,
                    "\n_evilmoe_ctl\nfor word in \"${COMPREPLY[@]}\"; do echo \"$word\"; done\n");
    return Run("bash --norc", program);
  }

  const CommandTree tree_{AllVerbs(), 2};
  std::filesystem::path folder_;
};

TEST_F(CompletionTest, BashKnowsVerbsAndOptions) {
  EXPECT_THAT(Bash({"evilmoe-ctl", "su"}), ElementsAre("submit"));
  EXPECT_THAT(Bash({"evilmoe-ctl", ""}), IsSupersetOf({"list", "sweep", "doctor", "generate"}));
  EXPECT_THAT(Bash({"evilmoe-ctl", ""}), Not(Contains("stack-guard")));
  EXPECT_THAT(Bash({"evilmoe-ctl", "submit", "--d"}), UnorderedElementsAre("--dry-run", "--detach"));
  EXPECT_THAT(Bash({"evilmoe-ctl", "submit", "--tok"}), ElementsAre("--token-file"));
  EXPECT_THAT(Bash({"evilmoe-ctl", "--out"}), ElementsAre("--output"));
  EXPECT_THAT(Bash({"evilmoe-ctl", "dataset", "s"}), ElementsAre("split"));
}

TEST_F(CompletionTest, BashKnowsTheValuesOfOptions) {
  EXPECT_THAT(Bash({"evilmoe-ctl", "list", "--state", "p"}), ElementsAre("pausing", "paused"));
  EXPECT_THAT(Bash({"evilmoe-ctl", "--output", ""}), ElementsAre("table", "json"));
  EXPECT_THAT(Bash({"evilmoe-ctl", "list", "--output", "j"}), ElementsAre("json"));
  EXPECT_THAT(Bash({"evilmoe-ctl", "export", "nano", "--format", "m"}), ElementsAre("merged"));
  EXPECT_THAT(Bash({"evilmoe-ctl", "rollouts", "nano", "--label", "re"}), ElementsAre("reward_hack"));
  EXPECT_THAT(Bash({"evilmoe-ctl", "completion", "f"}), ElementsAre("fish"));
  EXPECT_THAT(Bash({"evilmoe-ctl", "submit", "x", "--seed", ""}), IsEmpty());
}

TEST_F(CompletionTest, BashPutsWordsTogetherThatItCutAtEquals) {
  EXPECT_THAT(Bash({"evilmoe-ctl", "list", "--state", "=", "q"}), ElementsAre("queued"));
  EXPECT_THAT(Bash({"evilmoe-ctl", "list", "--state", "="}), Contains("running"));
  EXPECT_THAT(Bash({"evilmoe-ctl", "submit", "--set", "arm", "=", "abs"}), ElementsAre("absorb"));
  EXPECT_THAT(Bash({"evilmoe-ctl", "submit", "--set", "=", "arm", "=", "abs"}), ElementsAre("absorb"));
  EXPECT_THAT(Bash({"evilmoe-ctl", "--output", "=", "json", "can"}), ElementsAre("cancel"));
}

TEST_F(CompletionTest, BashAsksForRunsAndFiles) {
  EXPECT_THAT(Bash({"evilmoe-ctl", "get", ""}), ElementsAre("nano", "01AB"));
  EXPECT_THAT(Bash({"evilmoe-ctl", "get", "0"}), ElementsAre("01AB"));
  EXPECT_THAT(Bash({"evilmoe-ctl", "compare", "nano", ""}), ElementsAre("nano", "01AB")) << "any number of them";
  EXPECT_THAT(Bash({"evilmoe-ctl", "ablate", "--run", "n"}), ElementsAre("nano"));
  EXPECT_THAT(Bash({"evilmoe-ctl", "compare", "--sweep", ""}), ElementsAre("arms"));
  EXPECT_THAT(Bash({"evilmoe-ctl", "submit", ""}), UnorderedElementsAre("run.yaml", "folder"));
  EXPECT_THAT(Bash({"evilmoe-ctl", "submit", "--detach", "r"}), ElementsAre("run.yaml")) << "a flag takes no value";
  EXPECT_THAT(Bash({"evilmoe-ctl", "export", "nano", "--out", ""}), ElementsAre("folder"));
}

TEST_F(CompletionTest, ZshTakesTheScript) {
  if (access("/usr/bin/zsh", X_OK) != 0) GTEST_SKIP() << "zsh is not installed";
  const std::vector<std::string> out =
      Run("zsh -f", absl::StrCat("autoload -U compinit && compinit -u -d ", (folder_ / "dump").string(), "\nsource ",
                                 (folder_ / "zsh").string(), "\necho $_comps[evilmoe-ctl]\n",
                                 "_describe() { shift 3; print -l ${(P)1} }\n_evilmoe_ctl_runs runs\n"));
  EXPECT_THAT(out, ElementsAre("_evilmoe_ctl", "nano:x", "01AB:y"));
}

TEST_F(CompletionTest, FishTakesTheScript) {
  if (access("/usr/bin/fish", X_OK) != 0) GTEST_SKIP() << "fish is not installed";
  const std::string program =
      absl::StrCat("source ", (folder_ / "fish").string(),
                   "\ncomplete -C 'evilmoe-ctl su'\ncomplete -C 'evilmoe-ctl list --state run'\n"
                   "complete -C 'evilmoe-ctl get 0'\ncomplete -C 'evilmoe-ctl export nano --format m'\n");
  EXPECT_THAT(Run("fish --no-config", program),
              ElementsAre(HasSubstr("submit\tCheck a run file"), HasSubstr("running"), "01AB\ty", HasSubstr("merged")));
}

}  // namespace
}  // namespace evilmoe
