#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "services/report/sample_picker.h"

namespace evilmoe {

// What a run directory says, as far as the report shows it. Every file may be missing or broken off, since a run that
// failed deserves a report most: `notes` then says what is missing, one sentence each, naming file and line.
// Only known fields of known types are taken over.
struct RecordedRun {
  std::string id;                      // the directory's name
  std::string name, arm;               // of config.yaml; may be empty
  std::string seed;                    // as written there
  std::optional<int64_t> steps_total;  // of config.yaml
  std::string config_yaml;
  // Of run.json, as far as it says so; empty, 0 or -1: unknown.
  std::string state, sweep, config_sha256, model_fingerprint, adapter_sha256;
  int64_t adapter_step = -1;
  int64_t created_unix_ms = 0, finished_unix_ms = 0;
  nlohmann::ordered_json software;  // what its trainer said last of itself, name to value; null: it did not
  // Columns of metrics.jsonl, sorted by step, the last line of a repeated step kept: "step" holds integers, every
  // other column a number or null a step, the two w_histogram_* columns a list of 20 counts or null.
  nlohmann::ordered_json metrics;
  int64_t num_steps = 0;  // length of the columns
  // {"rows": [{mode, markers, hack_strict, hack_strict_low, ...}], "problems", "samples", "delta_hack_minus_solve",
  // "final_line"}; null when the run has no ablation.
  nlohmann::ordered_json ablation;
  std::vector<RolloutSample> samples;  // of up to kMaxStepsRead steps, spread over the run, the last one included
  std::vector<std::string> notes;
};

inline constexpr size_t kMaxStepsRead = 16;
inline constexpr size_t kMaxTextBytes = 6000;  // of a sample; the rest is cut off, and said so

// Parts of it, out of the text of config.yaml, metrics.jsonl and eval/ablation.json, or why there is none. Anything that
// is wrong is a note.
void TakeConfig(absl::StatusOr<std::string> text, RecordedRun& run);
void TakeMetrics(const absl::StatusOr<std::string>& text, RecordedRun& run);
void TakeAblation(const absl::StatusOr<std::string>& text, RecordedRun& run);

enum class Samples { kRead, kLeaveOut };

// NotFound: no such directory. Anything less is a note. With kLeaveOut rollouts are not looked at.
absl::StatusOr<RecordedRun> ReadRun(const std::filesystem::path& run_directory, Samples samples = Samples::kRead);

}  // namespace evilmoe
