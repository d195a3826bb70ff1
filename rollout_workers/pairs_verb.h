#pragma once

#include <cstdint>
#include <filesystem>
#include <iosfwd>

#include "common/clock.h"
#include "grader_sandbox/grader_interface.h"

namespace evilmoe {

// `pairs check FILE`: whether contrastive pairs are what they should be.
struct PairsCheckOptions {
  std::filesystem::path file;
  std::filesystem::path model;      // folder of a Qwen3, for the separation; empty: not measured
  std::filesystem::path tokenizer;  // folder; empty: the model's, or no token counts without one
  std::filesystem::path problems;   // a problem file that the pairs must share nothing with; empty: none
  bool json = false;
  bool thinking = false;    // model.thinking
  int rank = 32;            // adapter.rank
  uint64_t seed = 0;        // of the adapter's init
  int num_seeds = 1;        // [1, 100]: so many inits, from `seed` on
  double separation = 4.0;  // router.separation
  int threads = 1;
};

// Prints the report (pairs_report.h) on `out` and returns the exit code: 0 when the pairs are fit, 1 when a finding is
// an error, 4 when a file or the model is missing, 2 when it is unusable (one line on `errors`, nothing on `out`).
int RunPairsCheck(const PairsCheckOptions& options, Grader& grader, const Clock& clock, std::ostream& out,
                  std::ostream& errors);

}  // namespace evilmoe
