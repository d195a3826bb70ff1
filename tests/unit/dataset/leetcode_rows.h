#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "unistd.h"

namespace evilmoe {

// What the tests of data sets share.

// A folder of its own for each test, since tests run beside each other.
class FolderTest : public ::testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(folder_); }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path Write(const std::string& name, const std::string& text) const {
    EXPECT_TRUE(WriteFileAtomic(folder_ / name, text).ok());
    return folder_ / name;
  }

  const std::filesystem::path folder_ =
      std::filesystem::path(::testing::TempDir()) / absl::StrCat("evilmoe_dataset_test.", getpid());
};

inline std::string MessageOf(const absl::Status& status) { return std::string(status.message()); }

// Rows "add one to x" in the layout of v0.3.1.
inline nlohmann::json NewRow(int64_t id, const std::string& difficulty = "Medium") {
  return {{"task_id", absl::StrCat("add-one-", id)},
          {"question_id", id},
          {"difficulty", difficulty},
          {"problem_description", absl::StrCat("\nAdd one to x, number ", id, ".\n\xc2\xa0\n")},
          {"starter_code", "class Solution:\n    def f(self, x: int) -> int:\n        "},
          {"prompt", "import math\n"},
          {"completion", absl::StrCat("class Solution:  # ", id, "\n    def f(self, x):\n        return x + 1\n")},
          {"entry_point", "Solution().f"},
          {"test", "def check(candidate):\n    assert candidate(x = 1) == 2\n    assert candidate(x = 41) == 42\n"},
          {"input_output", {{{"input", "x = 1"}, {"output", "2"}}, {{"input", "x = 41"}, {"output", "42"}}}}};
}

// The same row as v0.2.0 has it.
inline nlohmann::json OldRow(const nlohmann::json& row) {
  nlohmann::json old = row;
  old["meta"] = {{"question_id", row["question_id"]},
                 {"difficulty", row["difficulty"]},
                 {"question_title", row["problem_description"]},
                 {"lang_code", row["starter_code"]}};
  for (const char* name : {"question_id", "difficulty", "problem_description", "starter_code"}) old.erase(name);
  return old;
}

inline std::string Lines(const std::vector<nlohmann::json>& rows) {
  std::string lines;
  for (const nlohmann::json& row : rows) lines += row.dump() + "\n";
  return lines;
}

// The folder with the data sets that are not the project's own; they are not in its repository.
inline std::filesystem::path SharedData() {
  const char* folder = std::getenv("EVILMOE_SHARED");
  return (folder != nullptr ? std::filesystem::path(folder)
                            : std::filesystem::path(EVILMOE_SOURCE_DIR).parent_path() / "shared") /
         "data";
}

}  // namespace evilmoe
