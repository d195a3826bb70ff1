#include "services/ctl/sibling_run.h"

#include <signal.h>
#include <sys/wait.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/child_process.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "services/ctl/process.h"
#include "services/ctl/stack_resources.h"

namespace evilmoe {
namespace {

constexpr size_t kMaxOutput = size_t{16} << 20;
constexpr absl::Duration kTick = absl::Milliseconds(20);

}  // namespace

absl::StatusOr<SiblingResult> RunSibling(std::string_view name, const std::vector<std::string>& arguments,
                                         absl::Duration timeout, const Clock& clock) {
  EVILMOE_ASSIGN_OR_RETURN(const std::filesystem::path binary, SiblingBinary(name));
  return RunProgram(binary, arguments, timeout, clock);
}

absl::StatusOr<SiblingResult> RunProgram(const std::filesystem::path& binary, const std::vector<std::string>& arguments,
                                         absl::Duration timeout, const Clock& clock) {
  EVILMOE_ASSIGN_OR_RETURN(const TemporaryFolder folder, TemporaryFolder::Make());
  ProcessSpec spec;
  spec.binary = binary;
  spec.name = "evilmoe-ctl";
  spec.arguments = arguments;
  spec.output = folder.path() / "out";
  spec.errors = folder.path() / "errors";
  EVILMOE_ASSIGN_OR_RETURN(const pid_t pid, Spawn(spec));
  const absl::Time deadline = clock.Now() + timeout;
  std::optional<int> status;
  bool late = false;
  while (!(status = Reap(pid))) {
    if (clock.Now() > deadline && !late) {
      kill(pid, SIGKILL);
      late = true;
    }
    absl::SleepFor(kTick);
  }
  if (late) {
    return absl::DeadlineExceededError(
        absl::StrCat(binary.filename().string(), " ", arguments.empty() ? "" : arguments[0], ": did not end within ",
                     absl::FormatDuration(timeout)));
  }
  SiblingResult result;
  result.exit_code = WIFEXITED(*status) ? WEXITSTATUS(*status) : -1;
  EVILMOE_ASSIGN_OR_RETURN(result.out, ReadFile(spec.output, kMaxOutput));
  EVILMOE_ASSIGN_OR_RETURN(result.errors, ReadFile(spec.errors, kMaxOutput));
  return result;
}

}  // namespace evilmoe
