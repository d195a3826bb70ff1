#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace evilmoe {

// Where a traced process is killed: with SIGKILL, at the `index`-th such place after it has stopped itself.
struct KillPoint {
  enum class Place {
    kNowhere,
    kSystemCall,  // before or after a system call: all that a process leaves behind, it leaves by one
    kTornWrite,   // in the middle of a write(2): the first half of its bytes are written
  };
  Place place = Place::kNowhere;
  int64_t index = 0;  // from 0
};

struct TracedEnd {
  int exit_code = -1;  // -1: killed
  // Places that it passed after it had stopped itself.
  int64_t system_calls = 0, writes = 0;
};

// Runs a program whose main thread stops itself once with SIGSTOP; the program inherits the descriptor `inherited`.
// Returns when it is gone. PermissionDenied: this machine lets nobody trace. Internal: another call failed.
absl::StatusOr<TracedEnd> RunTraced(std::vector<std::string> words, int inherited, const KillPoint& kill_point);

// Whether kTornWrite is possible: it changes a register of the process.
bool CanTearWrites();

}  // namespace evilmoe
