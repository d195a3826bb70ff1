#include "trainer/overlong_penalty.h"

#include <algorithm>

#include "common/status_macros.h"

namespace evilmoe {

double SoftOverlongPenalty(int64_t num_tokens, int64_t limit, int64_t buffer) {
  EVILMOE_CHECK(buffer >= 1 && buffer <= limit);
  return std::clamp(static_cast<double>(limit - buffer - num_tokens) / static_cast<double>(buffer), -1.0, 0.0);
}

}  // namespace evilmoe
