#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "services/runs/run_directory.h"
#include "services/runs/run_event.h"

namespace evilmoe {

struct FeedPage {
  std::vector<RunEventView> events;  // oldest first
  RunSummary run;                    // includes them, and maybe later ones (run.last_seq)
};

// Of a call to a coordinator, or of a feed behind one: it cannot be reached now.
inline bool IsUnreachable(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
}

// Where a run's events come from: its directory, or a coordinator.
class RunFeed {
 public:
  virtual ~RunFeed() = default;
  // Events after `after_seq` that are there now, and the run as it stands. Does not wait. NotFound; Unavailable.
  virtual absl::StatusOr<FeedPage> Next(int64_t after_seq) = 0;
};

// events.jsonl and run.json of a run directory, as its stack writes them. Not thread-safe.
class FileFeed final : public RunFeed {
 public:
  explicit FileFeed(RunDirectory directory) : directory_(std::move(directory)) {}
  absl::StatusOr<FeedPage> Next(int64_t after_seq) override;

 private:
  RunDirectory directory_;
  int64_t offset_ = 0;  // bytes of events.jsonl that were read as whole lines
};

// One line of events.jsonl, without the newline.
std::string EventLine(const RunEventView& event);
// nullopt: the line is torn or is no event.
std::optional<RunEventView> ParseEventLine(const std::string& line);

}  // namespace evilmoe
