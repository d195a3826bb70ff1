#pragma once

#include <functional>

#include "absl/status/status.h"
#include "services/ctl/local_stack.h"
#include "services/ctl/run_catalog.h"
#include "services/ctl/verb.h"

namespace evilmoe {

// Asks something of the private stack of a run: of the one that is there, or of a new one of `shape`, which asks `action`
// of its coordinator by itself (then `ask` is not called, unless the action is kNone). Asked again where the stack ended
// meanwhile and may not have seen it: `ask` must be idempotent. Errors of OpenStack() and of `ask`; Unavailable: stacks
// ended again and again.
absl::Status AskPrivateStack(const FoundRun& found, const StackShape& shape, RunAction action,
                             const VerbContext& context, const std::function<absl::Status(CoordinatorLink&)>& ask);

}  // namespace evilmoe
