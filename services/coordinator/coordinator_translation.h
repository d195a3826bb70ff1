#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "evilmoe/v1/coordinator.pb.h"
#include "services/coordinator/coordinator_core.h"

namespace evilmoe {

// Between the wire's messages and the core's structs. FromProto checks what a message says by itself and refuses it
// with InvalidArgument, "field: problem, value, expected"; ToProto never fails.

// Not empty, at most 256 bytes, no control characters.
absl::Status CheckId(const char* field, const std::string& value);

absl::StatusOr<RunRecord> FromProto(const v1::SubmitRunRequest& request);
absl::StatusOr<JobRecord> FromProto(const v1::SubmitJobRequest& request);
absl::StatusOr<JobFenceKey> FromProto(const v1::JobFence& fence);
absl::StatusOr<TrainerOffer> FromProto(const v1::AcquireJobRequest& request);
absl::StatusOr<AdapterName> FromProto(const v1::AdapterVersion& version);
struct BeginJobCall {
  JobFenceKey fence;
  int64_t resume_step = 0;
  std::string model_fingerprint;  // 64 lower-case hex digits, or empty
};
absl::StatusOr<BeginJobCall> FromProto(const v1::BeginJobRequest& request);
struct OpenBatchCall {
  JobFenceKey fence;
  BatchRecord batch;
  std::vector<GroupTask> groups;
};
absl::StatusOr<OpenBatchCall> FromProto(const v1::OpenBatchRequest& request);
struct RecordEventCall {
  JobFenceKey fence;
  std::string key;
  EventRecord event;
  int64_t steps_done = 0;
};
absl::StatusOr<RecordEventCall> FromProto(const v1::RecordEventRequest& request);
absl::StatusOr<CompletedGroup> FromProto(const v1::GroupResult& result);
// One of the reasons in coordinator.proto.
absl::Status CheckFailure(const std::string& reason);
// Text for people that comes from outside: at most 4096 bytes.
absl::Status CheckDetail(const std::string& detail);
// Why a job failed: at most 1 MiB.
absl::Status CheckError(const std::string& error);

v1::Run ToProto(const RunRecord& run);
v1::RunEvent ToProto(const EventRecord& event);
v1::AdapterVersion ToProto(const AdapterName& adapter);
v1::AcquireJobResponse ToProto(const AcquiredJob& job);
v1::GetStatusResponse ToProto(const CoordinatorStatus& status);
// A lost group comes out as num_samples samples that failed for its reason, and names no adapter. DataLoss: the stored
// bytes are no message.
absl::StatusOr<v1::FetchGroupsResponse> ToProto(const FetchedGroups& fetched);
absl::StatusOr<v1::LeaseGroupsResponse> ToProto(const Granted& granted);

}  // namespace evilmoe
