#include "services/ctl/private_stack.h"

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace evilmoe {
namespace {

constexpr int kAttempts = 3;  // to find a stack that does not end meanwhile

}  // namespace

absl::Status AskPrivateStack(const FoundRun& found, const StackShape& shape, RunAction action,
                             const VerbContext& context, const std::function<absl::Status(CoordinatorLink&)>& ask) {
  const RunDirectory directory = found.directory();
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    EVILMOE_ASSIGN_OR_RETURN(const ServingStack stack, OpenStack(directory, shape, action, context.clock));
    if (stack.started && action != RunAction::kNone) return absl::OkStatus();
    const std::unique_ptr<CoordinatorLink> link = context.connect({.address = stack.endpoint});
    const absl::Status asked = ask(*link);
    if (asked.ok() ? IsServing(directory) : !IsUnreachable(asked)) return asked;
  }
  return absl::UnavailableError(absl::StrCat("the private stack of ", directory.path.string(),
                                             " ended again and again; see ", (directory.Logs() / "stack.log").string()));
}

}  // namespace evilmoe
