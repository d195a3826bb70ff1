#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "services/ctl/stack_choice.h"
#include "services/ctl/stack_layout.h"
#include "services/ctl/verb.h"

namespace evilmoe {

// The verbs about processes on this machine: `up` and `down`, and the hidden ones that they and `submit` start.

struct UpCommand {
  StackChoice stack;
  int trainers = 1;
  StackListener listener;
  std::filesystem::path home;  // up-stack
};
void AddUpOptions(VerbOptions& options, UpCommand& command);
absl::StatusOr<int> Up(const UpCommand& command, const VerbContext& context);

struct DownCommand {
  int timeout_s = 120;
};
void AddDownOptions(VerbOptions& options, DownCommand& command);
absl::StatusOr<int> Down(const DownCommand& command, const VerbContext& context);

std::vector<Verb> StackVerbs();

}  // namespace evilmoe
