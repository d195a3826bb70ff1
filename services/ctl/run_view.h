#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "services/runs/run_directory.h"
#include "services/runs/run_event.h"

namespace evilmoe {

// Turns a run's events into the text that a person follows. Pure: no clock, no terminal.
class RunView {
 public:
  // What to print for an event, newline included; empty for one that people need not see. The head of the step table
  // comes with the first step.
  std::string Render(const RunEventView& event);
  // "[#####.....] 12/60  0:43 left" out of the steps that were rendered; nothing left to say = "".
  std::string ProgressBar(const RunSummary& run) const;
  // The last event's final line ("Evil MoE causal ablation: ..."), once there was an ablation.
  const std::optional<std::string>& final_line() const { return final_line_; }

 private:
  std::string RenderStep(const nlohmann::json& payload, int64_t unix_ms);
  std::string RenderAblation(const nlohmann::json& payload);

  bool head_printed_ = false;
  std::vector<int64_t> step_times_ms_;  // of the last steps, for the ETA
  std::optional<std::string> final_line_;
};

// "0.42", and "-" for what is not there or no number.
std::string ShowNumber(const nlohmann::json& object, const char* key, int decimals);
std::string ShowNumber(const nlohmann::ordered_json& object, const char* key, int decimals);
// "1:02:03" or "2:03".
std::string ShowDuration(absl::Duration duration);
// "2026-11-30 17:04:05" in local time; "-" for 0.
std::string ShowTime(int64_t unix_ms);
// One line about any event, for who reads all of them.
std::string EventText(const RunEventView& event);

}  // namespace evilmoe
