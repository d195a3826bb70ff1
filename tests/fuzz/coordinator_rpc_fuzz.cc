// Any bytes as calls of the coordinator: each goes through the service's checks and translation into a core that has a
// run with open batches and a worker with leases. Whatever comes, the answer's code is one that coordinator.proto
// documents for the call, and a coordinator that starts again over the same store takes what it finds.
//
// An input is calls, one behind the other: a byte for the method, two for the length of its message, the message. Two
// methods more than the service has: the clock goes on, and the coordinator starts again. A config that begins with
// "@nano" is the nano experiment's and what follows.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <set>
#include <string>
#include <string_view>

#include "common/file.h"
#include "common/hash.h"
#include "common/status_macros.h"
#include "services/coordinator/coordinator_translation.h"
#include "services/coordinator/run_admission.h"
#include "services/coordinator/run_files.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/memory_store.h"
#include "tests/unit/services_coordinator/blocking_core.h"
#include "trainer/run_config.h"

namespace evilmoe {
namespace {

using Code = absl::StatusCode;
constexpr int kMaxCalls = 12;

std::filesystem::path MakeFolder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "coordinator_fuzz_XXXXXX").string();
  return mkdtemp(pattern.data());
}

// What all inputs share: nothing that a call could change but files in `folder`.
struct Surroundings {
  Surroundings() : folder(MakeFolder()) {
    const std::filesystem::path file = std::filesystem::path(EVILMOE_SOURCE_DIR) / "examples/nano/run.yaml";
    nano = ToYaml(ParseRunConfig(ReadFile(file).value(), "run.yaml", file.parent_path()).value());
  }
  ~Surroundings() { std::filesystem::remove_all(folder); }

  const std::filesystem::path folder;
  std::string nano;
  FakeClock clock;
  prometheus::Registry registry;
  CoordinatorMetrics metrics{registry};
  Logger logger = Logger::Open("/dev/null", "fuzz", clock).value();
  const RunAdmission admission{{.runs = folder, .roots = {std::filesystem::path(EVILMOE_SOURCE_DIR) / "examples"}}};
};

// A coordinator in the middle of a run, "R": trainer "T" has opened a batch of three groups and one bound at lease;
// worker "w" holds leases 2^40+1 and 2^40+2.
class FuzzedCoordinator {
 public:
  explicit FuzzedCoordinator(Surroundings& around) : around_(around) {
    Start();
    RunRecord run{.run_id = "R", .config_yaml = around_.nano, .steps_total = 3};
    EVILMOE_CHECK(around_.admission.Admit(run).ok());
    EVILMOE_CHECK(core_->SubmitRun(run).ok());
    EVILMOE_CHECK(core_->AcquireJob({.trainer_id = "T", .trainer_name = "T"}, {}).ok());
    const JobFenceKey fence{.run_id = "R", .job_id = "R.train", .incarnation = 1};
    const AdapterName adapter{.run_id = "R", .sha256 = Sha256Hex("bytes")};
    EVILMOE_CHECK(core_->PublishAdapter(fence, adapter, "bytes").ok());
    v1::GroupSpec spec;
    spec.add_prompt_ids(7);
    spec.set_num_samples(1);
    std::vector<GroupTask> groups;
    for (int i = 0; i < 3; ++i) groups.push_back({.index = i, .num_samples = 1, .spec = spec.SerializeAsString()});
    EVILMOE_CHECK(core_->OpenBatch(fence, {.key = "step/0", .adapter = adapter}, groups).ok());
    EVILMOE_CHECK(
        core_->OpenBatch(fence, {.key = "step/1", .step = 1, .bind_at_lease = true, .max_policy_lag = 1}, groups).ok());
    EVILMOE_CHECK(core_->Heartbeat("w", {}).ok());
    EVILMOE_CHECK(core_->AcknowledgeAdapter("w", adapter).ok());
    EVILMOE_CHECK(core_->LeaseGroups("w", 2, {})->leases.size() == 2);
  }
  ~FuzzedCoordinator() {
    for (const std::string& run_id : made_) std::filesystem::remove_all(around_.folder / run_id);
  }

