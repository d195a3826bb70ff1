#include "services/coordinator/coordinator_translation.h"

#include <algorithm>
#include <cctype>
#include <limits>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/bounded_json.h"
#include "common/hash.h"
#include "common/status_macros.h"

namespace evilmoe {
namespace {

constexpr size_t kMaxIdBytes = 256;
constexpr size_t kMaxTextBytes = 4096;
constexpr size_t kMaxErrorBytes = size_t{1} << 20;
constexpr size_t kMaxConfigBytes = size_t{1} << 20;
constexpr size_t kMaxPayloadBytes = size_t{4} << 20;
constexpr size_t kMaxParamsBytes = size_t{64} << 10;                 // parsed into a tree
constexpr size_t kMaxResultBytes = CoordinatorCore::kMaxFetchBytes;  // so that one answer holds any result
constexpr int64_t kMaxStep = int64_t{1} << 40;                       // differences of steps are taken
constexpr int kMaxGroups = 1 << 16;
constexpr int kMaxSamples = 1 << 16;
constexpr int kMaxPriority = 1000;
constexpr int kMaxSlots = 64;
constexpr int kMaxLag = 64;

absl::Status Bad(const std::string& field, const std::string& got, const char* expected) {
  return absl::InvalidArgumentError(absl::StrCat(field, ": got ", got, ", expected ", expected));
}

absl::Status CheckSize(const char* field, const std::string& value, size_t max_bytes) {
  if (value.size() <= max_bytes) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(field, ": got ", value.size(), " bytes, expected at most ", max_bytes));
}

absl::Status CheckStep(const char* field, int64_t step) {
  if (step >= 0 && step <= kMaxStep) return absl::OkStatus();
  return Bad(field, absl::StrCat(step), "[0, 2^40]");
}

// May be empty. A control character stands in no name, and what ends at one is another name to the system.
absl::Status CheckText(const char* field, const std::string& value, size_t max_bytes) {
  EVILMOE_RETURN_IF_ERROR(CheckSize(field, value, max_bytes));
  const bool plain = std::ranges::none_of(value, [](unsigned char c) { return std::iscntrl(c) != 0; });
  return plain ? absl::OkStatus() : Bad(field, "control characters", "printable text");
}

absl::Status CheckJson(const char* field, const std::string& value, size_t max_bytes) {
  EVILMOE_RETURN_IF_ERROR(CheckSize(field, value, max_bytes));
  if (!ParseBoundedJson(value).is_discarded()) return absl::OkStatus();
  return Bad(field, absl::StrCat("\"", value.substr(0, 60), "\""), "JSON of at most 64 levels");
}

absl::Status CheckSampling(const v1::SamplingSettings& sampling) {
  if (!(sampling.temperature() > 0 && sampling.temperature() < std::numeric_limits<float>::infinity())) {
    return Bad("sampling.temperature", absl::StrCat(sampling.temperature()), "a finite number above 0");
  }
  if (!(sampling.top_p() > 0 && sampling.top_p() <= 1)) {
    return Bad("sampling.top_p", absl::StrCat(sampling.top_p()), "(0, 1]");
  }
  if (sampling.top_k() < 0) return Bad("sampling.top_k", absl::StrCat(sampling.top_k()), "0 (off) or more");
  if (sampling.max_tokens() < 1) return Bad("sampling.max_tokens", absl::StrCat(sampling.max_tokens()), "at least 1");
  return absl::OkStatus();
}

absl::StatusOr<GroupTask> FromProto(const v1::GroupSpec& group) {
  const std::string at = absl::StrCat("group ", group.index());
  if (group.num_samples() < 1 || group.num_samples() > kMaxSamples) {
    return Bad(at + ": num_samples", absl::StrCat(group.num_samples()), "[1, 65536]");
  }
  if (group.prompt_ids().empty()) return Bad(at + ": prompt_ids", "none", "at least one id");
  return GroupTask{.index = group.index(), .num_samples = group.num_samples(), .spec = group.SerializeAsString()};
}

}  // namespace

absl::Status CheckId(const char* field, const std::string& value) {
  if (value.empty()) return Bad(field, "nothing", "a name");
  return CheckText(field, value, kMaxIdBytes);
}

