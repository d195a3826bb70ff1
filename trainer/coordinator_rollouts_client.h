#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/clock.h"
#include "common/logger.h"
#include "proto/coordinator_client.h"
#include "trainer/rollouts.h"
#include "trainer/training_loop.h"

namespace evilmoe {

// The coordinator as the trainer sees it: batches out, graded groups in, progress reported. Every call carries the
// job's fence, so a trainer that was replaced gets Aborted and stops.
class CoordinatorRollouts final : public Rollouts, public ProgressSink {
 public:
  // `stall_timeout`: Unavailable when a batch makes no progress for this long. References must outlive it.
  CoordinatorRollouts(CoordinatorClient& client, v1::JobFence fence, absl::Duration stall_timeout, const Clock& clock,
                      Logger& logger)
      : client_(client), fence_(std::move(fence)), stall_timeout_(stall_timeout), clock_(clock), logger_(logger) {}

  absl::Status Publish(int64_t step, const std::string& adapter_bytes) override;
  absl::StatusOr<std::vector<GroupSamples>> Run(const BatchRequest& batch) override;
  absl::Status Record(const std::string& key, const std::string& kind, const nlohmann::ordered_json& payload,
                      int64_t steps_done) override;

 private:
  absl::Status Open(const BatchRequest& batch);
  absl::Status Take(v1::FetchGroupsResponse& response, std::map<int64_t, GroupSamples>& finished) const;

  CoordinatorClient& client_;
  const v1::JobFence fence_;
  const absl::Duration stall_timeout_;
  const Clock& clock_;
  Logger& logger_;
  v1::AdapterVersion published_;
};

}  // namespace evilmoe
