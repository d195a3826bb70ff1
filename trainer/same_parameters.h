#pragma once

#include "absl/status/status.h"
#include "trainer/checkpoint.h"
#include "trainer/collective.h"

namespace evilmoe {

// Every rank makes the same optimizer step out of the same sums, so parameters stay equal without being sent. This is
// the check: one small sum of hashes over the bits of adapter and gate. Call it on every rank after each step;
// `dropped`: whether the rank dropped the step. Internal: the ranks differ, the text tells which; errors of Collective.
absl::Status CheckSameParameters(const TrainerState& state, bool dropped, Collective& ranks);

}  // namespace evilmoe