absl::StatusOr<RunRecord> FromProto(const v1::SubmitRunRequest& request) {
  EVILMOE_RETURN_IF_ERROR(CheckId("run_id", request.run_id()));
  EVILMOE_RETURN_IF_ERROR(CheckText("name", request.name(), kMaxTextBytes));
  EVILMOE_RETURN_IF_ERROR(CheckText("arm", request.arm(), kMaxTextBytes));
  EVILMOE_RETURN_IF_ERROR(CheckSize("config_yaml", request.config_yaml(), kMaxConfigBytes));
  EVILMOE_RETURN_IF_ERROR(CheckText("directory", request.directory(), kMaxTextBytes));
  if (request.config_yaml().empty()) return Bad("config_yaml", "nothing", "the resolved config");
  EVILMOE_RETURN_IF_ERROR(CheckStep("steps_total", request.steps_total()));
  EVILMOE_RETURN_IF_ERROR(CheckText("sweep", request.sweep(), kMaxIdBytes));
  if (request.priority() < -kMaxPriority || request.priority() > kMaxPriority) {
    return Bad("priority", absl::StrCat(request.priority()), "[-1000, 1000]");
  }
  if (request.slots() < 0 || request.slots() > kMaxSlots) return Bad("slots", absl::StrCat(request.slots()), "[1, 64]");
  const std::filesystem::path directory = request.directory();
  if (!directory.empty() && (!directory.is_absolute() || directory != directory.lexically_normal())) {
    return Bad("directory", absl::StrCat("\"", request.directory(), "\""), "an absolute path without . and ..");
  }
  return RunRecord{.run_id = request.run_id(),
                   .name = request.name(),
                   .arm = request.arm(),
                   .config_yaml = request.config_yaml(),
                   .steps_total = request.steps_total(),
                   .directory = request.directory(),
                   .priority = request.priority(),
                   .slots = std::max(1, request.slots()),
                   .sweep = request.sweep()};
}

absl::StatusOr<JobRecord> FromProto(const v1::SubmitJobRequest& request) {
  EVILMOE_RETURN_IF_ERROR(CheckId("run_id", request.run_id()));
  EVILMOE_RETURN_IF_ERROR(CheckId("job_id", request.job_id()));
  if (request.kind() != v1::JOB_KIND_TRAIN && request.kind() != v1::JOB_KIND_ABLATE) {
    return Bad("kind", absl::StrCat(static_cast<int>(request.kind())), "JOB_KIND_TRAIN or JOB_KIND_ABLATE");
  }
  if (!request.params_json().empty()) {
    EVILMOE_RETURN_IF_ERROR(CheckJson("params_json", request.params_json(), kMaxParamsBytes));
  }
  return JobRecord{.job_id = request.job_id(),
                   .run_id = request.run_id(),
                   .type = request.kind() == v1::JOB_KIND_TRAIN ? JobType::kTrain : JobType::kAblate,
                   .params_json = request.params_json()};
}

absl::StatusOr<JobFenceKey> FromProto(const v1::JobFence& fence) {
  EVILMOE_RETURN_IF_ERROR(CheckId("fence.run_id", fence.run_id()));
  EVILMOE_RETURN_IF_ERROR(CheckId("fence.job_id", fence.job_id()));
  return JobFenceKey{.run_id = fence.run_id(), .job_id = fence.job_id(), .incarnation = fence.incarnation()};
}

absl::StatusOr<TrainerOffer> FromProto(const v1::AcquireJobRequest& request) {
  EVILMOE_RETURN_IF_ERROR(CheckId("trainer_id", request.trainer_id()));
  const std::string& name = request.trainer_name().empty() ? request.trainer_id() : request.trainer_name();
  EVILMOE_RETURN_IF_ERROR(CheckId("trainer_name", name));
  if (!request.host().empty()) EVILMOE_RETURN_IF_ERROR(CheckId("host", request.host()));
  if (request.slots() < 0 || request.slots() > kMaxSlots) return Bad("slots", absl::StrCat(request.slots()), "[1, 64]");
  return TrainerOffer{.trainer_id = request.trainer_id(),
                      .trainer_name = name,
                      .slots = std::max(1, request.slots()),
                      .host = request.host()};
}

absl::StatusOr<AdapterName> FromProto(const v1::AdapterVersion& version) {
  EVILMOE_RETURN_IF_ERROR(CheckId("adapter.run_id", version.run_id()));
  if (!IsSha256(version.sha256())) {
    return Bad("adapter.sha256", absl::StrCat("\"", version.sha256().substr(0, 80), "\""), "64 lower-case hex digits");
  }
  EVILMOE_RETURN_IF_ERROR(CheckStep("adapter.step", version.step()));
  return AdapterName{.run_id = version.run_id(),
                     .step = version.step(),
                     .sha256 = version.sha256(),
                     .size_bytes = version.size_bytes()};
}

