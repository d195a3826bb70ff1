#include "rollout_workers/worker_client.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/process.h"
#include "common/status_macros.h"
#include "policy/weights_fingerprint.h"
#include "rollout_workers/group_translation.h"

namespace evilmoe {
namespace {

constexpr absl::Duration kIdleWait = absl::Milliseconds(200);
constexpr absl::Duration kDrainLook = absl::Milliseconds(20);
constexpr absl::Duration kFarewell = absl::Seconds(1);  // for telling the coordinator what is given back
constexpr int kMaxWaiting = 64;                         // finished groups that cannot be handed in; then none is leased

NumberFormat FormatOf(const RunModel& model) {
  return model.dtype == "bfloat16" ? NumberFormat::kBFloat16 : NumberFormat::kFloat32;
}

}  // namespace

RolloutWorker::RolloutWorker(const RolloutWorkerConfig& config, CoordinatorClient& coordinator, Grader& grader,
                             RolloutMetrics& metrics, const Clock& clock, Logger& logger)
    : config_(config),
      coordinator_(coordinator),
      grader_(grader),
      metrics_(metrics),
      clock_(clock),
      logger_(logger),
      session_(LifeId(config.worker_id, clock), coordinator_, in_flight_, metrics_, clock_, logger_),
      outbox_(session_, in_flight_, metrics_, clock_, logger_),
      grading_(grader_, in_flight_, outbox_, metrics_, clock_),
      adapters_({.folder = config.adapter_cache}, logger_),
      base_models_(WeightsFingerprint),
      leasing_({coordinator_, session_, in_flight_, outbox_, adapters_, base_models_, metrics_, clock_, logger_}),
      runner_({.max_samples = config.max_samples,
               .threads = config.threads,
               .kv_budget_bytes = config.kv_cache_mib * (int64_t{1} << 20)}) {}

RolloutWorker::~RolloutWorker() {
  leasing_thread_.request_stop();
  for (std::jthread& thread : threads_) thread.request_stop();  // all of them before the first is waited for
}

void RolloutWorker::StartThreads() {
  leasing_thread_ = std::jthread([this](const std::stop_token& stop) { leasing_.Loop(stop); });
  threads_.emplace_back([this](const std::stop_token& stop) { session_.HeartbeatLoop(stop); });
  threads_.emplace_back([this](const std::stop_token& stop) { outbox_.Loop(stop); });
  for (int i = 0; i < config_.grade_threads; ++i) {
    threads_.emplace_back([this](const std::stop_token& stop) { grading_.Loop(stop); });
  }
}

absl::Status RolloutWorker::Run(const std::stop_token& stop) {
  const absl::Status begun = session_.Begin(stop);
  if (absl::IsCancelled(begun) && stop.stop_requested()) return absl::OkStatus();
  EVILMOE_RETURN_IF_ERROR(begun);
  logger_.Info("worker_started", {{"worker_id", session_.worker_id()}});
  StartThreads();
  const std::stop_callback wake(stop, [this] { leasing_.Wake(); });
  absl::Status working;
  while (working.ok() && !stop.stop_requested()) working = Work();
  leasing_thread_.request_stop();
  outbox_.Hurry();
  if (working.ok()) {
    Drain();
  } else {
    grading_.EndBy(clock_.Now());  // or what is queued could take a minute each
  }
  GiveAllBack(working.ok() ? "worker is stopping" : std::string(working.message()));
  return working;
}

absl::Status RolloutWorker::Work() {
  EVILMOE_RETURN_IF_ERROR(session_.failure());
  EVILMOE_RETURN_IF_ERROR(grading_.failure());
  AskForGroups();
  if (!next_) {
    next_ = leasing_.Take(runner_.idle() ? kIdleWait : absl::ZeroDuration());
    if (next_) asked_ = false;
  }
  if (next_) EVILMOE_RETURN_IF_ERROR(Adopt());
  return runner_.idle() ? absl::OkStatus() : SampleOneToken();
}

void RolloutWorker::AskForGroups() {
  const int room = std::max(largest_group_, config_.max_samples / 4);
  if (asked_ || next_ || (!runner_.idle() && runner_.free_samples() < room)) return;
  if (outbox_.num_waiting() >= kMaxWaiting) return;
  leasing_.Want(policies_.Held());
  asked_ = true;
}

absl::Status RolloutWorker::Adopt() {
  // One base model at a time: groups of another wait until the batch has run dry.
  if (!policies_.HasModel(next_->model.folder, FormatOf(next_->model)) && !runner_.idle()) return absl::OkStatus();
  const LeasedGroups groups = *std::exchange(next_, std::nullopt);
  const absl::Status ready = Load(groups);
  const bool wrong_model = absl::IsFailedPrecondition(ready);
  const bool broken_adapter = absl::IsDataLoss(ready);
  for (const v1::Lease& lease : groups.response.leases()) {
    if (!in_flight_.Holds(lease.lease_id())) continue;  // lost meanwhile
    largest_group_ = std::max(largest_group_, lease.group().num_samples());
    const absl::Status added = ready.ok() ? AddGroup(lease, groups.response) : ready;
    if (added.ok()) continue;
    // Neither a full batch nor a broken worker is the group's loss: another worker takes it.
    const bool ours = !ready.ok() || (absl::IsResourceExhausted(added) && !runner_.idle());
    const char* reason = wrong_model ? "WRONG_BASE_MODEL" : ours && !broken_adapter ? "CANCELLED" : "INFRA_LOST";
    outbox_.GiveBack(lease.lease_id(), reason, std::string(added.message()));
  }
  return wrong_model || broken_adapter ? absl::OkStatus() : ready;
}

absl::Status RolloutWorker::Load(const LeasedGroups& groups) {
  const v1::AdapterVersion& version = groups.response.adapter();
  absl::Status loaded = policies_.UseModel(groups.model.folder, FormatOf(groups.model));
  if (loaded.ok() && !groups.adapter.empty()) {
    loaded = policies_.Put(version.sha256(), groups.adapter);
    if (loaded.ok()) metrics_.adapter_step.Set(static_cast<double>(version.step()));
    if (loaded.ok()) logger_.Info("adapter_loaded", {{"step", version.step()}, {"sha256", version.sha256()}});
  }
  // No model there, none that this program can read, or one of another shape than the adapter.
  if (absl::IsNotFound(loaded) || absl::IsInvalidArgument(loaded)) {
    return base_models_.Refuse(
        groups.response.run_id(), groups.response.model_fingerprint(),
        absl::StrCat("base model: ", groups.model.folder.string(), ": ", std::string(loaded.message())));
  }
  return loaded;
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
  for (FinishedSample& sample : finished) {
    std::vector<int32_t> body = sample.ids;
    if (sample.stopped) body.pop_back();
    in_flight_.NoteSampled(sample.tag, clock_.Now());
    grading_.Add(std::move(sample), policies_.tokenizer().Decode(body));
  }
  return absl::OkStatus();
}

// Nobody waits for their samples any more.
void RolloutWorker::DropLostLeases() {
  for (const int64_t id : session_.TakeLost()) runner_.Cancel(id);
}

// Finishes what is sampled already; a group that has not begun goes to another worker at once.
void RolloutWorker::Drain() {
  const absl::Time deadline = clock_.Now() + absl::Seconds(config_.drain_s);
  logger_.Info("worker_drains", {{"groups", in_flight_.LeaseIds().size()}, {"seconds", config_.drain_s}});
  grading_.EndBy(deadline);
  while (clock_.Now() < deadline) {
    if (!next_) next_ = leasing_.Take(runner_.idle() ? kDrainLook : absl::ZeroDuration());
    if (next_) {
      for (const v1::Lease& lease : next_->response.leases()) {
        outbox_.GiveBack(lease.lease_id(), "CANCELLED", "worker is stopping");
      }
      next_.reset();
    }
    if (in_flight_.LeaseIds().empty() && leasing_.AwaitEnd(absl::ZeroDuration())) return;
    const absl::Status sampled = runner_.idle() ? absl::OkStatus() : SampleOneToken();
    if (!sampled.ok()) {
      logger_.Warn("drain_failed", {{"error", std::string(sampled.message())}});
      return;
    }
  }
}

void RolloutWorker::GiveAllBack(const std::string& why) {
  for (const int64_t id : in_flight_.UnfinishedLeaseIds()) outbox_.GiveBack(id, "CANCELLED", why);
  leasing_.AwaitEnd(Leasing::kLeaseWait);  // a group that comes now it gives back itself
  if (!outbox_.AwaitEmpty(kFarewell)) logger_.Warn("leases_left", {{"number", outbox_.num_waiting()}});
}

}  // namespace evilmoe