  // A new one over the same store.
  void Start() {
    core_.reset();
    auto core = CoordinatorCore::Create(store_, {}, around_.clock, around_.logger, around_.metrics);
    if (!core.ok()) std::cerr << "a restart fails: " << core.status() << "\n";
    EVILMOE_CHECK(core.ok());
    core_ = std::make_unique<BlockingCore>(*std::move(core));
  }
  void Wait(size_t seconds) {
    around_.clock.Advance(absl::Seconds(static_cast<int64_t>(seconds)));
    core_->ExpireOverdue();
    core_->UpdateGauges();
  }
  BlockingCore& core() { return *core_; }

  absl::Status SubmitRun(v1::SubmitRunRequest request) {
    if (request.config_yaml().starts_with("@nano"))
      request.set_config_yaml(around_.nano + request.config_yaml().substr(5));
    EVILMOE_ASSIGN_OR_RETURN(RunRecord run, FromProto(request));
    EVILMOE_RETURN_IF_ERROR(around_.admission.Admit(run));
    // Whatever was asked for, it has become a folder of its own right here.
    EVILMOE_CHECK(std::filesystem::path(run.directory).parent_path() == around_.folder);
    const std::string folder = std::filesystem::path(run.directory).filename();
    if (folder != "R") made_.insert(folder);
    return core_->SubmitRun(run).status();
  }
  absl::Status SubmitJob(const v1::SubmitJobRequest& request) {
    EVILMOE_ASSIGN_OR_RETURN(const JobRecord job, FromProto(request));
    EVILMOE_RETURN_IF_ERROR(around_.admission.Admit(job));
    return core_->SubmitJob(job);
  }
  absl::StatusOr<RunRecord> Peek(const std::string& run_id) { return core_->core().PeekRun(run_id); }

 private:
  Surroundings& around_;
  MemoryStore store_;
  std::unique_ptr<BlockingCore> core_;
  std::set<std::string> made_;  // folders
};

template <typename Result>
absl::Status Shown(const absl::StatusOr<Result>& result) {
  if (!result.ok()) return result.status();
  EVILMOE_CHECK(ToProto(*result).IsInitialized());
  return absl::OkStatus();
}

// ---- one function a method ----

using Coordinator = FuzzedCoordinator;

