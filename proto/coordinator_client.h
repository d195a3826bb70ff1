#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "evilmoe/v1/coordinator.pb.h"
#include "proto/security/channel_security.h"

namespace evilmoe {

struct CoordinatorClientOptions {
  std::string address;  // "unix:/path" or "host:port"
  // Of one attempt, on top of what the call itself may wait, or an adapter needs at 10 MB a second.
  absl::Duration call_timeout = absl::Seconds(10);
  absl::Duration retry_budget = absl::Seconds(60);  // from the first failure: a restarting coordinator is waited for
  // Once it is requested, a long poll ends as Cancelled at once, and nothing is tried again.
  std::stop_token stop = {};
  ChannelSecurity security = {};
};

// The coordinator from the side of trainers, rollout workers and tools: one method an RPC, named after it, with the
// RPC's error codes (coordinator.proto). Each attempt has a deadline; Unavailable, DeadlineExceeded and too many calls
// are retried with exponential backoff until the budget is spent, which is safe because every mutating RPC is
// idempotent. With a `security` that no channel can have (OpenChannel()), every call fails with why, at once.
// Thread-safe.
class CoordinatorClient {
 public:
  explicit CoordinatorClient(CoordinatorClientOptions options);
  ~CoordinatorClient();

  absl::StatusOr<v1::SubmitRunResponse> SubmitRun(const v1::SubmitRunRequest& request);
  absl::StatusOr<v1::SubmitJobResponse> SubmitJob(const v1::SubmitJobRequest& request);
  absl::StatusOr<v1::Run> GetRun(const v1::GetRunRequest& request);
  absl::StatusOr<v1::ListRunsResponse> ListRuns(const v1::ListRunsRequest& request);
  absl::StatusOr<v1::GetStatusResponse> GetStatus(const v1::GetStatusRequest& request);
  absl::StatusOr<v1::ListRunFilesResponse> ListRunFiles(const v1::ListRunFilesRequest& request);
  // Hands the bytes from request.offset() on to `sink`, whose error ends the call; returns the offset behind the last
  // one. A connection that is lost is taken up again where it broke off, for as long as each retry budget brings some
  // bytes.
  absl::StatusOr<int64_t> ReadRunFile(const v1::ReadRunFileRequest& request,
                                      const std::function<absl::Status(std::string_view)>& sink);
  absl::StatusOr<v1::Run> CancelRun(const v1::CancelRunRequest& request);
  absl::StatusOr<v1::Run> PauseRun(const v1::PauseRunRequest& request);
  absl::StatusOr<v1::Run> ResumeRun(const v1::ResumeRunRequest& request);
  absl::StatusOr<v1::Run> RetryRun(const v1::RetryRunRequest& request);
  absl::StatusOr<v1::ListEventsResponse> ListEvents(const v1::ListEventsRequest& request);

  absl::StatusOr<v1::AcquireJobResponse> AcquireJob(const v1::AcquireJobRequest& request);
  absl::StatusOr<v1::HeartbeatJobResponse> HeartbeatJob(const v1::HeartbeatJobRequest& request);
  absl::StatusOr<v1::ReleaseJobResponse> ReleaseJob(const v1::ReleaseJobRequest& request);
  absl::StatusOr<v1::BeginJobResponse> BeginJob(const v1::BeginJobRequest& request);
  // Streams `bytes` in chunks under the version's hash.
  absl::StatusOr<v1::PublishAdapterResponse> PublishAdapter(const v1::JobFence& fence,
                                                            const v1::AdapterVersion& version,
                                                            const std::string& bytes);
  absl::StatusOr<v1::OpenBatchResponse> OpenBatch(const v1::OpenBatchRequest& request);
  absl::StatusOr<v1::FetchGroupsResponse> FetchGroups(const v1::FetchGroupsRequest& request);
  absl::StatusOr<v1::CloseBatchResponse> CloseBatch(const v1::CloseBatchRequest& request);
  absl::StatusOr<v1::RecordEventResponse> RecordEvent(const v1::RecordEventRequest& request);
  absl::StatusOr<v1::FinishJobResponse> FinishJob(const v1::FinishJobRequest& request);

  absl::StatusOr<v1::HeartbeatResponse> Heartbeat(const v1::HeartbeatRequest& request);
  absl::StatusOr<v1::LeaseGroupsResponse> LeaseGroups(const v1::LeaseGroupsRequest& request);
  // The adapter's bytes from `offset` on, in chunks that follow one another; `take` that fails ends it, with its error.
  // A transfer that breaks goes on where it broke, for as long as each retry budget brings some bytes. Nothing is
  // hashed.
  absl::Status FetchAdapterFrom(const v1::AdapterVersion& version, int64_t offset,
                                const std::function<absl::Status(std::string_view chunk)>& take);
  // The whole adapter. DataLoss: the bytes that came do not have the version's hash.
  absl::StatusOr<std::string> FetchAdapter(const v1::AdapterVersion& version);
  absl::StatusOr<v1::AcknowledgeAdapterResponse> AcknowledgeAdapter(const v1::AcknowledgeAdapterRequest& request);
  absl::StatusOr<v1::CompleteGroupResponse> CompleteGroup(const v1::CompleteGroupRequest& request);
  absl::StatusOr<v1::AbandonGroupResponse> AbandonGroup(const v1::AbandonGroupRequest& request);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace evilmoe
