#pragma once

#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "services/coordinator/coordinator_core.h"

namespace evilmoe {

// A core whose calls return their answers: they wait for them, for at most 40 s.
class BlockingCore {
 public:
  explicit BlockingCore(std::unique_ptr<CoordinatorCore> core) : core_(std::move(core)) {}
  CoordinatorCore& core() { return *core_; }

  absl::StatusOr<RunRecord> SubmitRun(RunRecord run) {
    return Get<RunRecord>([&](auto reply) { core_->SubmitRun(std::move(run), reply); });
  }
  absl::Status SubmitJob(JobRecord job) {
    return Wait([&](auto reply) { core_->SubmitJob(std::move(job), reply); });
  }
  absl::StatusOr<RunRecord> GetRun(const std::string& run_id) {
    return Get<RunRecord>([&](auto reply) { core_->GetRun(run_id, reply); });
  }
  absl::StatusOr<std::vector<RunRecord>> ListRuns(const std::string& sweep = "") {
    return Get<std::vector<RunRecord>>([&](auto reply) { core_->ListRuns(sweep, reply); });
  }
  absl::StatusOr<RunRecord> CancelRun(const std::string& run_id) {
    return Get<RunRecord>([&](auto reply) { core_->CancelRun(run_id, reply); });
  }
  absl::StatusOr<RunRecord> PauseRun(const std::string& run_id) {
    return Get<RunRecord>([&](auto reply) { core_->PauseRun(run_id, reply); });
  }
  absl::StatusOr<RunRecord> ResumeRun(const std::string& run_id) {
    return Get<RunRecord>([&](auto reply) { core_->ResumeRun(run_id, reply); });
  }
  absl::StatusOr<RunRecord> RetryRun(const std::string& run_id) {
    return Get<RunRecord>([&](auto reply) { core_->RetryRun(run_id, reply); });
  }
  absl::StatusOr<CoordinatorCore::EventPage> ListEvents(const std::string& run_id, int64_t after_seq, int limit,
                                                        const WaitOptions& wait) {
    return Get<CoordinatorCore::EventPage>(
        [&](auto reply) { core_->ListEvents(run_id, after_seq, limit, wait, reply); });
  }
  absl::StatusOr<AcquiredJob> AcquireJob(const TrainerOffer& offer, const WaitOptions& wait) {
    return Get<AcquiredJob>([&](auto reply) { core_->AcquireJob(offer, wait, reply); });
  }
  absl::StatusOr<bool> HeartbeatJob(const JobFenceKey& fence) {
    return Get<bool>([&](auto reply) { core_->HeartbeatJob(fence, reply); });
  }
  absl::Status ReleaseJob(const JobFenceKey& fence) {
    return Wait([&](auto reply) { core_->ReleaseJob(fence, reply); });
  }
  absl::Status BeginJob(const JobFenceKey& fence, int64_t resume_step, const std::string& fingerprint = "") {
    return Wait([&](auto reply) { core_->BeginJob(fence, resume_step, fingerprint, reply); });
  }
  absl::StatusOr<bool> RecordEvent(const JobFenceKey& fence, const std::string& key, EventRecord event,
                                   int64_t steps_done) {
    return Get<bool>([&](auto reply) { core_->RecordEvent(fence, key, std::move(event), steps_done, reply); });
  }
  absl::Status FinishJob(const JobFenceKey& fence, bool ok, const std::string& error) {
    return Wait([&](auto reply) { core_->FinishJob(fence, ok, error, reply); });
  }
  absl::Status PublishAdapter(const JobFenceKey& fence, AdapterName adapter, const std::string& bytes) {
    return Wait([&](auto reply) { core_->PublishAdapter(fence, std::move(adapter), bytes, reply); });
  }
  absl::StatusOr<std::filesystem::path> AdapterFile(const AdapterName& adapter) { return core_->AdapterFile(adapter); }
  absl::Status AcknowledgeAdapter(const std::string& worker_id, const AdapterName& adapter) {
    return Wait([&](auto reply) { core_->AcknowledgeAdapter(worker_id, adapter, reply); });
  }
  absl::Status OpenBatch(const JobFenceKey& fence, BatchRecord batch, std::vector<GroupTask> groups) {
    return Wait([&](auto reply) { core_->OpenBatch(fence, std::move(batch), std::move(groups), reply); });
  }
  absl::StatusOr<FetchedGroups> FetchGroups(const JobFenceKey& fence, const std::string& key, int64_t after,
                                            const WaitOptions& wait) {
    return Get<FetchedGroups>([&](auto reply) { core_->FetchGroups(fence, key, after, wait, reply); });
  }
  absl::Status CloseBatch(const JobFenceKey& fence, const std::string& key) {
    return Wait([&](auto reply) { core_->CloseBatch(fence, key, reply); });
  }
  absl::StatusOr<std::vector<int64_t>> Heartbeat(const std::string& worker_id, const std::vector<int64_t>& lease_ids) {
    return Get<std::vector<int64_t>>([&](auto reply) { core_->Heartbeat(worker_id, "host", lease_ids, reply); });
  }
  absl::StatusOr<Granted> LeaseGroups(const std::string& worker_id, int max_groups, const WaitOptions& wait) {
    return Get<Granted>([&](auto reply) { core_->LeaseGroups(worker_id, max_groups, wait, reply); });
  }
  absl::Status CompleteGroup(const std::string& worker_id, int64_t lease_id, CompletedGroup group) {
    return Wait([&](auto reply) { core_->CompleteGroup(worker_id, lease_id, std::move(group), reply); });
  }
  absl::Status AbandonGroup(const std::string& worker_id, int64_t lease_id, const std::string& reason,
                            const std::string& detail = "") {
    return Wait([&](auto reply) { core_->AbandonGroup(worker_id, lease_id, reason, detail, reply); });
  }
  absl::StatusOr<CoordinatorStatus> GetStatus() {
    return Get<CoordinatorStatus>([&](auto reply) { core_->GetStatus(reply); });
  }
  int ExpireOverdue() { return core_->ExpireOverdue(); }
  void UpdateGauges() { core_->UpdateGauges(); }
  void Stop() { core_->Stop(); }

 private:
  template <typename T, typename MakeCall>
  static absl::StatusOr<T> Get(MakeCall call) {
    const auto promise = std::make_shared<std::promise<absl::StatusOr<T>>>();
    auto future = promise->get_future();
    call([promise](absl::StatusOr<T> result) { promise->set_value(std::move(result)); });
    if (future.wait_for(std::chrono::seconds(40)) == std::future_status::ready) return future.get();
    return absl::DeadlineExceededError("the core has not answered");
  }
  template <typename MakeCall>
  static absl::Status Wait(MakeCall call) {
    return Get<bool>([&](Reply<bool> reply) {
             call([reply](const absl::Status& status) {
               reply(status.ok() ? absl::StatusOr<bool>(true) : absl::StatusOr<bool>(status));
             });
           })
        .status();
  }

  const std::unique_ptr<CoordinatorCore> core_;
};

}  // namespace evilmoe
