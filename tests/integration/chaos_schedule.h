#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace evilmoe {

// What is done to a run, and when: a pure function of a seed.

struct Disturbance {
  enum class Kind { kKill, kStop, kCut, kRefuse, kDelay };
  absl::Duration at;           // since the run was submitted
  absl::Duration length;       // 0 for kKill and kCut
  Kind kind = Kind::kKill;
  std::string target;          // of a process; a rank of the trainer is "rank-N"; of the rest a proxy
  absl::Duration delay;        // of kDelay: how much later bytes come
};

struct ChaosTargets {
  std::vector<std::string> processes;
  std::vector<std::string> proxies;
};

// In order of time. A process is stopped for less time than a trainer's silence is borne, and sometimes for longer than
// a lease lasts; pauses between disturbances let a run get on.
std::vector<Disturbance> MakeSchedule(uint64_t seed, int num_disturbances, const ChaosTargets& targets);

// "at 1.25s kill trainer".
std::string Describe(const Disturbance& disturbance);

// "1,2,8-12": InvalidArgument where it is no list of numbers and ranges, of at most 1,000 seeds.
absl::StatusOr<std::vector<uint64_t>> ParseSeeds(std::string_view text);

}  // namespace evilmoe
