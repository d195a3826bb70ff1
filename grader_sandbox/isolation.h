#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace evilmoe {

// How well a run is locked up. Every tier has the system-call filter, Landlock where the kernel has it, and rlimits; a
// grader that is root also gives every slot a user of its own. docs/sandbox.md says what each layer stops.
enum class Tier : uint8_t {
  kA = 'A',  // namespaces with an empty root, and a cgroup or a user for each slot: root, or a delegated cgroup
  kB = 'B',  // namespaces with an empty root, made without any privilege
  kC = 'C',  // neither: works in a plain Kubernetes pod
};

std::string TierName(Tier tier);  // "A", "B", "C"
// InvalidArgument: no such tier.
absl::StatusOr<Tier> ParseTier(std::string_view name);

// True when `tier` locks a run up at least as well as `minimum` does.
inline bool AtLeast(Tier tier, Tier minimum) { return tier <= minimum; }

// What a zygote does to itself before it is ready.
struct Isolation {
  Tier tier = Tier::kC;
  uint32_t uid = 0;  // user and group to become first; 0 = stay who we are
  bool has_namespaces() const { return tier != Tier::kC; }
};

}  // namespace evilmoe
