#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/ctl/run_feed.h"

namespace evilmoe {

// What the command line and the private stack ask of a coordinator, in their own terms; coordinator.proto lists the
// codes. Every call has a deadline; Unavailable and DeadlineExceeded: it cannot be reached.
class CoordinatorLink {
 public:
  virtual ~CoordinatorLink() = default;
  virtual absl::Status SubmitRun(const RunSummary& run, const std::string& config_yaml) = 0;
  virtual absl::Status SubmitAblation(const std::string& run_id, const std::string& job_id,
                                      const std::string& params_json) = 0;
  virtual absl::StatusOr<RunSummary> GetRun(const std::string& run_id) = 0;
  virtual absl::StatusOr<std::vector<RunSummary>> ListRuns() = 0;
  virtual absl::StatusOr<RunSummary> CancelRun(const std::string& run_id) = 0;
  virtual absl::StatusOr<FeedPage> ListEvents(const std::string& run_id, int64_t after_seq) = 0;
  // Takes the run's job in place of a trainer and ends it with `error`.
  virtual absl::Status FailRun(const std::string& run_id, const std::string& error) = 0;
};

// The feed of a run over a link, which must outlive it.
class LinkFeed final : public RunFeed {
 public:
  LinkFeed(CoordinatorLink& link, std::string run_id) : link_(link), run_id_(std::move(run_id)) {}
  absl::StatusOr<FeedPage> Next(int64_t after_seq) override { return link_.ListEvents(run_id_, after_seq); }

 private:
  CoordinatorLink& link_;
  std::string run_id_;
};

}  // namespace evilmoe
