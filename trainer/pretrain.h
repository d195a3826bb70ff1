#pragma once

#include <functional>

#include "absl/status/status.h"
#include "trainer/pretrain_config.h"

namespace evilmoe {

struct PretrainProgress {
  int step = 0;     // done
  double loss = 0;  // mean over response tokens, exponential average
  double tokens_per_second = 0;
  int64_t skipped = 0;  // sequences longer than max_tokens
};

// Trains a fresh network on the responses of the text file (the prompt gives no loss) and saves it. Deterministic for
// one number of threads on one machine. `report` is called after each step. InvalidArgument: a bad line, too few of
// them.
absl::Status Pretrain(const PretrainConfig& config, const std::function<void(const PretrainProgress&)>& report);

}  // namespace evilmoe
