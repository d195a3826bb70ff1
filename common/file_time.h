#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>

namespace evilmoe {

// A file's time as nanoseconds since 1970, and back.
inline int64_t ToUnixNanos(std::filesystem::file_time_type time) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::file_clock::to_sys(time).time_since_epoch())
      .count();
}
inline std::filesystem::file_time_type FromUnixNanos(int64_t nanos) {
  return std::chrono::file_clock::from_sys(
      std::chrono::sys_time<std::chrono::nanoseconds>(std::chrono::nanoseconds(nanos)));
}

}  // namespace evilmoe
