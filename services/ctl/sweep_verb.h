#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "services/ctl/stack_choice.h"
#include "services/ctl/verb.h"

namespace evilmoe {

struct SweepCommand {
  std::filesystem::path file;
  bool dry_run = false;
  bool detach = false;
  int priority = 0;
  std::optional<int> slots;
  StackChoice stack;
};
void AddSweepOptions(VerbOptions& options, SweepCommand& command);
absl::StatusOr<int> RunSweep(const SweepCommand& command, const VerbContext& context);

std::vector<Verb> SweepVerbs();

}  // namespace evilmoe
