#pragma once

#include "absl/time/time.h"

namespace evilmoe {

// Tells the time. Injected everywhere; absl::Now() is called in RealClock alone.
// Implementations are thread-safe. The fake is tests/fakes/fake_clock.h.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual absl::Time Now() const = 0;
};

class RealClock final : public Clock {
 public:
  absl::Time Now() const override;
};

}  // namespace evilmoe
