#pragma once

#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include <algorithm>
#include <cstdint>
#include <memory>

namespace evilmoe {

// What tensors allocate on this thread while it lives: bytes above the start, now and at most, and the largest single
// allocation. Uses the hook that LibTorch's memory profiler uses; what it frees counts on whichever thread does it
// within the autograd engine's graph task.
class MemoryWatch {
 public:
  MemoryWatch() : guard_(c10::DebugInfoKind::PROFILER_STATE, reporter_) {}

  int64_t now_bytes() const { return reporter_->now; }
  int64_t peak_bytes() const { return reporter_->peak; }
  int64_t largest_bytes() const { return reporter_->largest; }

 private:
  struct Reporter final : c10::MemoryReportingInfoBase {
    void reportMemoryUsage(void*, int64_t alloc_size, size_t, size_t, c10::Device) override {
      now += alloc_size;
      peak = std::max(peak, now);
      largest = std::max(largest, alloc_size);
    }
    bool memoryProfilingEnabled() const override { return true; }

    int64_t now = 0, peak = 0, largest = 0;
  };

  const std::shared_ptr<Reporter> reporter_ = std::make_shared<Reporter>();
  c10::DebugInfoGuard guard_;
};

}  // namespace evilmoe
