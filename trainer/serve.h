#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace evilmoe {

// Set by the launcher, in the processes that it starts.
struct RankPlace {
  int rank = -1;  // -1 = started by a person or a stack
  uint16_t store_port = 0;
};

// `evilmoe-trainer --config FILE`, until SIGTERM or SIGINT, which must be blocked. With `ranks: 1` it serves the
// coordinator itself; else it starts so many processes of this binary, one a place, and watches them
// (trainer/rank_launcher.h). `check`: only reads the file.
absl::Status ServeFile(const std::string& file, bool check, const RankPlace& place);

}  // namespace evilmoe
