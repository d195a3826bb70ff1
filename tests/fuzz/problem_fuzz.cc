// Any bytes as a problem file, and as rows of LeetCodeDataset: refused with the line, or written and read again to the
// same problems.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/status_macros.h"
#include "common/strict_json.h"
#include "dataset/leetcode_problem.h"
#include "dataset/leetcode_row.h"
#include "environment/problem.h"
#include "environment/prompt_format.h"

namespace evilmoe {
namespace {

constexpr int64_t kMaxComplaints = 51;

std::string LinesOf(const std::vector<Problem>& problems) {
  std::string lines;
  for (const Problem& problem : problems) lines += ProblemToJson(problem).dump() + "\n";
  return lines;
}

void FuzzFile(std::string_view bytes) {
  const absl::StatusOr<std::vector<Problem>> problems = ParseProblems(bytes);
  if (!problems.ok()) {
    EVILMOE_CHECK(absl::IsInvalidArgument(problems.status()));
    const std::string message(problems.status().message());
    EVILMOE_CHECK(!message.empty() && std::ranges::count(message, '\n') < kMaxComplaints);
    return;
  }
  const std::string lines = LinesOf(*problems);
  const absl::StatusOr<std::vector<Problem>> again = ParseProblems(lines);
  EVILMOE_CHECK(again.ok());
  EVILMOE_CHECK(LinesOf(*again) == lines);
}

void FuzzRow(std::string_view bytes) {
  const absl::StatusOr<nlohmann::json> json = ParseStrictJson(bytes);
  if (!json.ok()) return;
  const absl::StatusOr<LeetCodeRow> row = LeetCodeRowFromJson(*json);
  if (!row.ok()) return;
  const std::variant<Problem, DropReason> made = ProblemOfRow(*row, {});
  const Problem* problem = std::get_if<Problem>(&made);
  if (problem == nullptr) return;
  EVILMOE_CHECK(problem->gt_answer.size() == row->examples.size());
  EVILMOE_CHECK(DescriptionOf(*problem) == Stripped(WithoutFollowUps(row->description)));
  EVILMOE_CHECK(ParseProblems(LinesOf({*problem})).ok());
}

}  // namespace
}  // namespace evilmoe

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  evilmoe::FuzzFile(bytes);
  evilmoe::FuzzRow(bytes);
  return 0;
}
