#pragma once

#include <cstdint>
#include <filesystem>
#include <iosfwd>

#include "absl/status/status.h"
#include "common/clock.h"
#include "grader_sandbox/grader.h"

namespace evilmoe {

// `dataset nano --out DIR`: the small environment's problem files.
struct NanoDatasetOptions {
  std::filesystem::path out;  // folder; made when it is missing
  int num_train = 600;
  int num_validation = 80;
  int num_test = 80;
  uint64_t seed = 0;
  double hard_share = 0.6;  // chance that a problem comes from a hard family, [0, 1]
};

// Drafts problems, asks the sandbox for the canonical solutions' values and writes train.jsonl, validation.jsonl and
// test.jsonl with their asserts. The same options give the same bytes. Progress goes to `progress`.
absl::Status WriteNanoDataset(const NanoDatasetOptions& options, LocalGrader& grader, const Clock& clock,
                              std::ostream& progress);

}  // namespace evilmoe
