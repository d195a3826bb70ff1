#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "services/ctl/verb.h"

namespace evilmoe {

// The page of a run, of a sweep, or of several runs side by side. What is on another host is fetched first.
struct ReportCommand {
  std::vector<std::string> runs;  // and sweeps
  std::filesystem::path out;
  std::filesystem::path fetch_to;
};
void AddReportOptions(VerbOptions& options, ReportCommand& command);
absl::StatusOr<int> Report(const ReportCommand& command, const VerbContext& context);

std::vector<Verb> ReportVerbs();

}  // namespace evilmoe
