#include "rollout_workers/worker_client.h"

#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/seed.h"
#include "common/status_macros.h"
#include "grader_sandbox/grader_translation.h"
#include "rollout_workers/group_translation.h"
#include "trainer/run_config.h"

namespace evilmoe {
namespace {

constexpr int kIdleWaitMs = 2000;
constexpr absl::Duration kGradeBudget = absl::Seconds(60);
constexpr absl::Duration kQueueWait = absl::Milliseconds(200);
constexpr int kTokensBetweenLeases = 2;

// The run's model folder out of its config, whose every other field is somebody else's.
absl::StatusOr<ModelConfig> ModelOf(const std::string& config_yaml) {
  EVILMOE_ASSIGN_OR_RETURN(const RunConfig config, ParseRunConfig(config_yaml, "run.yaml", "/"));
  return config.model;
}

}  // namespace

RolloutWorker::RolloutWorker(const RolloutWorkerConfig& config, CoordinatorClient& coordinator, Grader& grader,
                             RolloutMetrics& metrics, const Clock& clock, Logger& logger)
    : config_(config),
      worker_id_(absl::StrCat(config.worker_id, "-", getpid(), "-", absl::ToUnixMillis(clock.Now()))),
      coordinator_(coordinator),
      grader_(grader),
      metrics_(metrics),
      clock_(clock),
      logger_(logger),
      runner_({.max_samples = config.max_samples,
               .threads = config.threads,
               .kv_budget_bytes = config.kv_cache_mib * (int64_t{1} << 20)}) {}

RolloutWorker::~RolloutWorker() {
  for (std::jthread& thread : threads_) thread.request_stop();
  MutexLock lock(mu_);
  mu_.NotifyAll();
}

absl::Status RolloutWorker::Run(const std::stop_token& stop) {
  EVILMOE_RETURN_IF_ERROR(SendHeartbeat());
  threads_.emplace_back([this](const std::stop_token& token) { HeartbeatLoop(token); });
  for (int i = 0; i < config_.grade_threads; ++i) {
    threads_.emplace_back([this](const std::stop_token& token) { GradeLoop(token); });
  }
  logger_.Info("worker_started", {{"worker_id", worker_id_}});
  absl::Status working = absl::OkStatus();
  for (int64_t round = 0; working.ok() && !stop.stop_requested(); ++round) {
    if (runner_.idle() || round % kTokensBetweenLeases == 0) working = Lease();
    if (working.ok() && !runner_.idle()) working = SampleOneToken();
  }
  for (const int64_t id : in_flight_.LeaseIds()) Abandon(id, "CANCELLED", "worker is stopping");
  return working;
}

// Takes one group at a time, so that workers share a batch evenly; waits for one only when there is nothing to sample.
absl::Status RolloutWorker::Lease() {
  v1::LeaseGroupsRequest request;
  request.set_worker_id(worker_id_);
  request.set_max_groups(1);
  request.set_wait_ms(runner_.idle() ? kIdleWaitMs : 0);
  const int room = std::max(largest_group_, config_.max_samples / 4);
  if (!runner_.idle() && runner_.free_samples() < room) return absl::OkStatus();
  const absl::StatusOr<v1::LeaseGroupsResponse> response = coordinator_.LeaseGroups(request);
  if (absl::IsFailedPrecondition(response.status())) {  // a restarted coordinator does not know us yet
    acknowledged_.clear();
    return SendHeartbeat();
  }
  EVILMOE_RETURN_IF_ERROR(response.status());
  return response->leases().empty() ? absl::OkStatus() : Adopt(*response);
}

// The leases count as held from here on, so that heartbeats renew them while the model and the adapter are fetched. A
// worker that cannot get these is of no use: it gives the leases back and ends.
absl::Status RolloutWorker::Adopt(const v1::LeaseGroupsResponse& response) {
  for (const v1::Lease& lease : response.leases()) in_flight_.Begin(lease, response.adapter(), clock_.Now());
  const absl::Status ready = Prepare(response);
  for (const v1::Lease& lease : response.leases()) {
    largest_group_ = std::max(largest_group_, lease.group().num_samples());
    const absl::Status added = ready.ok() ? AddGroup(lease, response) : ready;
    if (added.ok()) continue;
    // Neither a full batch nor a broken worker is the group's loss: another worker takes it.
    const bool ours = !ready.ok() || (absl::IsResourceExhausted(added) && !runner_.idle());
    Abandon(lease.lease_id(), ours ? "CANCELLED" : "INFRA_LOST", std::string(added.message()));
  }
  return ready;
}

absl::Status RolloutWorker::Prepare(const v1::LeaseGroupsResponse& response) {
  if (response.config_yaml() != run_config_) {
    EVILMOE_ASSIGN_OR_RETURN(const ModelConfig model, ModelOf(response.config_yaml()));
    const bool bf16 = model.dtype == "bfloat16";
    EVILMOE_RETURN_IF_ERROR(policies_.UseModel(model.path, bf16 ? NumberFormat::kBFloat16 : NumberFormat::kFloat32));
    run_config_ = response.config_yaml();
  }
  return HoldAdapter(response.adapter());
}

absl::Status RolloutWorker::HoldAdapter(const v1::AdapterVersion& version) {
  if (!policies_.Holds(version.sha256())) {
    EVILMOE_ASSIGN_OR_RETURN(const std::string bytes, coordinator_.FetchAdapter(version));
    EVILMOE_RETURN_IF_ERROR(policies_.Put(version.sha256(), bytes));
    metrics_.adapter_step.Set(static_cast<double>(version.step()));
    logger_.Info("adapter_loaded", {{"step", version.step()}, {"sha256", version.sha256()}});
  }
  if (acknowledged_.contains(version.sha256())) return absl::OkStatus();
  v1::AcknowledgeAdapterRequest request;
  request.set_worker_id(worker_id_);
  *request.mutable_version() = version;
  EVILMOE_RETURN_IF_ERROR(coordinator_.AcknowledgeAdapter(request).status());
  acknowledged_.insert(version.sha256());
  return absl::OkStatus();
}

absl::Status RolloutWorker::AddGroup(const v1::Lease& lease, const v1::LeaseGroupsResponse& response) {
  if (lease.group().mode().kind() == v1::AdapterMode::KIND_UNSPECIFIED) {
    return absl::InvalidArgumentError("group: its adapter mode is not set");
  }
  EVILMOE_ASSIGN_OR_RETURN(const PolicyModels policy,
                           policies_.Models(response.adapter().sha256(), ToAdapterMode(lease.group().mode())));
  SampleGroup group = ToSampleGroup(lease, response.sampling());
  group.prompt_w = policy.prompt_w;
  group.completion_w = policy.completion_w;
  return runner_.Add(group, policy.models);
}

absl::Status RolloutWorker::SampleOneToken() {
  DropLostLeases();
  metrics_.kv_cache_usage_ratio.Set(runner_.kv_usage());
  EVILMOE_ASSIGN_OR_RETURN(std::vector<FinishedSample> finished, runner_.Step());
  metrics_.tokens.Increment(runner_.num_running() + static_cast<double>(finished.size()));
  metrics_.running.Set(runner_.num_running());
  metrics_.prefix_hit_ratio.Set(runner_.prefix_hit_ratio());
  if (finished.empty()) return absl::OkStatus();
  MutexLock lock(mu_);
  for (FinishedSample& sample : finished) {
    std::vector<int32_t> body = sample.ids;
    if (sample.stopped) body.pop_back();
    Graded item{.lease_id = sample.tag, .text = policies_.tokenizer().Decode(body)};
    item.sample = std::move(sample);
    to_grade_.push_back(std::move(item));
  }
  metrics_.waiting.Set(static_cast<double>(to_grade_.size()));
  mu_.NotifyAll();
  return absl::OkStatus();
}

// Nobody waits for their samples any more.
void RolloutWorker::DropLostLeases() {
  std::vector<int64_t> lost;
  {
    MutexLock lock(mu_);
    lost.swap(lost_leases_);
  }
  for (const int64_t id : lost) runner_.Cancel(id);
}

absl::Status RolloutWorker::SendHeartbeat() {
  v1::HeartbeatRequest request;
  request.set_worker_id(worker_id_);
  request.set_capacity_groups(config_.max_samples);
  for (const int64_t id : in_flight_.LeaseIds()) request.add_lease_ids(id);
  EVILMOE_ASSIGN_OR_RETURN(const v1::HeartbeatResponse response, coordinator_.Heartbeat(request));
  if (response.lease_timeout_ms() > 0) lease_timeout_ms_ = response.lease_timeout_ms();
  for (const int64_t id : response.lost_lease_ids()) {
    if (!in_flight_.Drop(id)) continue;
    logger_.Warn("lease_lost", {{"lease_id", id}});
    MutexLock lock(mu_);
    lost_leases_.push_back(id);
  }
  return absl::OkStatus();
}

void RolloutWorker::HeartbeatLoop(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    {
      MutexLock lock(mu_);
      mu_.AwaitFor(absl::Milliseconds(lease_timeout_ms_.load() / 4), [&] { return stop.stop_requested(); });
    }
    if (stop.stop_requested()) return;
    const absl::Status sent = SendHeartbeat();
    if (!sent.ok()) logger_.Warn("heartbeat_failed", {{"error", std::string(sent.message())}});
  }
}

