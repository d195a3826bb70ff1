#include "trainer/coordinator_rollouts_client.h"

#include "absl/strings/str_cat.h"
#include "common/hash.h"
#include "common/status_macros.h"
#include "trainer/rollout_translation.h"

namespace evilmoe {
namespace {

constexpr int kWaitMs = 5000;
constexpr size_t kMaxKnownAdapters = 128;  // more than any open batch may be sampled with

}  // namespace

absl::Status CoordinatorRollouts::Heard(absl::Status answer) {
  if (!answer.ok()) control_.Hear(answer);
  return answer;
}

absl::Status CoordinatorRollouts::Publish(int64_t step, const std::string& adapter_bytes) {
  v1::AdapterVersion version;
  version.set_run_id(fence_.run_id());
  version.set_step(step);
  version.set_sha256(Sha256Hex(adapter_bytes));
  version.set_size_bytes(static_cast<int64_t>(adapter_bytes.size()));
  EVILMOE_RETURN_IF_ERROR(Heard(client_.PublishAdapter(fence_, version, adapter_bytes).status()));
  published_ = version;
  sha256_of_step_[step] = version.sha256();
  if (sha256_of_step_.size() > kMaxKnownAdapters) sha256_of_step_.erase(sha256_of_step_.begin());
  return absl::OkStatus();
}

absl::Status CoordinatorRollouts::Open(const BatchRequest& batch) {
  if (open_.contains(batch.key)) return absl::OkStatus();
  v1::OpenBatchRequest request;
  *request.mutable_fence() = fence_;
  request.set_batch_key(batch.key);
  request.set_step(batch.step);
  if (batch.max_policy_lag > 0) {
    request.set_bind_at_lease(true);
    request.set_max_policy_lag(batch.max_policy_lag);
  } else {
    *request.mutable_adapter() = published_;
  }
  *request.mutable_sampling() = ToProto(batch.sampling);
  for (const GroupRequest& group : batch.groups) *request.add_groups() = ToProto(group);
  EVILMOE_RETURN_IF_ERROR(Heard(client_.OpenBatch(request).status()));
  open_[batch.key] = clock_.Now();
  return absl::OkStatus();
}

// Without lag the group has the adapter published last. With lag it has one that was published for its step; what an
// earlier life of the job published before the step that this one began at is known by its step alone.
absl::Status CoordinatorRollouts::CheckAdapter(const BatchRequest& batch, const v1::GroupResult& result) const {
  const v1::AdapterVersion& adapter = result.adapter();
  std::string expected = published_.sha256();
  if (batch.max_policy_lag > 0) {
    const auto known = sha256_of_step_.find(adapter.step());
    if (known == sha256_of_step_.end()) return absl::OkStatus();
    expected = known->second;
  }
  if (adapter.sha256() == expected) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("group ", result.index(), ": sampled with adapter ", adapter.sha256(),
                                          " of step ", adapter.step(), ", published ", expected));
}

absl::Status CoordinatorRollouts::Take(const BatchRequest& batch, v1::FetchGroupsResponse& response,
                                       std::map<int64_t, GroupSamples>& finished) const {
  for (v1::GroupResult& result : *response.mutable_groups()) {
    // Failed samples of a group that nobody could run name no adapter.
    const bool sampled = !result.adapter().sha256().empty();
    if (sampled) EVILMOE_RETURN_IF_ERROR(CheckAdapter(batch, result));
    if (result.index() < 0 || result.index() >= response.num_groups()) {
      return absl::InternalError(absl::StrCat("group ", result.index(), ": the batch has ", response.num_groups()));
    }
    GroupSamples& group = finished[result.index()];
    group.index = result.index();
    if (sampled) group.policy_step = result.adapter().step();
    if (sampled) group.times = TimesOf(result);
    if (const auto opened = open_.find(batch.key); opened != open_.end()) group.times.opened = opened->second;
    group.times.fetched = clock_.Now();
    group.samples.clear();
    for (v1::SampleResult& sample : *result.mutable_samples()) group.samples.push_back(FromProto(sample));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<GroupSamples>> CoordinatorRollouts::Run(const BatchRequest& batch) {
  const auto abandoned = [&] { return batch.evaluation && control_.stop().stop_requested(); };
  if (!abandoned()) EVILMOE_RETURN_IF_ERROR(Open(batch));
  v1::FetchGroupsRequest request;
  *request.mutable_fence() = fence_;
  request.set_batch_key(batch.key);
  request.set_wait_ms(kWaitMs);
  std::map<int64_t, GroupSamples> finished;
  absl::Time last_progress = clock_.Now();
  while (finished.size() < batch.groups.size()) {
    if (abandoned()) {
      return absl::CancelledError(absl::StrCat("batch ", batch.key, ": abandoned, the run is to stop"));
    }
    absl::StatusOr<v1::FetchGroupsResponse> response = client_.FetchGroups(request);
    EVILMOE_RETURN_IF_ERROR(Heard(response.status()));
    const size_t before = finished.size();
    EVILMOE_RETURN_IF_ERROR(Take(batch, *response, finished));
    request.set_after(response->next());
    if (finished.size() > before) last_progress = clock_.Now();
    if (clock_.Now() - last_progress > stall_timeout_) {
      return absl::UnavailableError(absl::StrCat("batch ", batch.key, ": no group finished for ",
                                                 absl::FormatDuration(stall_timeout_), " (", finished.size(), " of ",
                                                 batch.groups.size(), " done); are rollout workers running?"));
    }
  }
  EVILMOE_RETURN_IF_ERROR(Close(batch));
  std::vector<GroupSamples> groups;
  for (auto& [index, group] : finished) groups.push_back(std::move(group));
  return groups;
}

absl::Status CoordinatorRollouts::Close(const BatchRequest& batch) {
  v1::CloseBatchRequest close;
  *close.mutable_fence() = fence_;
  close.set_batch_key(batch.key);
  EVILMOE_RETURN_IF_ERROR(Heard(client_.CloseBatch(close).status()));
  open_.erase(batch.key);
  return absl::OkStatus();
}

absl::Status CoordinatorRollouts::Record(const std::string& key, const std::string& kind,
                                         const nlohmann::ordered_json& payload, int64_t steps_done) {
  v1::RecordEventRequest request;
  *request.mutable_fence() = fence_;
  request.set_key(key);
  request.set_kind(kind);
  request.set_payload_json(payload.dump());
  request.set_steps_done(steps_done);
  const absl::StatusOr<v1::RecordEventResponse> response = client_.RecordEvent(request);
  EVILMOE_RETURN_IF_ERROR(Heard(response.status()));
  control_.Hear(response->pause());
  return absl::OkStatus();
}

}  // namespace evilmoe
