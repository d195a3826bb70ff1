#include "services/coordinator/run_mirror.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/bounded_json.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "services/coordinator/run_summary.h"
#include "services/runs/run_directory.h"
#include "services/runs/run_feed.h"

namespace evilmoe {
namespace {

constexpr absl::Duration kIdle = absl::Seconds(1);  // no wait is without a deadline
constexpr int kEventsAtATime = 64;

std::string LineOf(const EventRecord& event) {
  nlohmann::json payload = ParseBoundedJson(event.payload_json);
  if (payload.is_discarded()) payload = nullptr;
  return EventLine({event.seq, event.unix_ms, event.kind, std::move(payload)});
}

// The last event that stands whole in the file; what a crash tore behind it is cut off.
absl::StatusOr<int64_t> LastEventOf(const std::filesystem::path& path) {
  const absl::StatusOr<std::string> text = ReadFile(path);
  if (absl::IsNotFound(text.status())) return 0;
  EVILMOE_RETURN_IF_ERROR(text.status());
  const size_t end = text->rfind('\n') + 1;  // npos + 1 = 0
  std::error_code error;
  if (end < text->size()) std::filesystem::resize_file(path, end, error);
  if (error) return absl::UnavailableError(absl::StrCat(path.string(), ": ", error.message()));
  if (end == 0) return 0;
  const size_t before = end < 2 ? std::string::npos : text->rfind('\n', end - 2);
  const size_t start = before == std::string::npos ? 0 : before + 1;
  const std::optional<RunEventView> event = ParseEventLine(text->substr(start, end - 1 - start));
  if (!event) return absl::DataLossError(absl::StrCat(path.string(), ": its last line is no event; move it away"));
  return event->seq;
}

}  // namespace

void RunMirror::Touch(const std::string& run_id) {
  MutexLock lock(mu_);
  touched_.insert(run_id);
  mu_.NotifyAll();
}

void RunMirror::Start(CoordinatorCore& core) {
  for (const RunRecord& run : core.PeekRuns()) Touch(run.run_id);
  thread_ = std::jthread([this, &core] { Run(core); });
}

void RunMirror::Stop() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
    mu_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
}

void RunMirror::Run(CoordinatorCore& core) {
  while (true) {
    std::set<std::string> runs;
    bool last = false;
    {
      MutexLock lock(mu_);
      mu_.AwaitFor(kIdle, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return stopping_ || !touched_.empty(); });
      runs = std::exchange(touched_, {});
      last = stopping_ && runs.empty();
    }
    if (last) return;
    for (const std::string& run_id : runs) {
      if (const absl::Status copied = Copy(core, run_id); !copied.ok()) {
        logger_.Warn("run_not_mirrored", {{"run", run_id}, {"error", std::string(copied.message())}});
      }
    }
  }
}

absl::Status RunMirror::Copy(CoordinatorCore& core, const std::string& run_id) {
  EVILMOE_ASSIGN_OR_RETURN(const RunRecord run, core.PeekRun(run_id));
  const RunDirectory directory{run.directory};
  if (!copied_.contains(run_id)) {
    EVILMOE_ASSIGN_OR_RETURN(const int64_t last, LastEventOf(directory.Events()));
    copied_[run_id] = last;
  }
  int64_t& seq = copied_[run_id];
  while (true) {
    EVILMOE_ASSIGN_OR_RETURN(const std::vector<EventRecord> events,
                             core.store().ReadEvents(run_id, seq, kEventsAtATime));
    for (const EventRecord& event : events) {
      EVILMOE_RETURN_IF_ERROR(AppendLine(directory.Events(), LineOf(event)));
      seq = event.seq;
    }
    if (events.size() < kEventsAtATime) break;
  }
  RunSummary summary = SummaryOf(run);
  summary.last_seq = seq;
  return directory.WriteSummary(summary);
}

}  // namespace evilmoe
