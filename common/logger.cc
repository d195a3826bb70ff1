#include "common/logger.h"

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace evilmoe {
namespace {

const char* Name(LogLevel level) {
  switch (level) {
    case LogLevel::kInfo: return "INFO";
    case LogLevel::kWarn: return "WARN";
    case LogLevel::kError: return "ERROR";
  }
  return "?";
}

}  // namespace

absl::StatusOr<Logger> Logger::Open(const std::filesystem::path& path, std::string_view component, const Clock& clock) {
  if (path.empty()) return Logger(stderr, component, clock);
  std::FILE* file = std::fopen(path.c_str(), "ae");
  if (file == nullptr) {
    return absl::UnavailableError(absl::StrCat(path.string(), ": cannot open the log: ", std::strerror(errno)));
  }
  return Logger(file, component, clock);
}

Logger::Logger(Logger&& other) noexcept : component_(other.component_), clock_(other.clock_), file_(other.file_) {
  other.file_ = nullptr;
}

Logger::~Logger() {
  MutexLock lock(mu_);
  if (file_ != nullptr && file_ != stderr) std::fclose(file_);
}

void Logger::Log(LogLevel level, std::string_view event, nlohmann::json fields) {
  nlohmann::ordered_json line;
  line["time"] = absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", clock_.Now(), absl::UTCTimeZone());
  line["level"] = Name(level);
  line["component"] = component_;
  line["event"] = event;
  for (auto& [key, value] : fields.items()) line[key] = value;
  // A field may hold bytes of a policy's text; a log line must never throw over them.
  const std::string text = line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  MutexLock lock(mu_);
  std::fprintf(file_, "%s\n", text.c_str());
  std::fflush(file_);
}

}  // namespace evilmoe
