#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "services/report/comparison.h"
#include "services/ctl/run_catalog.h"
#include "services/ctl/verb.h"

namespace evilmoe {

struct CompareCommand {
  std::vector<std::string> runs;
  std::string sweep;
};
void AddCompareOptions(VerbOptions& options, CompareCommand& command);
absl::StatusOr<int> Compare(const CompareCommand& command, const VerbContext& context);

std::vector<Verb> CompareVerbs();

// What a run's files say; a run without an ablation has no modes. Unavailable: they cannot be read.
absl::StatusOr<ComparedRun> ReadCompared(const FoundRun& found);
// The table, and a sentence an arm below it.
std::string ComparisonText(const std::vector<ComparedRun>& runs);

}  // namespace evilmoe
