#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/runs/run_directory.h"
#include "services/runs/run_event.h"

namespace evilmoe {

struct PageRun {
  RunSummary summary;
  std::string config_yaml;  // as it was submitted, every field resolved
};

struct PageEvents {
  std::vector<RunEventView> events;  // oldest first, without holes behind the one that was asked from
  RunSummary run;                    // as it stood then
};

enum class PageAction { kCancel, kPause, kResume, kRetry };

// Where the page gets runs from. Every call answers within its wait and a few seconds; Unavailable, DeadlineExceeded:
// it may later. Thread-safe.
class RunSource {
 public:
  virtual ~RunSource() = default;
  virtual absl::StatusOr<std::vector<RunSummary>> List() = 0;
  // NotFound.
  virtual absl::StatusOr<PageRun> Get(const std::string& run_id) = 0;
  // At most `limit` events after `after_seq`; when there are none, waits up to `wait` for one, then answers without.
  // NotFound.
  virtual absl::StatusOr<PageEvents> Events(const std::string& run_id, int64_t after_seq, int limit,
                                            absl::Duration wait) = 0;
  // NotFound; FailedPrecondition: the run's state does not allow it.
  virtual absl::StatusOr<RunSummary> Act(const std::string& run_id, PageAction action) = 0;
};

}  // namespace evilmoe
