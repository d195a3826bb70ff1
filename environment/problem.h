#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
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

// InvalidArgument names the field that is missing, has another type, or holds what it must not: a difficulty or a role
// that is none, a func_name outside Solution(), a test that does not begin with "assert ". Fields that a Problem does
// not have are let pass: files of other tools carry some.
absl::StatusOr<Problem> ProblemFromJson(const nlohmann::json& json);
nlohmann::ordered_json ProblemToJson(const Problem& problem);

// "name" out of "Solution().name".
absl::StatusOr<std::string> MethodName(const Problem& problem);

// Files. Every id occurs once, and a file has at least one problem; empty lines do not count.

// Of a file with longer lines, or more text in all, nothing is read further than that.
inline constexpr size_t kMaxProblemLineBytes = size_t{16} << 20;
inline constexpr size_t kMaxProblemFileBytes = size_t{1} << 30;

// A whole JSONL text. InvalidArgument lists every bad line ("line 3: ..."), a repeated id and an empty file.
absl::StatusOr<std::vector<Problem>> ParseProblems(std::string_view jsonl);

// The same of a file, plain or gzip, that is read line by line; messages name the path. NotFound when there is none;
// ResourceExhausted, DataLoss, Unavailable as LineReader says.
absl::StatusOr<std::vector<Problem>> LoadProblems(const std::filesystem::path& path);

// Replaces `path` in one step; equal problems give equal bytes. InvalidArgument, and nothing written, for what
// LoadProblems would refuse.
absl::Status WriteProblems(const std::filesystem::path& path, std::span<const Problem> problems);

}  // namespace evilmoe
