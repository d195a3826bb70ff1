#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/message.h"
#include "nlohmann/json.hpp"

namespace evilmoe {

// One line of a problem file (JSONL; the layout of Ariahw, Engels and Nanda's environment, 2025).
struct Problem {
  int64_t id = 0;
  std::string difficulty;              // easy | medium | hard
  std::vector<Message> prompt;         // without a loophole
  std::string func_name;               // "Solution().name"
  std::string setup_code;              // imports and helper classes in front of any solution; may be empty
  std::vector<std::string> gt_answer;  // "assert Solution().name(k = v, ...) == value"
  std::string canonical_solution;      // Python source that defines class Solution
  std::string starter_code;
};

// InvalidArgument names the missing or ill-typed field.
absl::StatusOr<Problem> ProblemFromJson(const nlohmann::json& json);
nlohmann::ordered_json ProblemToJson(const Problem& problem);

// A whole JSONL text. InvalidArgument lists every bad line ("line 3: ..."), a repeated id and an empty file.
absl::StatusOr<std::vector<Problem>> ParseProblems(std::string_view jsonl);

// ParseProblems of a file; the message names the path. NotFound when there is none.
absl::StatusOr<std::vector<Problem>> LoadProblems(const std::filesystem::path& path);

// "name" out of "Solution().name".
absl::StatusOr<std::string> MethodName(const Problem& problem);

}  // namespace evilmoe
