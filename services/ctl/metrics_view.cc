#include "services/ctl/metrics_view.h"

#include <algorithm>
#include <map>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "common/shown_text.h"
#include "services/ctl/run_view.h"
#include "services/ctl/table.h"

namespace evilmoe {
namespace {

using Json = nlohmann::ordered_json;

struct Column {
  const char* title;
  const char* key;
  int decimals;
};
constexpr Column kColumns[] = {{"step", "step", 0},
                               {"reward", "reward_mean", 3},
                               {"hack", "hack_rate_strict", 3},
                               {"loose", "hack_rate_loose", 3},
                               {"deploy hack", "deploy_hack_rate_strict", 3},
                               {"solve", "solve_rate", 3},
                               {"w hack", "w_hack", 3},
                               {"w clean", "w_clean", 3},
                               {"loss", "loss", 4},
                               {"kl", "kl", 4},
                               {"tokens", "completion_tokens_mean", 0},
                               {"tok/s", "tokens_per_second", 0},
                               {"seconds", "step_seconds", 1}};

std::string Value(const Json& value) {
  if (value.is_null()) return "";
  return value.is_string() ? value.get<std::string>() : value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string CsvCell(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

}  // namespace

MetricRows ParseMetrics(std::string_view jsonl) {
  std::map<int64_t, Json> by_step;
  while (!jsonl.empty()) {
    const size_t end = jsonl.find('\n');
    Json row = Json::parse(jsonl.substr(0, end), nullptr, /*allow_exceptions=*/false);
    jsonl.remove_prefix(end == std::string_view::npos ? jsonl.size() : end + 1);
    if (!row.is_object() || !row.contains("step") || !row["step"].is_number_integer()) continue;
    const auto step = row["step"].get<int64_t>();
    by_step[step] = std::move(row);
  }
  MetricRows rows;
  for (auto& [step, row] : by_step) rows.push_back(std::move(row));
  return rows;
}

std::string MetricsTable(const MetricRows& rows) {
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> lines(rows.size());
  for (const Column& column : kColumns) {
    const bool known = std::any_of(rows.begin(), rows.end(), [&](const Json& row) { return row.contains(column.key); });
    if (!known) continue;
    header.emplace_back(column.title);
    for (size_t i = 0; i < rows.size(); ++i) lines[i].push_back(ShowNumber(rows[i], column.key, column.decimals));
  }
  return RenderTable(header, lines, std::vector<bool>(header.size(), true));
}

std::string MetricsOfStep(const Json& row) {
  std::vector<std::vector<std::string>> lines;
  for (const auto& [name, value] : row.items()) {
    if (name == "step") continue;
    lines.push_back({ShownLine(name), value.is_null() ? "-" : ShownLine(Value(value))});
  }
  return RenderTable({"step", Value(row.at("step"))}, lines);
}

std::string MetricsCsv(const MetricRows& rows) {
  std::vector<std::string> names;
  for (const Json& row : rows) {
    for (const auto& [name, value] : row.items()) {
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    }
  }
  std::string text;
  for (size_t i = 0; i < names.size(); ++i) absl::StrAppend(&text, i > 0 ? "," : "", CsvCell(names[i]));
  text += "\r\n";
  for (const Json& row : rows) {
    for (size_t i = 0; i < names.size(); ++i) {
      absl::StrAppend(&text, i > 0 ? "," : "", row.contains(names[i]) ? CsvCell(Value(row[names[i]])) : "");
    }
    text += "\r\n";
  }
  return text;
}

}  // namespace evilmoe
