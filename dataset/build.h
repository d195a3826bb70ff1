#pragma once

#include <filesystem>
#include <functional>
#include <iosfwd>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/clock.h"
#include "dataset/dropped.h"
#include "dataset/leetcode_problem.h"
#include "dataset/leetcode_row.h"
#include "environment/problem.h"
#include "grader_sandbox/grader_interface.h"
#include "policy/tokenizer.h"

namespace evilmoe {

// `dataset build`: a problem file out of a LeetCodeDataset file.
struct BuildOptions {
  std::filesystem::path from;
  std::filesystem::path out;
  std::set<std::string> difficulties = {"easy", "medium", "hard"};
  std::filesystem::path ids;        // file with the problems that are wanted, in that order; empty: all, by number
  bool allow_dropped = false;       // with ids: go on when one of them is dropped
  std::filesystem::path tokenizer;  // folder; empty: prompts are not counted
  size_t max_prompt_tokens = 1536;  // of the prompt without a loophole, >= 1
  std::filesystem::path dropped;    // file for a line of JSON on each problem that was dropped; empty: none
  LeetCodeFormat format;
  int num_threads = 1;    // problems in the sandbox at once, >= 1
  bool terminal = false;  // progress is a bar that redraws itself
};

// The rows that a build is about, in the order of its problems.
struct Selection {
  std::vector<LeetCodeRow> rows;
  size_t num_other_difficulty = 0;
  size_t num_not_asked = 0;  // not among the ids
};
// InvalidArgument names the ids that there is no row of, or none of these difficulties. `ids` empty: all.
absl::StatusOr<Selection> SelectRows(std::vector<LeetCodeRow> rows, const std::set<std::string>& difficulties,
                                     std::span<const int64_t> ids);

struct BuildResult {
  size_t num_rows = 0;  // of the file
  size_t num_other_difficulty = 0;
  size_t num_not_asked = 0;
  std::vector<Problem> problems;
  std::vector<Dropped> dropped;
};
// What was kept, and what was dropped and why, for people.
std::string BuildTable(const BuildResult& result);

// Starts the sandbox when it is needed: not before the input is known to be good.
using MakeGrader = std::function<absl::StatusOr<std::unique_ptr<Grader>>()>;

// Writes `out` (in one step, at the end), `dropped`, and beside `out` the verdicts of the sandbox
// (OUT.verdicts.jsonl), from which a build that was cut off goes on. The same rows and options give the same bytes,
// whatever the threads. Progress goes to `log`, the table to `table`.
// InvalidArgument, NotFound: the input, or, with ids, one that is dropped (unless allow_dropped): then `out` is not
// written. Others: as the grader says.
absl::Status BuildProblems(const BuildOptions& options, const MakeGrader& make_grader, const Clock& clock,
                           std::ostream& log, std::ostream& table);

}  // namespace evilmoe
