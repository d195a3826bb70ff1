#pragma once

#include "services/coordinator/coordinator_core.h"
#include "services/page/run_source.h"

namespace evilmoe {

// The runs of this process' coordinator. A call holds its thread until the answer is there. `core` must outlive it and
// every call.
class CoreRunSource final : public RunSource {
 public:
  explicit CoreRunSource(CoordinatorCore& core) : core_(core) {}

  absl::StatusOr<std::vector<RunSummary>> List() override;
  absl::StatusOr<PageRun> Get(const std::string& run_id) override;
  absl::StatusOr<PageEvents> Events(const std::string& run_id, int64_t after_seq, int limit,
                                    absl::Duration wait) override;
  absl::StatusOr<RunSummary> Act(const std::string& run_id, PageAction action) override;

 private:
  CoordinatorCore& core_;
};

}  // namespace evilmoe
