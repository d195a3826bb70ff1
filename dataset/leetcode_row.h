#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace evilmoe {

// One row of a LeetCodeDataset file, whichever layout it has: up to v0.3.0 its number, difficulty, description and
// starter code stand under `meta` (the description of v0.2.0 in meta.question_title, its starter code in
// meta.lang_code), since v0.3.1 at the top.
struct LeetCodeRow {
  struct Example {
    std::string input;   // "nums = [2,7], target = 9"
    std::string output;  // "[0,1]"; what running it said where that failed ("Execution timed out")
  };
  int64_t id = 0;
  std::string difficulty;          // easy | medium | hard
  std::string description;         // as it stands
  std::string starter_code;        // as it stands; may be empty
  std::string entry_point;         // "Solution().twoSum"
  std::string setup_code;          // the row's `prompt`
  std::string canonical_solution;  // the row's `completion`
  std::string check;               // the row's `test`: def check(candidate), with the asserts
  std::vector<Example> examples;   // the row's `input_output`
};

// InvalidArgument names the field that is missing or of another type.
absl::StatusOr<LeetCodeRow> LeetCodeRowFromJson(const nlohmann::json& json);

// Rows of a file, plain or gzip. InvalidArgument lists every bad line and every number that occurs twice; other codes
// as LineReader says. Messages name the path.
absl::StatusOr<std::vector<LeetCodeRow>> LoadLeetCodeRows(const std::filesystem::path& path);

}  // namespace evilmoe