void RolloutWorker::GradeLoop(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    Graded item;
    {
      MutexLock lock(mu_);
      const bool some = mu_.AwaitFor(
          kQueueWait, [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return stop.stop_requested() || !to_grade_.empty(); });
      if (!some || to_grade_.empty()) continue;
      item = std::move(to_grade_.front());
      to_grade_.pop_front();
      metrics_.waiting.Set(static_cast<double>(to_grade_.size()));
    }
    GradeOne(std::move(item));
  }
}

void RolloutWorker::GradeOne(Graded item) {
  const std::optional<v1::GroupSpec> spec = in_flight_.Spec(item.lease_id);
  if (!spec) return;  // the lease is gone: somebody else samples the group
  const absl::StatusOr<GradeResult> graded = grader_.Grade(ToGradeTask(*spec, item.text), clock_.Now() + kGradeBudget);
  if (!graded.ok()) {
    const bool lost = absl::IsUnavailable(graded.status()) || absl::IsDeadlineExceeded(graded.status()) ||
                      absl::IsResourceExhausted(graded.status());
    Abandon(item.lease_id, lost ? "INFRA_LOST" : "SANDBOX_INTERNAL", std::string(graded.status().message()));
    return;
  }
  v1::SampleResult result = ToResult(item.sample, std::move(item.text), *graded);
  std::optional<GroupsInFlight::Finished> finished =
      in_flight_.Add(item.lease_id, item.sample.sample, std::move(result));
  if (finished) HandIn(item.lease_id, *std::move(finished));
}