absl::StatusOr<OpenBatchCall> FromProto(const v1::OpenBatchRequest& request) {
  OpenBatchCall call;
  EVILMOE_ASSIGN_OR_RETURN(call.fence, FromProto(request.fence()));
  EVILMOE_RETURN_IF_ERROR(CheckId("batch_key", request.batch_key()));
  EVILMOE_RETURN_IF_ERROR(CheckStep("step", request.step()));
  if (request.bind_at_lease()) {
    if (request.has_adapter()) return Bad("adapter", "one with bind_at_lease", "none");
    if (request.max_policy_lag() < 0 || request.max_policy_lag() > kMaxLag) {
      return Bad("max_policy_lag", absl::StrCat(request.max_policy_lag()), "[0, 64]");
    }
    call.batch.bind_at_lease = true;
    call.batch.max_policy_lag = request.max_policy_lag();
  } else {
    EVILMOE_ASSIGN_OR_RETURN(call.batch.adapter, FromProto(request.adapter()));
    if (call.batch.adapter.run_id != call.fence.run_id) {
      return Bad("adapter.run_id", call.batch.adapter.run_id, "the run of the fence");
    }
  }
  EVILMOE_RETURN_IF_ERROR(CheckSampling(request.sampling()));
  if (request.groups().empty() || request.groups_size() > kMaxGroups) {
    return Bad("groups", absl::StrCat(request.groups_size(), " groups"), "[1, 65536]");
  }
  call.batch.key = request.batch_key();
  call.batch.step = request.step();
  call.batch.sampling = request.sampling().SerializeAsString();
  for (const v1::GroupSpec& spec : request.groups()) {
    EVILMOE_ASSIGN_OR_RETURN(GroupTask task, FromProto(spec));
    call.groups.push_back(std::move(task));
  }
  return call;
}

absl::StatusOr<RecordEventCall> FromProto(const v1::RecordEventRequest& request) {
  RecordEventCall call;
  EVILMOE_ASSIGN_OR_RETURN(call.fence, FromProto(request.fence()));
  EVILMOE_RETURN_IF_ERROR(CheckId("key", request.key()));
  EVILMOE_RETURN_IF_ERROR(CheckId("kind", request.kind()));
  EVILMOE_RETURN_IF_ERROR(CheckJson("payload_json", request.payload_json(), kMaxPayloadBytes));
  if (absl::StartsWith(request.key(), "coordinator/")) {
    return Bad("key", absl::StrCat("\"", request.key(), "\""), "a key that the coordinator does not use itself");
  }
  EVILMOE_RETURN_IF_ERROR(CheckStep("steps_done", request.steps_done()));
  call.key = request.key();
  call.event.kind = request.kind();
  call.event.payload_json = request.payload_json();
  call.steps_done = request.steps_done();
  return call;
}

absl::StatusOr<CompletedGroup> FromProto(const v1::GroupResult& result) {
  if (result.ByteSizeLong() > kMaxResultBytes) {
    return Bad("result", absl::StrCat(result.ByteSizeLong(), " bytes"), "at most 64 MiB");
  }
  EVILMOE_ASSIGN_OR_RETURN(AdapterName adapter, FromProto(result.adapter()));
  for (int i = 0; i < result.samples_size(); ++i) {
    const v1::SampleResult& sample = result.samples(i);
    if (sample.ids_size() != sample.logprobs_size()) {
      return absl::InvalidArgumentError(absl::StrCat("group ", result.index(), ", sample ", i, ": ", sample.ids_size(),
                                                     " ids and ", sample.logprobs_size(),
                                                     " logprobs, expected one logprob an id"));
    }
    if (!sample.failure().empty()) EVILMOE_RETURN_IF_ERROR(CheckFailure(sample.failure()));
  }
  return CompletedGroup{.index = result.index(),
                        .num_samples = result.samples_size(),
                        .adapter = std::move(adapter),
                        .result = result.SerializeAsString()};
}

absl::Status CheckFailure(const std::string& reason) {
  for (const char* known : {"MODEL_TIMEOUT", "INFRA_LOST", "SANDBOX_INTERNAL", "CANCELLED", "WRONG_BASE_MODEL"}) {
    if (reason == known) return absl::OkStatus();
  }
  return Bad("reason", absl::StrCat("\"", reason.substr(0, 80), "\""),
             "MODEL_TIMEOUT, INFRA_LOST, SANDBOX_INTERNAL, CANCELLED or WRONG_BASE_MODEL");
}

absl::StatusOr<BeginJobCall> FromProto(const v1::BeginJobRequest& request) {
  EVILMOE_RETURN_IF_ERROR(CheckStep("resume_step", request.resume_step()));
  const std::string& fingerprint = request.model_fingerprint();
  if (!fingerprint.empty() && !IsSha256(fingerprint)) {
    return Bad("model_fingerprint", absl::StrCat("\"", fingerprint.substr(0, 80), "\""), "64 lower-case hex digits");
  }
  EVILMOE_ASSIGN_OR_RETURN(JobFenceKey fence, FromProto(request.fence()));
  return BeginJobCall{
      .fence = std::move(fence), .resume_step = request.resume_step(), .model_fingerprint = fingerprint};
}

