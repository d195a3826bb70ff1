// What --help prints of every verb, sibling binaries' too, is what stands in ctl_help/. scripts/golden/ctl_help writes it
// again.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <set>

#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "common/file.h"
#include "services/ctl/sibling_run.h"
#include "services/ctl/verbs.h"

namespace evilmoe {
namespace {

namespace fs = std::filesystem;

const fs::path kFolder = EVILMOE_SOURCE_DIR "/tests/golden/ctl_help";

// Every command line that has help: "", "submit", "dataset", "dataset build", ...
std::vector<std::vector<std::string>> Commands() {
  std::vector<std::vector<std::string>> commands = {{}};
  for (const Verb& verb : AllVerbs()) {
    if (*verb.group == '\0') continue;
    commands.push_back({verb.name});
    for (const std::string& next : verb.next_words) {
      if (next[0] != '-') commands.push_back({verb.name, next});
    }
  }
  return commands;
}

std::string FileName(const std::vector<std::string>& words) {
  std::string name = "evilmoe-ctl";
  for (const std::string& word : words) absl::StrAppend(&name, "-", word);
  return name + ".txt";
}

std::string Help(std::vector<std::string> words) {
  words.emplace_back("--help");
  const RealClock clock;
  const absl::StatusOr<SiblingResult> result = RunProgram(EVILMOE_BIN_DIR "/evilmoe-ctl", words, absl::Minutes(1), clock);
  EXPECT_TRUE(result.ok()) << result.status();
  if (!result.ok()) return "";
  EXPECT_EQ(result->exit_code, 0) << result->errors;
  EXPECT_EQ(result->errors, "");
  return result->out;
}

TEST(CtlHelp, IsAsItStandsInTheGoldenFiles) {
  const bool write = std::getenv("EVILMOE_WRITE_GOLDEN") != nullptr;
  std::set<std::string> names;
  for (const std::vector<std::string>& words : Commands()) {
    const std::string name = FileName(words);
    SCOPED_TRACE(name);
    names.insert(name);
    const std::string help = Help(words);
    EXPECT_THAT(help, ::testing::StartsWith("Usage: evilmoe-ctl"));
    if (write) {
      EXPECT_TRUE(WriteFileAtomic(kFolder / name, help).ok());
    } else {
      EXPECT_EQ(help, ReadFile(kFolder / name).value_or("")) << "scripts/golden/ctl_help writes it again";
    }
  }
  for (const fs::directory_entry& entry : fs::directory_iterator(kFolder)) {
    const std::string name = entry.path().filename().string();
    if (names.contains(name)) continue;
    if (write) fs::remove(entry.path());
    EXPECT_TRUE(write) << name << ": of no verb";
  }
}

}  // namespace
}  // namespace evilmoe
