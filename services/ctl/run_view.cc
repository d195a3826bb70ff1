#include "services/ctl/run_view.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/shown_text.h"
#include "services/ctl/table.h"

namespace evilmoe {
namespace {

struct StepColumn {
  const char* title;
  const char* key;
  int decimals;
  int width;
};

constexpr StepColumn kStepColumns[] = {{"step", "step", 0, 6},
                                       {"reward", "reward_mean", 3, 7},
                                       {"hack", "hack_rate_strict", 3, 6},
                                       {"loose", "hack_rate_loose", 3, 6},
                                       {"solve", "solve_rate", 3, 6},
                                       {"w hack", "w_hack", 3, 7},
                                       {"w clean", "w_clean", 3, 8},
                                       {"tok/s", "tokens_per_second", 0, 7},
                                       {"seconds", "step_seconds", 1, 8}};

constexpr size_t kTimesForEta = 20;
constexpr size_t kMaxEventBytes = 200;  // of a payload that is shown as it came

std::string Interval(const nlohmann::json& row, const std::string& key) {
  const std::string value = ShowNumber(row, key.c_str(), 2);
  const std::string low = ShowNumber(row, (key + "_low").c_str(), 2);
  const std::string high = ShowNumber(row, (key + "_high").c_str(), 2);
  if (low == "-" || high == "-") return value;
  return absl::StrCat(value, " [", low, ", ", high, "]");
}

std::string Text(const nlohmann::json& object, const char* key) {
  if (!object.is_object()) return "-";
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? ShownLine(it->get<std::string>()) : "-";
}

template <typename Json>
std::string NumberText(const Json& object, const char* key, int decimals) {
  if (!object.is_object()) return "-";
  const auto it = object.find(key);
  if (it == object.end() || !it->is_number() || !std::isfinite(it->template get<double>())) return "-";
  return absl::StrFormat("%.*f", decimals, it->template get<double>());
}

std::string Cut(std::string text) {
  if (text.size() <= kMaxEventBytes) return text;
  text.resize(kMaxEventBytes);  // a character that is cut comes out as U+FFFD
  return text + "...";
}

}  // namespace

std::string ShowNumber(const nlohmann::json& object, const char* key, int decimals) {
  return NumberText(object, key, decimals);
}
std::string ShowNumber(const nlohmann::ordered_json& object, const char* key, int decimals) {
  return NumberText(object, key, decimals);
}

std::string ShowDuration(absl::Duration duration) {
  const int64_t s = std::max<int64_t>(0, absl::ToInt64Seconds(duration));
  if (s >= 3600) return absl::StrFormat("%d:%02d:%02d", s / 3600, s / 60 % 60, s % 60);
  return absl::StrFormat("%d:%02d", s / 60, s % 60);
}

std::string ShowTime(int64_t unix_ms) {
  if (unix_ms == 0) return "-";
  return absl::FormatTime("%Y-%m-%d %H:%M:%S", absl::FromUnixMillis(unix_ms), absl::LocalTimeZone());
}

std::string EventText(const RunEventView& event) {
  std::string what;
  if (event.kind == "step") {
    what = absl::StrCat("step ", ShowNumber(event.payload, "step", 0));
    for (const StepColumn& column : std::span(kStepColumns).subspan(1)) {
      const std::string value = ShowNumber(event.payload, column.key, column.decimals);
      if (value != "-") absl::StrAppend(&what, "  ", column.title, " ", value);
    }
  } else if (event.kind == "state") {
    const std::string error = Text(event.payload, "error");
    what = absl::StrCat(Text(event.payload, "state"), error.empty() || error == "-" ? "" : ": ", error == "-" ? "" : error);
  } else if (const std::string message = Text(event.payload, "message"); message != "-") {
    what = message;
  } else if (const std::string line = Text(event.payload, "final_line"); line != "-") {
    what = line;
  } else {
    what = Cut(event.payload.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  }
  return absl::StrFormat("%5d  %s  %-10s  %s\n", event.seq, ShowTime(event.unix_ms), ShownLine(event.kind),
                         ShownLine(what));
}

std::string RunView::Render(const RunEventView& event) {
  if (event.kind == "step") return RenderStep(event.payload, event.unix_ms);
  if (event.kind == "ablation") return RenderAblation(event.payload);
  if (event.kind == "evaluation") {
    return absl::StrCat("evaluated ", Text(event.payload, "mode"), " (", Text(event.payload, "markers"), " markers), ",
                        ShowNumber(event.payload, "done", 0), " of ", ShowNumber(event.payload, "total", 0), "\n");
  }
  if (event.kind == "relearn_step") {
    return absl::StrCat("relearn from ", Text(event.payload, "start"), ": step ", ShowNumber(event.payload, "step", 0),
                        " of ", ShowNumber(event.payload, "steps", 0), ", hack rate ",
                        ShowNumber(event.payload, "hack_rate", 2), "\n");
  }
  if (event.kind == "relearn") return Text(event.payload, "line") + "\n";
  if (event.kind == "warning" || event.kind == "recovery" || event.kind == "resume") {
    const bool has_message = event.payload.is_object() && event.payload.contains("message");
    const std::string what = has_message ? Text(event.payload, "message")
                                         : ShownLine(event.payload.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
    return absl::StrCat(event.kind, ": ", what, "\n");
  }
  return "";
}

std::string RunView::RenderStep(const nlohmann::json& payload, int64_t unix_ms) {
  step_times_ms_.push_back(unix_ms);
  if (step_times_ms_.size() > kTimesForEta) step_times_ms_.erase(step_times_ms_.begin());
  std::string text;
  if (!head_printed_) {
    for (const StepColumn& column : kStepColumns)
      absl::StrAppend(&text, absl::StrFormat("%*s", column.width, column.title));
    text += "\n";
    head_printed_ = true;
  }
  for (const StepColumn& column : kStepColumns) {
    absl::StrAppend(&text, absl::StrFormat("%*s", column.width, ShowNumber(payload, column.key, column.decimals)));
  }
  return text + "\n";
}

std::string RunView::RenderAblation(const nlohmann::json& payload) {
  std::vector<std::vector<std::string>> rows;
  if (payload.is_object() && payload.contains("rows") && payload["rows"].is_array()) {
    for (const nlohmann::json& row : payload["rows"]) {
      rows.push_back({Text(row, "mode"), Text(row, "markers"), Interval(row, "hack_strict"),
                      Interval(row, "hack_loose"), Interval(row, "solve")});
    }
  }
  if (const std::string line = Text(payload, "final_line"); line != "-") final_line_ = line;
  const auto shrinkage = payload.is_object() ? payload.find("shrinkage") : payload.end();
  const bool known = payload.is_object() && shrinkage != payload.end() && shrinkage->is_object();
  return "\n" + RenderTable({"mode", "markers", "hack strict", "hack loose", "solve"}, rows) +
         (known ? Text(*shrinkage, "line") + "\n" : "");
}

std::string RunView::ProgressBar(const RunSummary& run) const {
  if (run.steps_total <= 0) return "";
  constexpr int kWidth = 30;
  const int64_t done = std::clamp<int64_t>(run.steps_done, 0, run.steps_total);
  const int filled = static_cast<int>(done * kWidth / run.steps_total);
  std::string bar =
      absl::StrCat("[", std::string(static_cast<size_t>(filled), '#'),
                   std::string(static_cast<size_t>(kWidth - filled), '.'), "] ", done, "/", run.steps_total);
  if (done == run.steps_total) return bar + "  evaluating";
  if (step_times_ms_.size() < 2) return bar;
  const int64_t span_ms = step_times_ms_.back() - step_times_ms_.front();
  const int64_t num_gaps = static_cast<int64_t>(step_times_ms_.size()) - 1;
  return absl::StrCat(bar, "  ", ShowDuration(absl::Milliseconds(span_ms / num_gaps * (run.steps_total - done))),
                      " left");
}

}  // namespace evilmoe
