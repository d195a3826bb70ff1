#pragma once

#include <string>

#include "common/logger.h"
#include "services/ctl/stack_layout.h"

namespace evilmoe {

// layout.targets, which tells Prometheus where a stack's processes are. Not thread-safe.
class TargetsFile {
 public:
  // Both must outlive it.
  TargetsFile(const StackLayout& layout, Logger& logger) : layout_(layout), logger_(logger) {}

  // Writes the file where it is not as it should be; what cannot be written is said once, and tried again the next time.
  void Update();

 private:
  const StackLayout& layout_;
  Logger& logger_;
  std::string written_;
  bool failed_ = false;  // the last time
};

}  // namespace evilmoe
