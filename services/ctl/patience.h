#pragma once

#include <optional>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/clock.h"

namespace evilmoe {

// How long a verb that looks at a coordinator again and again bears that it cannot be reached: a minute without an
// answer. Not thread-safe.
class Patience {
 public:
  // `clock` must outlive it.
  explicit Patience(const Clock& clock) : clock_(clock) {}

  // OK: look again, or take the answer that there is. Else `status` itself: it is another error than that of a
  // coordinator that cannot be reached, or there was no answer for a minute.
  absl::Status Bear(const absl::Status& status);

 private:
  const Clock& clock_;
  std::optional<absl::Time> lost_since_;
};

}  // namespace evilmoe
