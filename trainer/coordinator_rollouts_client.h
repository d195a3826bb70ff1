#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/clock.h"
#include "common/logger.h"
#include "proto/coordinator_client.h"
#include "trainer/job_control.h"
#include "trainer/rollouts.h"
#include "trainer/training_loop.h"

namespace evilmoe {

// The coordinator as the trainer sees it: batches out, graded groups in, progress reported. Every call carries the
// job's fence, so a trainer that was replaced gets Aborted and stops. Not thread-safe.
class CoordinatorRollouts final : public Rollouts, public ProgressSink {
 public:
  // `stall_timeout`: Unavailable when a batch makes no progress for this long. `control` is told what the coordinator
  // says of the job, and asked whether an evaluation is to be abandoned. References must outlive it.
  CoordinatorRollouts(CoordinatorClient& client, v1::JobFence fence, absl::Duration stall_timeout, JobControl& control,
                      const Clock& clock)
      : client_(client), fence_(std::move(fence)), stall_timeout_(stall_timeout), control_(control), clock_(clock) {}

  absl::Status Publish(int64_t step, const std::string& adapter_bytes) override;
  absl::Status Open(const BatchRequest& batch) override;
  // Internal: a group was sampled with other bytes than those published.
  absl::StatusOr<std::vector<GroupSamples>> Run(const BatchRequest& batch) override;
  absl::Status Record(const std::string& key, const std::string& kind, const nlohmann::ordered_json& payload,
                      int64_t steps_done) override;
  absl::Status Held() const override { return control_.Held(); }

 private:
  // Passes on what a call came to: a job that is lost is lost from that call on, not from the next heartbeat on.
  absl::Status Heard(absl::Status answer);
  absl::Status CheckAdapter(const BatchRequest& batch, const v1::GroupResult& result) const;
  absl::Status Take(const BatchRequest& batch, v1::FetchGroupsResponse& response,
                    std::map<int64_t, GroupSamples>& finished) const;
  absl::Status Close(const BatchRequest& batch);

  CoordinatorClient& client_;
  const v1::JobFence fence_;
  const absl::Duration stall_timeout_;
  JobControl& control_;
  const Clock& clock_;
  v1::AdapterVersion published_;
  std::map<int64_t, std::string> sha256_of_step_;  // of the last adapters that were published in this life
  std::map<std::string, absl::Time> open_;         // batches that were opened in this life, by key, and when
};

}  // namespace evilmoe