void RolloutWorker::HandIn(int64_t lease_id, GroupsInFlight::Finished finished) {
  v1::CompleteGroupRequest request;
  request.set_worker_id(worker_id_);
  request.set_lease_id(lease_id);
  *request.mutable_result() = std::move(finished.result);
  request.mutable_result()->set_worker_id(worker_id_);
  absl::Status done = coordinator_.CompleteGroup(request).status();
  if (absl::IsFailedPrecondition(done)) {
    // A coordinator that restarted has forgotten what we acknowledged; say it again, once.
    v1::AcknowledgeAdapterRequest acknowledge;
    acknowledge.set_worker_id(worker_id_);
    *acknowledge.mutable_version() = request.result().adapter();
    if (coordinator_.AcknowledgeAdapter(acknowledge).ok()) done = coordinator_.CompleteGroup(request).status();
  }
  metrics_.group_seconds.Observe(absl::ToDoubleSeconds(clock_.Now() - finished.begun));
  if (done.ok()) return;
  logger_.Warn("completion_refused", {{"lease_id", lease_id}, {"error", std::string(done.message())}});
  if (!absl::IsAborted(done)) GiveBack(lease_id, "INFRA_LOST");
}

void RolloutWorker::Abandon(int64_t lease_id, const std::string& reason, const std::string& error) {
  if (!in_flight_.Drop(lease_id)) return;
  logger_.Warn("group_abandoned", {{"lease_id", lease_id}, {"reason", reason}, {"error", error}});
  GiveBack(lease_id, reason);
}

void RolloutWorker::GiveBack(int64_t lease_id, const std::string& reason) {
  v1::AbandonGroupRequest request;
  request.set_worker_id(worker_id_);
  request.set_lease_id(lease_id);
  request.set_reason(reason);
  const absl::Status told = coordinator_.AbandonGroup(request).status();
  if (told.ok() || absl::IsAborted(told)) return;
  logger_.Warn("abandon_not_told", {{"lease_id", lease_id}, {"error", std::string(told.message())}});
}

}  // namespace evilmoe
