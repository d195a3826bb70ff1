#pragma once

#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/clock.h"
#include "common/mutex.h"
#include "nlohmann/json.hpp"

namespace evilmoe {

enum class LogLevel { kInfo, kWarn, kError };

// Writes JSON lines: {"time", "level", "component", "event", ...fields}. INFO = a state changed,
// WARN = degraded and counted, ERROR = someone must act. Thread-safe. `clock` must outlive it.
class Logger {
 public:
  // Appends to `path`; an empty path means standard error.
  static absl::StatusOr<Logger> Open(const std::filesystem::path& path, std::string_view component, const Clock& clock);
  Logger(Logger&& other) noexcept;
  ~Logger();

  void Log(LogLevel level, std::string_view event, nlohmann::json fields = nlohmann::json::object());
  void Info(std::string_view event, nlohmann::json fields = nlohmann::json::object()) {
    Log(LogLevel::kInfo, event, std::move(fields));
  }
  void Warn(std::string_view event, nlohmann::json fields = nlohmann::json::object()) {
    Log(LogLevel::kWarn, event, std::move(fields));
  }
  void Error(std::string_view event, nlohmann::json fields = nlohmann::json::object()) {
    Log(LogLevel::kError, event, std::move(fields));
  }

 private:
  Logger(std::FILE* file, std::string_view component, const Clock& clock)
      : component_(component), clock_(clock), file_(file) {}

  const std::string component_;
  const Clock& clock_;
  Mutex mu_;
  std::FILE* file_ ABSL_GUARDED_BY(mu_);  // owned unless it is stderr
};

}  // namespace evilmoe
