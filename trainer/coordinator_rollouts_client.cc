#include "trainer/coordinator_rollouts_client.h"

#include "absl/strings/str_cat.h"
#include "common/hash.h"
#include "common/status_macros.h"
#include "trainer/rollout_translation.h"

namespace evilmoe {
namespace {

constexpr int kWaitMs = 5000;

}  // namespace

absl::Status CoordinatorRollouts::Publish(int64_t step, const std::string& adapter_bytes) {
  v1::AdapterVersion version;
  version.set_run_id(fence_.run_id());
  version.set_step(step);
  version.set_sha256(Sha256Hex(adapter_bytes));
  version.set_size_bytes(static_cast<int64_t>(adapter_bytes.size()));
  EVILMOE_RETURN_IF_ERROR(client_.PublishAdapter(fence_, version, adapter_bytes).status());
  published_ = version;
  return absl::OkStatus();
}

absl::Status CoordinatorRollouts::Open(const BatchRequest& batch) {
  v1::OpenBatchRequest request;
  *request.mutable_fence() = fence_;
  request.set_batch_key(batch.key);
  request.set_step(batch.step);
  *request.mutable_adapter() = published_;
  *request.mutable_sampling() = ToProto(batch.sampling);
  for (const GroupRequest& group : batch.groups) *request.add_groups() = ToProto(group);
  return client_.OpenBatch(request).status();
}

absl::Status CoordinatorRollouts::Take(v1::FetchGroupsResponse& response,
                                       std::map<int64_t, GroupSamples>& finished) const {
  for (v1::GroupResult& result : *response.mutable_groups()) {
    // Failed samples of a group that nobody could run name no adapter; all others were sampled with the one published.
    if (!result.adapter().sha256().empty() && result.adapter().sha256() != published_.sha256()) {
      return absl::InternalError(absl::StrCat("group ", result.index(), ": sampled with adapter ",
                                              result.adapter().sha256(), ", published ", published_.sha256()));
    }
    if (result.index() < 0 || result.index() >= response.num_groups()) {
      return absl::InternalError(absl::StrCat("group ", result.index(), ": the batch has ", response.num_groups()));
    }
    GroupSamples& group = finished[result.index()];
    group.index = result.index();
    group.samples.clear();
    for (v1::SampleResult& sample : *result.mutable_samples()) group.samples.push_back(FromProto(sample));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<GroupSamples>> CoordinatorRollouts::Run(const BatchRequest& batch) {
  EVILMOE_RETURN_IF_ERROR(Open(batch));
  std::map<int64_t, GroupSamples> finished;
  absl::Time last_progress = clock_.Now();
  while (finished.size() < batch.groups.size()) {
    v1::FetchGroupsRequest request;
    *request.mutable_fence() = fence_;
    request.set_batch_key(batch.key);
    for (const auto& [index, group] : finished) request.add_have(index);
    request.set_wait_ms(kWaitMs);
    EVILMOE_ASSIGN_OR_RETURN(v1::FetchGroupsResponse response, client_.FetchGroups(request));
    if (response.groups_size() > 0) last_progress = clock_.Now();
    EVILMOE_RETURN_IF_ERROR(Take(response, finished));
    if (clock_.Now() - last_progress > stall_timeout_) {
      return absl::UnavailableError(absl::StrCat("batch ", batch.key, ": no group finished for ",
                                                 absl::FormatDuration(stall_timeout_), " (", finished.size(), " of ",
                                                 batch.groups.size(), " done); are rollout workers running?"));
    }
  }
  v1::CloseBatchRequest close;
  *close.mutable_fence() = fence_;
  close.set_batch_key(batch.key);
  EVILMOE_RETURN_IF_ERROR(client_.CloseBatch(close).status());
  std::vector<GroupSamples> groups;
  for (auto& [index, group] : finished) groups.push_back(std::move(group));
  return groups;
}

absl::Status CoordinatorRollouts::Record(const std::string& key, const std::string& kind,
                                         const nlohmann::ordered_json& payload, int64_t steps_done) {
  v1::RecordEventRequest request;
  *request.mutable_fence() = fence_;
  request.set_key(key);
  request.set_kind(kind);
  request.set_payload_json(payload.dump());
  request.set_steps_done(steps_done);
  return client_.RecordEvent(request).status();
}

}  // namespace evilmoe
