#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/mutex.h"
#include "services/page/run_source.h"

namespace evilmoe {

// All runs as they last were, for any number of streams that want to know what changed: however many ask, the source is
// asked at most once per kInterval. Thread-safe. References must outlive it.
class RunBoard {
 public:
  static constexpr absl::Duration kInterval = absl::Milliseconds(500);

  RunBoard(RunSource& source, const Clock& clock) : source_(source), clock_(clock) {}

  struct Changes {
    int64_t version = 0;          // to ask with next time
    std::vector<RunSummary> runs;  // that changed since
  };
  // Errors of RunSource::List().
  absl::StatusOr<Changes> Since(int64_t version) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  absl::Status RefreshLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  struct Entry {
    RunSummary run;
    int64_t version = 0;
  };
  RunSource& source_;
  const Clock& clock_;
  Mutex mu_;
  std::map<std::string, Entry> runs_ ABSL_GUARDED_BY(mu_);
  int64_t version_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Time refreshed_ ABSL_GUARDED_BY(mu_) = absl::InfinitePast();
  absl::Status refreshed_status_ ABSL_GUARDED_BY(mu_);
};

}  // namespace evilmoe
