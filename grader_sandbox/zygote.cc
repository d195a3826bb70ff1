#include "grader_sandbox/zygote.h"

#include <poll.h>

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/status_macros.h"
#include "grader_sandbox/zygote_protocol.h"

namespace evilmoe {
namespace {

constexpr int kStartTimeoutMs = 30'000;
constexpr int kForkTimeoutMs = 10'000;

absl::Status Confused(const std::string& bytes) {
  return absl::UnavailableError(absl::StrCat("zygote: unexpected message \"", bytes, "\""));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Zygote>> Zygote::Start(const std::filesystem::path& binary, const char* imports) {
  EVILMOE_ASSIGN_OR_RETURN(FdPair sockets, MessageSocket());
  EVILMOE_ASSIGN_OR_RETURN(const pid_t pid, SpawnWithSocket(binary, imports, sockets.theirs.get()));
  sockets.theirs.Close();
  std::unique_ptr<Zygote> zygote(new Zygote(pid, std::move(sockets.ours)));
  const absl::StatusOr<FdMessage> ready = zygote->Receive(kStartTimeoutMs);
  if (!ready.ok()) return Annotate(ready.status(), absl::StrCat("zygote ", binary.string()));
  if (ready->bytes != kZygoteReady) return Confused(ready->bytes);
  return zygote;
}

Zygote::~Zygote() { KillAndReap(pid_); }

absl::StatusOr<FdMessage> Zygote::Receive(int timeout_ms) {
  pollfd wait{.fd = socket_.get(), .events = POLLIN, .revents = 0};
  if (poll(&wait, 1, timeout_ms) <= 0) return absl::UnavailableError(absl::StrCat("no answer in ", timeout_ms, " ms"));
  return ReceiveFdMessage(socket_.get(), /*may_wait=*/false);
}

absl::StatusOr<Zygote::Child> Zygote::Fork(const UniqueFd& request, const UniqueFd& results, const UniqueFd& output) {
  ++num_forks_;
  EVILMOE_RETURN_IF_ERROR(SendFdMessage(socket_.get(), kZygoteFork, {request.get(), results.get(), output.get()}));
  EVILMOE_ASSIGN_OR_RETURN(FdMessage answer, Receive(kForkTimeoutMs));
  if (absl::StartsWith(answer.bytes, "failed ")) return absl::UnavailableError("zygote: " + answer.bytes);
  const std::vector<std::string> words = absl::StrSplit(answer.bytes, ' ');
  Child child;
  if (words.size() != 2 || words[0] != "child" || !absl::SimpleAtoi(words[1], &child.pid) || answer.fds.size() != 1) {
    return Confused(answer.bytes);
  }
  child.pidfd = std::move(answer.fds[0]);
  return child;
}

absl::StatusOr<std::optional<ProcessExit>> Zygote::ReadExit() {
  const absl::StatusOr<FdMessage> message = ReceiveFdMessage(socket_.get(), /*may_wait=*/false);
  if (absl::IsDeadlineExceeded(message.status())) return std::nullopt;
  EVILMOE_RETURN_IF_ERROR(message.status());
  const std::vector<std::string> words = absl::StrSplit(message->bytes, ' ');
  ProcessExit exit;
  int signaled = 0;
  if (words.size() != 6 || words[0] != "exit" || !absl::SimpleAtoi(words[1], &signaled) ||
      !absl::SimpleAtoi(words[2], &exit.code) || !absl::SimpleAtoi(words[3], &exit.cpu_us) ||
      !absl::SimpleAtoi(words[4], &exit.peak_rss_bytes) || !absl::SimpleAtoi(words[5], &exit.violation)) {
    return Confused(message->bytes);
  }
  exit.signaled = signaled != 0;
  return exit;
}

}  // namespace evilmoe
