#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/mutex.h"
#include "evilmoe/v1/coordinator.grpc.pb.h"

namespace evilmoe {

// What a trainer may ask of a coordinator, over real gRPC and without workers: groups are sampled when they are
// fetched, two at a time. Keeps the rules that the trainer relies on (fences, idempotent batches, what BeginJob drops)
// and a diary of the calls. Thread-safe.
class FakeCoordinator final : public v1::CoordinatorService::Service {
 public:
  explicit FakeCoordinator(const std::string& address);  // "unix:/path"
  ~FakeCoordinator() override;

  // One training job of the run `run`, to be had until it is finished or paused.
  void Queue(const v1::Run& run);

  // What is written down, "AcquireJob", "OpenBatch step/2", "RecordEvent step/1", "ReleaseJob", "FinishJob ok", ...
  std::vector<std::string> Diary() const;
  int NumHeartbeats() const;
  // How often a line stands in the diary.
  int Count(const std::string& line) const;
  std::vector<v1::OpenBatchRequest> Opened() const;
  std::vector<v1::FetchGroupsRequest> Fetched() const;
  std::vector<v1::AcquireJobRequest> Acquired() const;
  std::string LastError() const;    // of FinishJob
  std::string LastAdapter() const;  // sha256
  int64_t LastBegin() const;        // resume_step

  // Called with each line before the call is answered, without the lock: a test sets what follows from it.
  std::function<void(const std::string& line)> on_call;
  // Changes a result before it is handed out.
  std::function<void(const v1::OpenBatchRequest& batch, v1::GroupResult& result)> spoil;
  int trainer_timeout_ms = 0;

  void AskForPause();        // of the job that is held, until it is released
  void Cancel();             // the job that is held: all calls of it get Aborted
  void Starve(bool starve);  // no group is finished while it is set
  void ResumeRuns();         // what is paused is queued

 private:
  struct Job {
    v1::Run run;
    enum class State { kQueued, kHeld, kPaused, kOver } state = State::kQueued;
    int64_t incarnation = 0;
    bool after_pause = false;
  };
  struct Batch {
    v1::OpenBatchRequest request;
    v1::AdapterVersion adapter;  // newest when it was opened
  };
  using Status = grpc::Status;
  using Context = grpc::ServerContext;

  Status AcquireJob(Context*, const v1::AcquireJobRequest*, v1::AcquireJobResponse*) override;
  Status HeartbeatJob(Context*, const v1::HeartbeatJobRequest*, v1::HeartbeatJobResponse*) override;
  Status ReleaseJob(Context*, const v1::ReleaseJobRequest*, v1::ReleaseJobResponse*) override;
  Status BeginJob(Context*, const v1::BeginJobRequest*, v1::BeginJobResponse*) override;
  Status PublishAdapter(Context*, grpc::ServerReader<v1::PublishAdapterRequest>*, v1::PublishAdapterResponse*) override;
  Status OpenBatch(Context*, const v1::OpenBatchRequest*, v1::OpenBatchResponse*) override;
  Status FetchGroups(Context*, const v1::FetchGroupsRequest*, v1::FetchGroupsResponse*) override;
  Status CloseBatch(Context*, const v1::CloseBatchRequest*, v1::CloseBatchResponse*) override;
  Status RecordEvent(Context*, const v1::RecordEventRequest*, v1::RecordEventResponse*) override;
  Status FinishJob(Context*, const v1::FinishJobRequest*, v1::FinishJobResponse*) override;

  void Note(const std::string& line);
  // OK and the job, or ABORTED.
  Status Check(const v1::JobFence& fence, Job** job) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void FillGroups(const Batch& batch, int64_t after, v1::FetchGroupsResponse& response) const;

  mutable Mutex mu_;
  std::vector<Job> jobs_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, Batch> batches_ ABSL_GUARDED_BY(mu_);
  std::vector<std::string> diary_ ABSL_GUARDED_BY(mu_);
  std::vector<v1::OpenBatchRequest> opened_ ABSL_GUARDED_BY(mu_);
  std::vector<v1::FetchGroupsRequest> fetched_ ABSL_GUARDED_BY(mu_);
  std::vector<v1::AcquireJobRequest> acquired_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, std::set<int64_t>> published_ ABSL_GUARDED_BY(mu_);  // sha256: steps
  v1::AdapterVersion newest_ ABSL_GUARDED_BY(mu_);
  std::string error_ ABSL_GUARDED_BY(mu_);
  int64_t begin_ ABSL_GUARDED_BY(mu_) = -1;
  int num_heartbeats_ ABSL_GUARDED_BY(mu_) = 0;
  bool pause_ ABSL_GUARDED_BY(mu_) = false;
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false;
  bool starving_ ABSL_GUARDED_BY(mu_) = false;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace evilmoe
