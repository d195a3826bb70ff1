#include "grader_sandbox/run_monitor.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "grader_sandbox/os_confine.h"
#include "grader_sandbox/zygote_protocol.h"

namespace evilmoe {
namespace {

constexpr int kMaxWaitMs = 50;
// Each answered call is a write of its own, so that nothing is lost when the next one never ends. Reading them in turn
// would cost two switches of context a call, so little is left to become more.
constexpr auto kReadEvery = std::chrono::milliseconds(1);
constexpr size_t kMuch = size_t{32} << 10;  // half of what a pipe holds
constexpr int kLostRunEndMs = 1000;
constexpr absl::Duration kReapTimeout = absl::Seconds(10);

// Reads what is there, at most one buffer. nullopt: the end, or nothing now (`*ended` tells).
std::optional<std::string_view> ReadSome(int fd, std::array<char, 1 << 16>& buffer, bool* ended) {
  const ssize_t count = read(fd, buffer.data(), buffer.size());
  if (count > 0) return std::string_view(buffer.data(), static_cast<size_t>(count));
  *ended = count == 0 || (errno != EAGAIN && errno != EINTR);
  return std::nullopt;
}

}  // namespace

absl::StatusOr<RunMonitor::Pipes> RunMonitor::Pipes::Make() {
  Pipes pipes;
  EVILMOE_ASSIGN_OR_RETURN(pipes.request, StreamToChild());
  EVILMOE_ASSIGN_OR_RETURN(pipes.results, PipeFromChild());
  EVILMOE_ASSIGN_OR_RETURN(pipes.output, PipeFromChild());
  return pipes;
}

absl::StatusOr<RunOutcome> RunMonitor::Watch(const Interrupt& interrupt) {
  const absl::Status begun = Begin();
  if (!begun.ok()) return absl::UnavailableError(begun.message());
  const absl::Status looped = Loop(interrupt);
  if (!looped.ok()) {
    KillPidfd(child_.pidfd.get());
    // Nobody tells of its end any more; until then it may write to a folder that is about to go.
    pollfd end{.fd = child_.pidfd.get(), .events = POLLIN, .revents = 0};
    poll(&end, 1, kLostRunEndMs);
    return absl::UnavailableError(looped.message());
  }
  if (!settled()) EVILMOE_RETURN_IF_ERROR(JudgeExit());
  EVILMOE_RETURN_IF_ERROR(stop_);
  return Finish();
}

absl::Status RunMonitor::Begin() {
  started_ = Steady::now();
  if (cgroup_ != nullptr) oom_kills_before_ = cgroup_->OomKills();
  EVILMOE_ASSIGN_OR_RETURN(child_, zygote_.Fork({.request = pipes_.request.theirs.get(),
                                                 .results = pipes_.results.theirs.get(),
                                                 .output = pipes_.output.theirs.get(),
                                                 .scratch = plan_.uses_files,
                                                 .disk_folder = disk_folder_ == nullptr ? -1 : disk_folder_->get()}));
  pipes_.request.theirs.Close();
  pipes_.results.theirs.Close();
  pipes_.output.theirs.Close();
  // Before the run has its request: the zygote beside it in the cgroup must not be the one that goes.
  if (cgroup_ != nullptr) OfferToOomKiller(child_.pid);
  return absl::OkStatus();
}

absl::StatusOr<RunOutcome> RunMonitor::Finish() {
  RunOutcome outcome{.verdict = *std::move(verdict_), .output = std::move(output_)};
  Verdict& verdict = outcome.verdict;
  verdict.wall_ms = absl::ToDoubleMilliseconds(elapsed());
  verdict.cpu_ms = static_cast<double>(exit_->cpu_us) / 1e3;
  verdict.peak_rss_bytes = exit_->peak_rss_bytes;
  const bool killed_for_memory = cgroup_ != nullptr && cgroup_->OomKills() > oom_kills_before_;
  if (killed_for_memory || exit_->peak_rss_bytes > limits_.rss_bytes) verdict.kind = VerdictKind::kMemoryLimit;
  if (const std::optional<int> passed = judge_.calls_passed()) {
    verdict.tests_passed = *passed;
    if (verdict.kind != VerdictKind::kPass && verdict.index < 0) verdict.index = *passed;
  }
  if (!exit_->signaled) outcome.exit_status = exit_->code;
  if (!plan_.uses_files) return outcome;
  absl::StatusOr<std::vector<ScratchFile>> files =
      ReadScratchFiles(disk_folder_ != nullptr ? *disk_folder_ : child_.scratch);
  if (!files.ok()) return absl::UnavailableError(files.status().message());
  outcome.files = *std::move(files);
  return outcome;
}

absl::Status RunMonitor::Loop(const Interrupt& interrupt) {
  while (!exit_) {
    if (!settled()) stop_ = interrupt();
    if (!settled()) CheckLimits();
    if (settled() && !killed_) {
      KillPidfd(child_.pidfd.get());
      killed_ = true;
      killed_at_ = Steady::now();
    }
    if (killed_ && absl::FromChrono(Steady::now() - killed_at_) > kReapTimeout) {
      return absl::UnavailableError("zygote: a killed run did not end");
    }
    EVILMOE_RETURN_IF_ERROR(Wait());
  }
  // What it wrote before its end still counts.
  while (!settled() && pipes_.results.ours) {
    const size_t before = result_bytes_;
    ReadResults();
    if (result_bytes_ == before) break;
  }
  for (size_t before = 0; pipes_.output.ours && output_.size() < limits_.kept_output_bytes;) {
    before = output_bytes_;
    ReadOutput();
    if (output_bytes_ == before) break;
  }
  return absl::OkStatus();
}

absl::Status RunMonitor::Wait() {
  const bool reads = !settled() && Steady::now() >= next_read_;
  pollfd waits[] = {{.fd = zygote_.fd(), .events = POLLIN, .revents = 0},
                    {.fd = reads ? pipes_.results.ours.get() : -1, .events = POLLIN, .revents = 0},
                    {.fd = reads ? pipes_.output.ours.get() : -1, .events = POLLIN, .revents = 0},
                    {.fd = settled() ? -1 : pipes_.request.ours.get(), .events = POLLOUT, .revents = 0}};
  const int64_t wall_left_ms = absl::ToInt64Milliseconds(limits_.wall() - elapsed()) + 1;
  const int longest = reads || settled() ? kMaxWaitMs : static_cast<int>(kReadEvery.count());
  const int timeout = settled() ? longest : static_cast<int>(std::clamp<int64_t>(wall_left_ms, 1, longest));
  if (poll(waits, std::size(waits), timeout) < 0 && errno != EINTR) return ErrnoStatus("poll", errno);
  if (waits[3].revents != 0) FeedRequest();
  const size_t before = result_bytes_ + output_bytes_;
  if (waits[1].revents != 0) ReadResults();
  if (waits[2].revents != 0) ReadOutput();
  const size_t num_read = result_bytes_ + output_bytes_ - before;
  if (num_read > 0 && num_read < kMuch) next_read_ = Steady::now() + kReadEvery;
  if (waits[0].revents != 0) return NoteExit();
  return absl::OkStatus();
}

void RunMonitor::FeedRequest() {
  const ssize_t sent = send(pipes_.request.ours.get(), request_left_.data(), request_left_.size(), MSG_NOSIGNAL);
  if (sent > 0) request_left_.remove_prefix(static_cast<size_t>(sent));
  const bool broken = sent < 0 && errno != EAGAIN && errno != EINTR;
  if (request_left_.empty() || broken) pipes_.request.ours.Close();  // its end is how the child knows that it has all
}

void RunMonitor::ReadResults() {
  std::array<char, 1 << 16> buffer;
  bool ended = false;
  const std::optional<std::string_view> bytes = ReadSome(pipes_.results.ours.get(), buffer, &ended);
  if (ended) pipes_.results.ours.Close();
  if (!bytes) return;
  result_bytes_ += bytes->size();
  ReadFrames(*bytes);
  if (!settled() && result_bytes_ > limits_.result_bytes) {
    Settle({.kind = VerdictKind::kOutputLimit, .error = "results"});
  }
}

void RunMonitor::ReadFrames(std::string_view bytes) {
  frames_.Feed(bytes);
  while (!settled()) {
    const absl::StatusOr<std::optional<Frame>> frame = frames_.Next();
    if (frame.ok() && !frame->has_value()) return;
    const absl::StatusOr<std::optional<Verdict>> verdict =
        frame.ok() ? judge_.OnFrame(**frame) : absl::StatusOr<std::optional<Verdict>>(frame.status());
    if (absl::IsInvalidArgument(verdict.status())) {
      Settle({.kind = VerdictKind::kProtocolError, .error = std::string(verdict.status().message())});
    } else if (!verdict.ok()) {
      stop_ = verdict.status();
    } else if (verdict->has_value()) {
      Settle(**verdict);
    }
  }
}

void RunMonitor::ReadOutput() {
  std::array<char, 1 << 16> buffer;
  bool ended = false;
  const std::optional<std::string_view> bytes = ReadSome(pipes_.output.ours.get(), buffer, &ended);
  if (ended) pipes_.output.ours.Close();
  if (!bytes) return;
  output_bytes_ += bytes->size();
  output_.append(bytes->substr(0, limits_.kept_output_bytes - output_.size()));
  if (!settled() && output_bytes_ > limits_.output_bytes) {
    Settle({.kind = VerdictKind::kOutputLimit, .error = "standard output"});
  }
}

void RunMonitor::CheckLimits() {
  if (elapsed() > limits_.wall()) return Settle({.kind = VerdictKind::kTimeout, .error = "wall"});
  if (disk_folder_ != nullptr && ScratchFolderIsFull(*disk_folder_)) {
    return Settle({.kind = VerdictKind::kOutputLimit, .error = "files"});
  }
  // Reading the clock of a process costs a system call: not before it can be over.
  if (elapsed() * 8 < limits_.cpu) return;
  if (ProcessCpuTime(child_.pid) > limits_.hard_cpu()) Settle({.kind = VerdictKind::kTimeout, .error = "cpu"});
}

void RunMonitor::Settle(Verdict verdict) { verdict_ = std::move(verdict); }

absl::Status RunMonitor::NoteExit() {
  EVILMOE_ASSIGN_OR_RETURN(exit_, zygote_.ReadExit());
  return absl::OkStatus();
}

// The process ended by itself, before the judge was done.
absl::Status RunMonitor::JudgeExit() {
  if (!exit_->signaled) {
    if (exit_->code == kZygoteSetupFailed && result_bytes_ == 0) {
      return absl::UnavailableError("zygote: a run could not be confined");
    }
    Settle({.kind = VerdictKind::kNoResult, .error = absl::StrCat("exit ", exit_->code)});
    return absl::OkStatus();
  }
  const bool over_memory = exit_->peak_rss_bytes > limits_.rss_bytes ||
                           (cgroup_ != nullptr && cgroup_->OomKills() > oom_kills_before_);
  const bool over_cpu = absl::Microseconds(exit_->cpu_us) > limits_.cpu;
  if (exit_->code == SIGSYS) {
    Settle({.kind = VerdictKind::kSandboxViolation,
            .signal = SIGSYS,
            .syscall = SyscallName(exit_->violation),
            .error = "forbidden system call"});
  } else if (exit_->code == SIGXCPU || (exit_->code == SIGKILL && over_cpu)) {
    Settle({.kind = VerdictKind::kTimeout, .signal = exit_->code, .error = "cpu"});
  } else if (exit_->code == SIGKILL && !over_memory) {
    return absl::UnavailableError("run: killed by somebody else");
  } else {
    Settle({.kind = VerdictKind::kCrash, .signal = exit_->code});
  }
  return absl::OkStatus();
}

}  // namespace evilmoe