absl::Status CheckError(const std::string& error) { return CheckSize("error", error, kMaxErrorBytes); }

absl::Status CheckDetail(const std::string& detail) { return CheckSize("detail", detail, kMaxTextBytes); }

v1::GetStatusResponse ToProto(const CoordinatorStatus& status) {
  v1::GetStatusResponse message;
  message.set_groups_waiting(status.groups_waiting);
  message.set_groups_leased(status.groups_leased);
  message.set_slots_used(status.slots_used);
  message.set_slots_total(status.slots_total);
  for (const WorkerView& worker : status.workers) {
    v1::WorkerStatus& entry = *message.add_workers();
    entry.set_worker_id(worker.worker_id);
    entry.set_kind(worker.kind);
    entry.set_host(worker.host);
    entry.set_seen_unix_ms(worker.seen_unix_ms);
    entry.set_leases(worker.num_leases);
    entry.set_run_id(worker.run_id);
    if (!worker.adapter.sha256.empty()) *entry.mutable_adapter() = ToProto(worker.adapter);
  }
  return message;
}

v1::Run ToProto(const RunRecord& run) {
  v1::Run message;
  message.set_run_id(run.run_id);
  message.set_name(run.name);
  message.set_arm(run.arm);
  message.set_state(static_cast<v1::RunState>(run.phase));
  message.set_config_yaml(run.config_yaml);
  message.set_config_sha256(run.config_sha256);
  message.set_steps_total(run.steps_total);
  message.set_steps_done(run.steps_done);
  message.set_error(run.error);
  message.set_created_unix_ms(run.created_unix_ms);
  message.set_finished_unix_ms(run.finished_unix_ms);
  message.set_directory(run.directory);
  message.set_priority(run.priority);
  message.set_slots(run.slots);
  message.set_sweep(run.sweep);
  message.set_model_fingerprint(run.model_fingerprint);
  if (!run.adapter.sha256.empty()) *message.mutable_adapter() = ToProto(run.adapter);
  return message;
}

v1::RunEvent ToProto(const EventRecord& event) {
  v1::RunEvent message;
  message.set_seq(event.seq);
  message.set_unix_ms(event.unix_ms);
  message.set_kind(event.kind);
  message.set_payload_json(event.payload_json);
  return message;
}

v1::AdapterVersion ToProto(const AdapterName& adapter) {
  v1::AdapterVersion message;
  message.set_run_id(adapter.run_id);
  message.set_step(adapter.step);
  message.set_sha256(adapter.sha256);
  message.set_size_bytes(adapter.size_bytes);
  return message;
}

v1::AcquireJobResponse ToProto(const AcquiredJob& job) {
  v1::AcquireJobResponse message;
  message.set_job_id(job.job.job_id);
  message.set_kind(job.job.type == JobType::kTrain ? v1::JOB_KIND_TRAIN : v1::JOB_KIND_ABLATE);
  message.set_params_json(job.job.params_json);
  *message.mutable_run() = ToProto(job.run);
  message.set_incarnation(job.job.incarnation);
  message.set_after_pause(job.after_pause);
  return message;
}

absl::StatusOr<v1::FetchGroupsResponse> ToProto(const FetchedGroups& fetched) {
  v1::FetchGroupsResponse message;
  message.set_num_groups(fetched.num_groups);
  message.set_num_finished(fetched.num_finished);
  message.set_next(fetched.next);
  for (const FinishedGroup& group : fetched.groups) {
    v1::GroupResult& result = *message.add_groups();
    if (group.lost_reason.empty()) {
      if (group.result == nullptr || !result.ParseFromString(*group.result)) return absl::DataLossError("a stored result is no GroupResult");
      continue;
    }
    result.set_index(group.index);
    for (int i = 0; i < group.num_samples; ++i) result.add_samples()->set_failure(group.lost_reason);
  }
  return message;
}

absl::StatusOr<v1::LeaseGroupsResponse> ToProto(const Granted& granted) {
  v1::LeaseGroupsResponse message;
  if (granted.leases.empty()) return message;
  message.set_run_id(granted.batch.run_id);
  message.set_config_yaml(granted.config_yaml);
  message.set_model_fingerprint(granted.model_fingerprint);
  *message.mutable_adapter() = ToProto(granted.adapter);
  if (!message.mutable_sampling()->ParseFromString(granted.batch.sampling)) {
    return absl::DataLossError("stored sampling settings are no SamplingSettings");
  }
  for (const GrantedLease& grant : granted.leases) {
    v1::Lease& lease = *message.add_leases();
    lease.set_lease_id(grant.lease_id);
    if (!lease.mutable_group()->ParseFromString(grant.task.spec)) {
      return absl::DataLossError("a stored group is no GroupSpec");
    }
  }
  return message;
}

}  // namespace evilmoe
