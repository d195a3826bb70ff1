#pragma once

#include <cstdint>

namespace evilmoe {

// What a long completion loses, in [-1, 0]: the soft overlong punishment of Yu et al. 2025 (DAPO, §3.4). With L tokens,
// a limit of M and a buffer of B in front of it:
//
//   0 where L <= M − B,   ((M − B) − L) / B where M − B < L <= M,   −1 above
//
// `buffer` in [1, limit].
double SoftOverlongPenalty(int64_t num_tokens, int64_t limit, int64_t buffer);

}  // namespace evilmoe
