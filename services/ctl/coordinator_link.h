#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/ctl/run_files.h"
#include "services/runs/run_feed.h"

namespace evilmoe {

// Who works for a coordinator now; coordinator.proto has the meaning.
struct WorkerInfo {
  std::string worker_id;
  std::string kind;  // rollout | trainer
  std::string host;
  int64_t seen_unix_ms = 0;
  int leases = 0;
  int64_t adapter_step = -1;  // acknowledged last; -1 = none
  std::string run_id;
};

struct CoordinatorInfo {
  std::string version;
  std::string store;
  std::vector<WorkerInfo> workers;
  int64_t groups_waiting = 0;
  int64_t groups_leased = 0;
  int slots_used = 0;
  int slots_total = 0;  // 0 = as many as trainers offer
};

// What the command line and the local stacks ask of a coordinator, in their own terms; coordinator.proto lists the
// codes. Every call has a deadline; Unavailable and DeadlineExceeded: it cannot be reached.
class CoordinatorLink {
 public:
  virtual ~CoordinatorLink() = default;
  // Takes run_id, name, arm, steps_total, directory (empty: the coordinator chooses), priority, slots and sweep of
  // `run`; returns it as it was queued.
  virtual absl::StatusOr<RunSummary> SubmitRun(const RunSummary& run, const std::string& config_yaml) = 0;
  virtual absl::Status SubmitAblation(const std::string& run_id, const std::string& job_id,
                                      const std::string& params_json) = 0;
  virtual absl::StatusOr<RunSummary> GetRun(const std::string& run_id) = 0;
  // Oldest first; those of one sweep, or all where it is empty.
  virtual absl::StatusOr<std::vector<RunSummary>> ListRuns(const std::string& sweep) = 0;
  virtual absl::StatusOr<RunSummary> CancelRun(const std::string& run_id) = 0;
  virtual absl::StatusOr<RunSummary> PauseRun(const std::string& run_id) = 0;
  virtual absl::StatusOr<RunSummary> ResumeRun(const std::string& run_id) = 0;
  virtual absl::StatusOr<RunSummary> RetryRun(const std::string& run_id) = 0;
  virtual absl::StatusOr<FeedPage> ListEvents(const std::string& run_id, int64_t after_seq) = 0;
  // Takes the run's job as another life of the trainer of this name and ends it with `error`; where that trainer does
  // not have the job, the run is cancelled.
  virtual absl::Status FailRun(const std::string& run_id, const std::string& trainer_name, const std::string& error) = 0;
  virtual absl::StatusOr<CoordinatorInfo> GetStatus() = 0;
  virtual absl::StatusOr<std::vector<RunFileEntry>> ListRunFiles(const std::string& run_id,
                                                                 const std::string& folder) = 0;
  // As RunFiles::Read.
  virtual absl::StatusOr<int64_t> ReadRunFile(const std::string& run_id, const std::string& path, int64_t offset,
                                              const RunFiles::Sink& sink) = 0;
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

// The files of a run over a link, which must outlive it.
class LinkRunFiles final : public RunFiles {
 public:
  LinkRunFiles(CoordinatorLink& link, std::string run_id) : link_(link), run_id_(std::move(run_id)) {}
  absl::StatusOr<std::vector<RunFileEntry>> List(const std::string& folder) override {
    return link_.ListRunFiles(run_id_, folder);
  }
  absl::StatusOr<int64_t> Read(const std::string& path, int64_t offset, const Sink& sink) override {
    return link_.ReadRunFile(run_id_, path, offset, sink);
  }

 private:
  CoordinatorLink& link_;
  std::string run_id_;
};

}  // namespace evilmoe
