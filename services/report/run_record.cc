#include "services/report/run_record.h"

#include <algorithm>
#include <array>
#include <map>
#include <string_view>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/yaml_tree.h"
#include "services/report/json_fields.h"
#include "services/report/json_lines.h"
#include "services/report/rollout_reader.h"

namespace evilmoe {
namespace {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

constexpr size_t kMaxFileBytes = size_t{256} << 20;
constexpr size_t kMaxSummaryBytes = size_t{1} << 20;
constexpr size_t kNumBuckets = 20;
constexpr std::array kColumns = {
    "reward_mean",          "reward_std",           "hack_rate_strict",       "hack_rate_loose",
    "solve_rate",           "deploy_hack_rate_strict", "w_hack",              "w_clean",
    "router_auroc",         "pair_separation",      "router_angle_radians",   "q_mass",
    "leak_hack",            "leak_clean",           "kl",                     "entropy",
    "grad_norm_deployed",   "grad_norm_quarantine", "grad_norm_router",       "loss",
    "pin_loss",             "completion_tokens_mean", "truncated_ratio",      "zero_variance_groups",
    "masked_samples",       "logp_difference_max",  "step_seconds",           "sample_seconds",
    "train_seconds",        "tokens_per_second"};
constexpr std::array kHistograms = {"w_histogram_hack", "w_histogram_clean"};

const Json* Find(const Json& object, std::string_view key) {
  const auto it = object.find(std::string(key));
  return it == object.end() ? nullptr : &*it;
}

OrderedJson NumberOrNull(const Json& object, std::string_view key) {
  const Json* value = Find(object, key);
  return value != nullptr && value->is_number() ? OrderedJson(value->get<double>()) : OrderedJson();
}

OrderedJson HistogramOrNull(const Json& object, std::string_view key) {
  const Json* value = Find(object, key);
  if (value == nullptr || !value->is_array() || value->size() != kNumBuckets) return nullptr;
  OrderedJson counts = OrderedJson::array();
  for (const Json& count : *value) {
    if (!count.is_number() || count.get<double>() < 0) return nullptr;
    counts.push_back(count.get<double>());
  }
  return counts;
}

// A note on a file that could not be read; `consequence` says what the report lacks for it.
void NoteUnread(const absl::Status& status, std::string_view file, std::string_view consequence, RecordedRun& run) {
  run.notes.push_back(absl::IsNotFound(status)
                          ? absl::StrCat("There is no ", std::string(file), ": ", std::string(consequence), ".")
                          : absl::StrCat(std::string(file), " could not be read (", std::string(status.message()),
                                         "): ", std::string(consequence), "."));
}

std::string ScalarAt(const YamlNode& root, std::string_view key) {
  const YamlMember* member = root.Find(key);
  return member != nullptr && member->value.kind == YamlNode::Kind::kScalar ? member->value.text : "";
}

// A run directory without run.json is one that was copied in part: no note, since nothing that the page is for is missing.
void ReadSummary(const std::filesystem::path& path, RecordedRun& run) {
  const absl::StatusOr<std::string> text = ReadFile(path, kMaxSummaryBytes);
  const Json json = text.ok() ? Json::parse(*text, nullptr, /*allow_exceptions=*/false) : Json();
  if (!json.is_object()) return;
  run.state = TextAt(json, "state");
  run.sweep = TextAt(json, "sweep");
  run.config_sha256 = TextAt(json, "config_sha256");
  run.model_fingerprint = TextAt(json, "model_fingerprint");
  run.created_unix_ms = IntegerAt(json, "created_unix_ms", 0);
  run.finished_unix_ms = IntegerAt(json, "finished_unix_ms", 0);
  if (const Json* adapter = Find(json, "adapter"); adapter != nullptr && adapter->is_object()) {
    run.adapter_step = IntegerAt(*adapter, "step", -1);
    run.adapter_sha256 = TextAt(*adapter, "sha256");
  }
}

void ReadSoftware(const std::filesystem::path& path, RecordedRun& run) {
  const absl::StatusOr<std::string> text = ReadFile(path, kMaxFileBytes);
  if (!text.ok()) return;
  for (const JsonLines::Row& row : ParseJsonLines(*text).rows) {
    const Json* payload = Find(row.object, "payload");
    if (TextAt(row.object, "kind") != "software" || payload == nullptr || !payload->is_object()) continue;
    run.software = OrderedJson::object();
    for (const auto& [name, value] : payload->items()) {
      if (value.is_primitive() && !value.is_null()) run.software[name] = value;
    }
  }
}

void FillColumns(const std::map<int64_t, const Json*>& by_step, RecordedRun& run) {
  run.metrics = OrderedJson::object();
  run.metrics["step"] = OrderedJson::array();
  for (const char* name : kColumns) run.metrics[name] = OrderedJson::array();
  for (const char* name : kHistograms) run.metrics[name] = OrderedJson::array();
  for (const auto& [step, row] : by_step) {
    run.metrics["step"].push_back(step);
    for (const char* name : kColumns) run.metrics[name].push_back(NumberOrNull(*row, name));
    for (const char* name : kHistograms) run.metrics[name].push_back(HistogramOrNull(*row, name));
  }
  run.num_steps = static_cast<int64_t>(by_step.size());
}

OrderedJson AblationRowOf(const Json& row) {
  OrderedJson result = OrderedJson::object();
  for (const char* key : {"mode", "markers"}) {
    const Json* value = Find(row, key);
    result[key] = value != nullptr && value->is_string() ? value->get<std::string>() : "";
  }
  for (const char* key : {"hack_strict", "hack_loose", "solve"}) {
    for (const char* suffix : {"", "_low", "_high"}) {
      const std::string name = absl::StrCat(key, suffix);
      result[name] = NumberOrNull(row, name);
    }
  }
  return result;
}

}  // namespace

void TakeConfig(absl::StatusOr<std::string> text, RecordedRun& run) {
  if (!text.ok()) return NoteUnread(text.status(), "config.yaml", "name, arm and settings are unknown", run);
  run.config_yaml = *std::move(text);
  std::vector<YamlProblem> problems;
  const YamlNode root = ParseYamlTree(run.config_yaml, problems);
  if (!problems.empty()) {
    run.notes.push_back(absl::StrCat("config.yaml line ", problems[0].place.line, ": ", problems[0].text,
                                     "; it is shown as it stands."));
  }
  run.name = ScalarAt(root, "name");
  run.arm = ScalarAt(root, "arm");
  run.seed = ScalarAt(root, "seed");
  int64_t steps = 0;
  if (absl::SimpleAtoi(ScalarAt(root, "steps"), &steps) && steps > 0) run.steps_total = steps;
}

void TakeMetrics(const absl::StatusOr<std::string>& text, RecordedRun& run) {
  if (!text.ok()) NoteUnread(text.status(), "metrics.jsonl", "there are no curves to draw", run);
  JsonLines lines = ParseJsonLines(text.ok() ? *text : std::string());
  std::map<int64_t, const Json*> by_step;
  for (const JsonLines::Row& row : lines.rows) {
    const Json* step = Find(row.object, "step");
    if (step == nullptr || !step->is_number_integer()) {
      lines.bad_lines.push_back(row.line);
    } else {
      by_step[step->get<int64_t>()] = &row.object;  // a step repeated after a recovery replaces its first try
    }
  }
  NoteBadLines(lines.bad_lines, "metrics.jsonl", run.notes);
  if (text.ok() && by_step.empty()) run.notes.push_back("metrics.jsonl holds no step: there are no curves to draw.");
  FillColumns(by_step, run);
}

void TakeAblation(const absl::StatusOr<std::string>& text, RecordedRun& run) {
  constexpr std::string_view kFile = "eval/ablation.json";
  constexpr std::string_view kLack = "the causal ablation was not run or did not finish";
  if (!text.ok()) return NoteUnread(text.status(), kFile, kLack, run);
  const Json json = Json::parse(*text, nullptr, /*allow_exceptions=*/false);
  const Json* rows = json.is_object() ? Find(json, "rows") : nullptr;
  if (rows == nullptr || !rows->is_array()) {
    return NoteUnread(absl::DataLossError("expected a JSON object with a list \"rows\""), kFile, kLack, run);
  }
  OrderedJson result = {{"rows", OrderedJson::array()}};
  for (const Json& row : *rows) {
    if (row.is_object()) result["rows"].push_back(AblationRowOf(row));
  }
  for (const char* key : {"problems", "samples"}) result[key] = NumberOrNull(json, key);
  if (const Json* delta = Find(json, "delta_hack_minus_solve"); delta != nullptr && delta->is_object()) {
    for (const char* key : {"mean", "low", "high"}) result["delta_hack_minus_solve"][key] = NumberOrNull(*delta, key);
  }
  const Json* line = Find(json, "final_line");
  result["final_line"] = line != nullptr && line->is_string() ? line->get<std::string>() : "";
  run.ablation = std::move(result);
}

absl::StatusOr<RecordedRun> ReadRun(const std::filesystem::path& run_directory, Samples samples) {
  std::error_code error;
  if (!std::filesystem::is_directory(run_directory, error)) {
    return absl::NotFoundError(
        absl::StrCat("report: ", run_directory.string(), " is no directory; name the directory of a run"));
  }
  RecordedRun run;
  run.id = (run_directory / "").lexically_normal().parent_path().filename().string();
  TakeConfig(ReadFile(run_directory / "config.yaml", kMaxYamlBytes), run);
  ReadSummary(run_directory / "run.json", run);
  ReadSoftware(run_directory / "events.jsonl", run);
  TakeMetrics(ReadFile(run_directory / "metrics.jsonl", kMaxFileBytes), run);
  TakeAblation(ReadFile(run_directory / "eval" / "ablation.json", kMaxFileBytes), run);
  if (samples == Samples::kRead) run.samples = ReadRollouts(run_directory / "rollouts", run.notes);
  return run;
}

}  // namespace evilmoe
