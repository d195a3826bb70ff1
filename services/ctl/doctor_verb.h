#pragma once

#include <filesystem>
#include <vector>

#include "absl/status/statusor.h"
#include "services/ctl/verb.h"

namespace evilmoe {

struct DoctorCommand {
  std::filesystem::path file;  // a run file; may be empty
  bool quick = false;
};
void AddDoctorOptions(VerbOptions& options, DoctorCommand& command);
// Exit code 1 when a check fails.
absl::StatusOr<int> Doctor(const DoctorCommand& command, const VerbContext& context);

std::vector<Verb> DoctorVerbs();

}  // namespace evilmoe