absl::Status SubmitRun(Coordinator& c, const v1::SubmitRunRequest& r) { return c.SubmitRun(r); }
absl::Status SubmitJob(Coordinator& c, const v1::SubmitJobRequest& r) { return c.SubmitJob(r); }
absl::Status ListEvents(Coordinator& c, const v1::ListEventsRequest& r) {
  const auto page = c.core().ListEvents(r.run_id(), r.after_seq(), r.limit(), {});
  if (!page.ok()) return page.status();
  for (const EventRecord& event : page->events) EVILMOE_CHECK(ToProto(event).seq() > r.after_seq());
  return absl::OkStatus();
}
absl::Status ListRuns(Coordinator& c, const v1::ListRunsRequest& r) {
  EVILMOE_ASSIGN_OR_RETURN(const std::vector<RunRecord> runs, c.core().ListRuns(r.sweep()));
  for (const RunRecord& run : runs) EVILMOE_CHECK(!ToProto(run).run_id().empty());
  return absl::OkStatus();
}
absl::Status ReadRunFile(Coordinator& c, const v1::ReadRunFileRequest& r) {
  EVILMOE_ASSIGN_OR_RETURN(const RunRecord run, c.Peek(r.run_id()));
  return ReadFileBeneath(run.directory, r.path(), r.offset(), [](std::string_view, int64_t) { return true; });
}
absl::Status ListRunFiles(Coordinator& c, const v1::ListRunFilesRequest& r) {
  EVILMOE_ASSIGN_OR_RETURN(const RunRecord run, c.Peek(r.run_id()));
  return ListFilesBeneath(run.directory, r.folder()).status();
}
absl::Status AcquireJob(Coordinator& c, const v1::AcquireJobRequest& r) {
  EVILMOE_ASSIGN_OR_RETURN(const TrainerOffer offer, FromProto(r));
  return Shown(c.core().AcquireJob(offer, {}));
}
absl::Status HeartbeatJob(Coordinator& c, const v1::HeartbeatJobRequest& r) {
  EVILMOE_ASSIGN_OR_RETURN(const JobFenceKey fence, FromProto(r.fence()));
  return c.core().HeartbeatJob(fence).status();
}
absl::Status ReleaseJob(Coordinator& c, const v1::ReleaseJobRequest& r) {
  EVILMOE_ASSIGN_OR_RETURN(const JobFenceKey fence, FromProto(r.fence()));
  return c.core().ReleaseJob(fence);
}
absl::Status BeginJob(Coordinator& c, const v1::BeginJobRequest& r) {
  EVILMOE_ASSIGN_OR_RETURN(const BeginJobCall call, FromProto(r));
  return c.core().BeginJob(call.fence, call.resume_step, call.model_fingerprint);
}
absl::Status PublishAdapter(Coordinator& c, const v1::PublishAdapterRequest& r) {
  EVILMOE_ASSIGN_OR_RETURN(const JobFenceKey fence, FromProto(r.fence()));
  EVILMOE_ASSIGN_OR_RETURN(const AdapterName adapter, FromProto(r.version()));
  if (adapter.run_id != fence.run_id) return absl::InvalidArgumentError("version.run_id");
  return c.core().PublishAdapter(fence, adapter, r.chunk());
}
absl::Status OpenBatch(Coordinator& c, const v1::OpenBatchRequest& r) {
  EVILMOE_ASSIGN_OR_RETURN(OpenBatchCall call, FromProto(r));
  return c.core().OpenBatch(call.fence, std::move(call.batch), std::move(call.groups));
}
absl::Status FetchGroups(Coordinator& c, const v1::FetchGroupsRequest& r) {
  EVILMOE_ASSIGN_OR_RETURN(const JobFenceKey fence, FromProto(r.fence()));
  EVILMOE_ASSIGN_OR_RETURN(const FetchedGroups fetched, c.core().FetchGroups(fence, r.batch_key(), r.after(), {}));
  return ToProto(fetched).status();
}
absl::Status CloseBatch(Coordinator& c, const v1::CloseBatchRequest& r) {
  EVILMOE_ASSIGN_OR_RETURN(const JobFenceKey fence, FromProto(r.fence()));
  return c.core().CloseBatch(fence, r.batch_key());
}
absl::Status RecordEvent(Coordinator& c, const v1::RecordEventRequest& r) {
  EVILMOE_ASSIGN_OR_RETURN(RecordEventCall call, FromProto(r));
  return c.core().RecordEvent(call.fence, call.key, std::move(call.event), call.steps_done).status();
}
absl::Status FinishJob(Coordinator& c, const v1::FinishJobRequest& r) {
  EVILMOE_ASSIGN_OR_RETURN(const JobFenceKey fence, FromProto(r.fence()));
  EVILMOE_RETURN_IF_ERROR(CheckError(r.error()));
  return c.core().FinishJob(fence, r.ok(), r.error());
}
absl::Status Heartbeat(Coordinator& c, const v1::HeartbeatRequest& r) {
  EVILMOE_RETURN_IF_ERROR(CheckId("worker_id", r.worker_id()));
  return c.core().Heartbeat(r.worker_id(), {r.lease_ids().begin(), r.lease_ids().end()}).status();
}
absl::Status LeaseGroups(Coordinator& c, const v1::LeaseGroupsRequest& r) {
  EVILMOE_RETURN_IF_ERROR(CheckId("worker_id", r.worker_id()));
  if (r.max_groups() < 1 || r.max_groups() > 1024) return absl::InvalidArgumentError("max_groups");
  EVILMOE_ASSIGN_OR_RETURN(const Granted granted, c.core().LeaseGroups(r.worker_id(), r.max_groups(), {}));
  return ToProto(granted).status();
}
absl::Status FetchAdapter(Coordinator& c, const v1::FetchAdapterRequest& r) {
  EVILMOE_ASSIGN_OR_RETURN(const AdapterName adapter, FromProto(r.version()));
  EVILMOE_ASSIGN_OR_RETURN(const std::filesystem::path path, c.core().AdapterFile(adapter));
  return ReadFileBeneath(path.parent_path(), path.filename().string(), r.offset(),
                         [](std::string_view, int64_t) { return true; });
}
absl::Status AcknowledgeAdapter(Coordinator& c, const v1::AcknowledgeAdapterRequest& r) {
  EVILMOE_RETURN_IF_ERROR(CheckId("worker_id", r.worker_id()));
  EVILMOE_ASSIGN_OR_RETURN(const AdapterName adapter, FromProto(r.version()));
  return c.core().AcknowledgeAdapter(r.worker_id(), adapter);
}
absl::Status CompleteGroup(Coordinator& c, const v1::CompleteGroupRequest& r) {
  EVILMOE_RETURN_IF_ERROR(CheckId("worker_id", r.worker_id()));
  EVILMOE_ASSIGN_OR_RETURN(CompletedGroup group, FromProto(r.result()));
  return c.core().CompleteGroup(r.worker_id(), r.lease_id(), std::move(group));
}
absl::Status AbandonGroup(Coordinator& c, const v1::AbandonGroupRequest& r) {
  EVILMOE_RETURN_IF_ERROR(CheckId("worker_id", r.worker_id()));
  EVILMOE_RETURN_IF_ERROR(CheckFailure(r.reason()));
  EVILMOE_RETURN_IF_ERROR(CheckDetail(r.detail()));
  return c.core().AbandonGroup(r.worker_id(), r.lease_id(), r.reason(), r.detail());
}

