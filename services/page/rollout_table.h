#pragma once

#include <cstdint>
#include <filesystem>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/mutex.h"
#include "nlohmann/json.hpp"

namespace evilmoe {

// One sample of a step, as far as a person wants it. All text is the policy's own and untrusted.
struct RolloutRow {
  int64_t index = 0;  // its line in the step's file, from 0
  int64_t group = 0, sample = 0, problem_id = 0, version = -1;  // version: step of the adapter that sampled it; -1 = not said
  std::string loophole, evaluator, mode, label, failure, text, monitor;
  std::optional<double> w, reward, advantage;
  bool strict_hack = false, loose_hack = false, solved = false, masked = false, stopped = true;
  std::vector<std::pair<std::string, bool>> facts;
  std::vector<int32_t> prompt_ids;
};

struct RolloutTable {
  std::vector<RolloutRow> rows;
  std::vector<std::string> notes;  // what of the file could not be read, one sentence each
};

struct StepFile {
  int64_t step = 0;
  int64_t size_bytes = 0;
};
// The steps of a run whose rollouts are there, in order. None where the run has no such folder.
absl::StatusOr<std::vector<StepFile>> ListRolloutSteps(const std::filesystem::path& run_directory);

inline constexpr size_t kMaxRolloutRows = 100'000;
inline constexpr size_t kMaxRolloutTextBytes = size_t{64} << 10;    // of a sample; the rest is cut off, and said so
inline constexpr size_t kMaxRolloutTableBytes = size_t{256} << 20;  // of all rows of a step that are kept
inline constexpr size_t kMaxUnpackedBytes = size_t{2} << 30;        // that are looked at for them

// rollouts/step-N.jsonl.zst of a run's directory, read in pieces: memory is bounded by what is kept. A broken file gives
// the rows before the break and a note. NotFound; errors of ReadFileBeneath (coordinator/run_files.h).
absl::StatusOr<RolloutTable> ReadRolloutStep(const std::filesystem::path& run_directory, int64_t step);

// Which rows, and how many of them.
struct RolloutFilter {
  std::string kind;   // "" | hack | clean | solve | mistake (a hack with w < 0.5, a clean one with w >= 0.5) | failed
  std::string label;  // "" = any
  std::string text;   // that stands in the sample, in any case of ASCII letters; "" = any
  std::string sort;   // "" in order | w | -w | reward | -reward; rows without it last
  std::optional<double> w_low, w_high;  // inclusive
};
// InvalidArgument: kind or sort is none of these.
absl::Status CheckFilter(const RolloutFilter& filter);
// Indices into `table.rows`. Pure.
std::vector<size_t> MatchingRows(const RolloutTable& table, const RolloutFilter& filter);

// For a list: without the text, but with its beginning (`preview`).
nlohmann::ordered_json BriefJson(const RolloutRow& row);
nlohmann::ordered_json WholeJson(const RolloutRow& row);

// The tables that were asked for last, so that paging through a step reads its file once. Thread-safe.
class RolloutCache {
 public:
  // Errors of ReadRolloutStep. A file that was written anew is read anew.
  absl::StatusOr<std::shared_ptr<const RolloutTable>> Get(const std::filesystem::path& run_directory, int64_t step)
      ABSL_LOCKS_EXCLUDED(mu_);

 private:
  static constexpr size_t kTables = 2;
  struct Entry {
    std::filesystem::path path;
    std::filesystem::file_time_type written;
    uintmax_t size = 0;
    std::shared_ptr<const RolloutTable> table;
  };
  Mutex mu_;
  Mutex reading_;                                  // one step at a time, so that memory stays bounded
  std::list<Entry> entries_ ABSL_GUARDED_BY(mu_);  // the newest first
};

}  // namespace evilmoe
