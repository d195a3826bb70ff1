#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "services/ctl/stack_choice.h"
#include "services/ctl/verb.h"

namespace evilmoe {

// The verbs that change how a run goes on: cancel, pause, resume, retry. A private stack that is gone is started again
// where the verb needs a coordinator.

struct SteerCommand {
  std::string run;
  bool detach = false;  // resume, retry
  StackChoice stack;    // resume, retry
};

void AddCancelOptions(VerbOptions& options, SteerCommand& command);
void AddPauseOptions(VerbOptions& options, SteerCommand& command);
void AddResumeOptions(VerbOptions& options, SteerCommand& command);  // retry's too
absl::StatusOr<int> Cancel(const SteerCommand& command, const VerbContext& context);
absl::StatusOr<int> Pause(const SteerCommand& command, const VerbContext& context);
absl::StatusOr<int> Resume(const SteerCommand& command, const VerbContext& context);
absl::StatusOr<int> Retry(const SteerCommand& command, const VerbContext& context);

std::vector<Verb> ControlVerbs();

}  // namespace evilmoe