// ---- the table ----

struct Method {
  const char* name;
  absl::Status (*call)(Coordinator&, std::string_view message);
  std::set<Code> codes;  // documented, beside OK and InvalidArgument
};

// Bytes that are no message do not reach a service.
template <typename Request, auto kCall>
absl::Status Parsed(Coordinator& coordinator, std::string_view message) {
  Request request;
  if (!request.ParseFromArray(message.data(), static_cast<int>(message.size()))) return absl::OkStatus();
  return kCall(coordinator, request);
}
template <typename Request, auto kVerb>
absl::Status OfRun(Coordinator& coordinator, const Request& request) {
  return Shown((coordinator.core().*kVerb)(request.run_id()));
}

template <typename Request, auto kVerb>
constexpr auto kOfRun = Parsed<Request, OfRun<Request, kVerb>>;

const std::vector<Method>& Methods() {
  static const std::vector<Method> methods = {
      {"SubmitRun", Parsed<v1::SubmitRunRequest, SubmitRun>, {Code::kAlreadyExists, Code::kResourceExhausted}},
      {"SubmitJob", Parsed<v1::SubmitJobRequest, SubmitJob>, {Code::kNotFound, Code::kFailedPrecondition}},
      {"GetRun", kOfRun<v1::GetRunRequest, &BlockingCore::GetRun>, {Code::kNotFound}},
      {"ListRuns", Parsed<v1::ListRunsRequest, ListRuns>, {}},
      {"ListEvents", Parsed<v1::ListEventsRequest, ListEvents>, {Code::kNotFound}},
      {"GetStatus", [](Coordinator& c, std::string_view) { return Shown(c.core().GetStatus()); }, {}},
      {"ReadRunFile", Parsed<v1::ReadRunFileRequest, ReadRunFile>, {Code::kNotFound}},
      {"ListRunFiles", Parsed<v1::ListRunFilesRequest, ListRunFiles>, {Code::kNotFound}},
      {"CancelRun", kOfRun<v1::CancelRunRequest, &BlockingCore::CancelRun>, {Code::kNotFound}},
      {"PauseRun", kOfRun<v1::PauseRunRequest, &BlockingCore::PauseRun>, {Code::kNotFound, Code::kFailedPrecondition}},
      {"ResumeRun",
       kOfRun<v1::ResumeRunRequest, &BlockingCore::ResumeRun>,
       {Code::kNotFound, Code::kFailedPrecondition}},
      {"RetryRun", kOfRun<v1::RetryRunRequest, &BlockingCore::RetryRun>, {Code::kNotFound, Code::kFailedPrecondition}},
      {"AcquireJob", Parsed<v1::AcquireJobRequest, AcquireJob>, {Code::kNotFound}},
      {"HeartbeatJob", Parsed<v1::HeartbeatJobRequest, HeartbeatJob>, {Code::kAborted}},
      {"ReleaseJob", Parsed<v1::ReleaseJobRequest, ReleaseJob>, {Code::kAborted}},
      {"BeginJob", Parsed<v1::BeginJobRequest, BeginJob>, {Code::kAborted}},
      {"PublishAdapter", Parsed<v1::PublishAdapterRequest, PublishAdapter>, {Code::kDataLoss, Code::kAborted}},
      {"OpenBatch",
       Parsed<v1::OpenBatchRequest, OpenBatch>,
       {Code::kAlreadyExists, Code::kFailedPrecondition, Code::kAborted}},
      {"FetchGroups", Parsed<v1::FetchGroupsRequest, FetchGroups>, {Code::kNotFound, Code::kAborted}},
      {"CloseBatch", Parsed<v1::CloseBatchRequest, CloseBatch>, {Code::kAborted}},
      {"RecordEvent", Parsed<v1::RecordEventRequest, RecordEvent>, {Code::kAborted}},
      {"FinishJob", Parsed<v1::FinishJobRequest, FinishJob>, {Code::kAborted}},
      {"Heartbeat", Parsed<v1::HeartbeatRequest, Heartbeat>, {}},
      {"LeaseGroups", Parsed<v1::LeaseGroupsRequest, LeaseGroups>, {Code::kFailedPrecondition}},
      {"FetchAdapter", Parsed<v1::FetchAdapterRequest, FetchAdapter>, {Code::kNotFound}},
      {"AcknowledgeAdapter", Parsed<v1::AcknowledgeAdapterRequest, AcknowledgeAdapter>, {Code::kFailedPrecondition}},
      {"CompleteGroup", Parsed<v1::CompleteGroupRequest, CompleteGroup>, {Code::kAborted, Code::kFailedPrecondition}},
      {"AbandonGroup", Parsed<v1::AbandonGroupRequest, AbandonGroup>, {Code::kAborted}},
      {"(time)",
       [](Coordinator& c, std::string_view message) {
         c.Wait(message.size());
         return absl::OkStatus();
       },
       {}},
      {"(restart)",
       [](Coordinator& c, std::string_view) {
         c.Start();
         return absl::OkStatus();
       },
       {}}};
  return methods;
}

}  // namespace
}  // namespace evilmoe

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace evilmoe;  // NOLINT(build/namespaces)
  static Surroundings around;
  FuzzedCoordinator coordinator(around);
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  for (int i = 0; i < kMaxCalls && rest.size() >= 3; ++i) {
    const Method& method = Methods()[static_cast<uint8_t>(rest[0]) % Methods().size()];
    const size_t length = static_cast<uint8_t>(rest[1]) | (static_cast<size_t>(static_cast<uint8_t>(rest[2])) << 8);
    rest.remove_prefix(3);
    const std::string_view message = rest.substr(0, length);
    rest.remove_prefix(message.size());
    const absl::Status status = method.call(coordinator, message);
    const bool documented =
        status.ok() || status.code() == Code::kInvalidArgument || method.codes.contains(status.code());
    if (!documented) std::cerr << method.name << " answers " << status << "\n";
    EVILMOE_CHECK(documented);
  }
  return 0;
}
