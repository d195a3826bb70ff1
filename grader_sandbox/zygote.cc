#include "grader_sandbox/zygote.h"

#include <poll.h>

#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/status_macros.h"
#include "grader_sandbox/os_cgroup.h"
#include "grader_sandbox/zygote_protocol.h"

namespace evilmoe {
namespace {

constexpr int kStartTimeoutMs = 30'000;
constexpr int kForkTimeoutMs = 10'000;

absl::Status Confused(const std::string& bytes) {
  return absl::UnavailableError(absl::StrCat("zygote: unexpected message \"", bytes, "\""));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Zygote>> Zygote::Start(const Options& options) {
  EVILMOE_ASSIGN_OR_RETURN(FdPair sockets, MessageSocket());
  const std::vector<std::string> arguments = {options.imports, TierName(options.isolation.tier),
                                              absl::StrCat(options.isolation.uid)};
  EVILMOE_ASSIGN_OR_RETURN(const pid_t pid, SpawnWithSocket(options.binary, arguments, sockets.theirs.get()));
  sockets.theirs.Close();
  std::unique_ptr<Zygote> zygote(new Zygote(pid, std::move(sockets.ours)));
  if (options.cgroup != nullptr) EVILMOE_RETURN_IF_ERROR(options.cgroup->Add(pid));
  const absl::StatusOr<FdMessage> ready = zygote->Receive(kStartTimeoutMs);
  if (!ready.ok()) return Annotate(ready.status(), absl::StrCat("zygote ", options.binary.string()));
  if (absl::StartsWith(ready->bytes, "refused ")) {
    return absl::FailedPreconditionError(
        absl::StrCat("tier ", arguments[1], ": not offered here: ", ready->bytes.substr(sizeof "refused " - 1)));
  }
  if (ready->bytes != kZygoteReady) return Confused(ready->bytes);
  for (const std::string& setup : options.setups) {
    EVILMOE_RETURN_IF_ERROR(SendFdMessage(zygote->socket_.get(), kZygoteHold + setup));
  }
  return zygote;
}

Zygote::~Zygote() {
  socket_.Close();  // that, too, ends it
  if (!KillAndReap(pid_)) std::fprintf(stderr, "evilmoe-grader: zygote %d does not end and may not be killed\n", pid_);
}

absl::StatusOr<FdMessage> Zygote::Receive(int timeout_ms) {
  pollfd wait{.fd = socket_.get(), .events = POLLIN, .revents = 0};
  if (poll(&wait, 1, timeout_ms) <= 0) return absl::UnavailableError(absl::StrCat("no answer in ", timeout_ms, " ms"));
  return ReceiveFdMessage(socket_.get(), /*may_wait=*/false);
}

absl::StatusOr<Zygote::Child> Zygote::Fork(const ForkMessage& message) {
  ++num_forks_;
  std::vector<int> fds = {message.request, message.results, message.output};
  if (message.disk_folder >= 0) fds.push_back(message.disk_folder);
  EVILMOE_RETURN_IF_ERROR(SendFdMessage(socket_.get(), message.scratch ? kZygoteForkScratch : kZygoteFork, fds));
  EVILMOE_ASSIGN_OR_RETURN(FdMessage answer, Receive(kForkTimeoutMs));
  if (absl::StartsWith(answer.bytes, "failed ")) return absl::UnavailableError("zygote: " + answer.bytes);
  const std::vector<std::string> words = absl::StrSplit(answer.bytes, ' ');
  const size_t num_fds = message.scratch && message.disk_folder < 0 ? 2 : 1;
  Child child;
  if (words.size() != 2 || words[0] != "child" || !absl::SimpleAtoi(words[1], &child.pid) ||
      answer.fds.size() != num_fds) {
    return Confused(answer.bytes);
  }
  child.pidfd = std::move(answer.fds[0]);
  if (num_fds == 2) child.scratch = std::move(answer.fds[1]);
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
