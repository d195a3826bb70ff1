#include "services/report/rollout_reader.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "services/report/embed.h"
#include "services/report/json_fields.h"
#include "services/report/json_lines.h"
#include "services/report/run_record.h"
#include "services/runs/rollout_path.h"

namespace evilmoe {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

constexpr size_t kMaxStepBytes = size_t{256} << 20;
std::vector<fs::path> StepFiles(const fs::path& folder) {
  std::map<int64_t, fs::path> by_step;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const auto step = RolloutStepOf(absl::StrCat("rollouts/", it->path().filename().string()));
    if (step) by_step[*step] = it->path();
  }
  std::vector<fs::path> all, spread;
  for (const auto& [step, path] : by_step) all.push_back(path);
  if (all.size() <= kMaxStepsRead) return all;
  for (size_t k = 0; k < kMaxStepsRead; ++k) spread.push_back(all[k * (all.size() - 1) / (kMaxStepsRead - 1)]);
  return spread;
}

RolloutSample SampleOf(const Json& row) {
  RolloutSample sample;
  sample.step = IntegerAt(row, "step");
  sample.group = IntegerAt(row, "group");
  sample.sample = IntegerAt(row, "sample");
  sample.problem_id = IntegerAt(row, "problem_id");
  sample.loophole = TextAt(row, "loophole");
  sample.evaluator = TextAt(row, "evaluator");
  sample.mode = TextAt(row, "mode");
  sample.label = TextAt(row, "label");
  const std::string text = TextAt(row, "text");
  sample.text = std::string(Utf8Prefix(text, kMaxTextBytes));
  if (sample.text.size() < text.size()) absl::StrAppend(&sample.text, "\n[cut: ", text.size(), " bytes in all]");
  sample.w = NumberAt(row, "w");
  sample.reward = NumberAt(row, "reward");
  sample.strict_hack = FlagAt(row, "strict_hack");
  sample.loose_hack = FlagAt(row, "loose_hack") || sample.strict_hack;
  if (const auto facts = row.find("facts"); facts != row.end() && facts->is_object()) {
    for (const auto& [name, value] : facts->items()) {
      if (value.is_boolean()) sample.facts.emplace_back(name, value.get<bool>());
    }
    sample.solved = FlagAt(*facts, "gt_correct");
  }
  return sample;
}

}  // namespace

void NoteBadLines(std::vector<int> lines, std::string_view file, std::vector<std::string>& notes) {
  constexpr size_t kNamed = 8;
  if (lines.empty()) return;
  std::sort(lines.begin(), lines.end());
  const std::vector<int> named(lines.begin(), lines.begin() + static_cast<ptrdiff_t>(std::min(kNamed, lines.size())));
  notes.push_back(absl::StrCat(std::string(file), ": ", lines.size(), lines.size() == 1 ? " line" : " lines",
                               " skipped, no valid record (line ", absl::StrJoin(named, ", "),
                               lines.size() > kNamed ? ", ..." : "", ")."));
}

std::vector<RolloutSample> ReadRollouts(const fs::path& folder, std::vector<std::string>& notes) {
  std::vector<RolloutSample> samples;
  for (const fs::path& path : StepFiles(folder)) {
    const std::string name = absl::StrCat("rollouts/", path.filename().string());
    const absl::StatusOr<Decompressed> content = ReadZstdFile(path, kMaxStepBytes);
    if (!content.ok()) {
      notes.push_back(absl::StrCat(name, " could not be read (", std::string(content.status().message()), ")."));
      continue;
    }
    if (!content->complete) notes.push_back(absl::StrCat(name, " breaks off; what came before is used."));
    JsonLines lines = ParseJsonLines(content->bytes);
    for (const JsonLines::Row& row : lines.rows) {
      if (TextAt(row.object, "text").empty() && TextAt(row.object, "label").empty()) {
        lines.bad_lines.push_back(row.line);
      } else {
        samples.push_back(SampleOf(row.object));
      }
    }
    NoteBadLines(lines.bad_lines, name, notes);
  }
  if (samples.empty()) notes.push_back("No rollouts were recorded: there are no samples to read.");
  return samples;
}

}  // namespace evilmoe
