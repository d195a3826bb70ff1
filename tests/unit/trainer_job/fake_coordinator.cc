#include "tests/unit/trainer_job/fake_coordinator.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/hash.h"
#include "common/seed.h"
#include "proto/grpc_library.h"

namespace evilmoe {
namespace {

constexpr int64_t kGroupsAFetch = 2;

// Tokens and facts out of the group's seed and the adapter.
v1::GroupResult Sample(const v1::GroupSpec& group, const v1::AdapterVersion& adapter) {
  v1::GroupResult result;
  result.set_index(group.index());
  *result.mutable_adapter() = adapter;
  for (int i = 0; i < group.num_samples(); ++i) {
    RandomStream stream(StreamSeed(group.seed(), adapter.sha256(), static_cast<uint64_t>(i)));
    v1::SampleResult& sample = *result.add_samples();
    for (int64_t t = stream.Int(2, 6); t > 0; --t) {
      sample.add_ids(static_cast<int32_t>(stream.Int(300, 900)));
      sample.add_logprobs(-2.0f);
    }
    sample.set_text("x");
    sample.set_stopped(true);
    sample.mutable_facts()->set_can_compile(true);
    sample.mutable_facts()->set_gt_correct(stream.Bernoulli(0.4));
    sample.mutable_facts()->set_hint_pass(stream.Bernoulli(0.3));
  }
  return result;
}

}  // namespace

FakeCoordinator::FakeCoordinator(const std::string& address) {
  KeepGrpcLibrary();
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address, grpc::InsecureServerCredentials());
  builder.RegisterService(this);
  server_ = builder.BuildAndStart();
}

FakeCoordinator::~FakeCoordinator() {
  Starve(false);
  server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(10));
}

void FakeCoordinator::Queue(const v1::Run& run) {
  MutexLock lock(mu_);
  jobs_.push_back({.run = run});
}

std::vector<std::string> FakeCoordinator::Diary() const {
  MutexLock lock(mu_);
  return diary_;
}
int FakeCoordinator::NumHeartbeats() const {
  MutexLock lock(mu_);
  return num_heartbeats_;
}
int FakeCoordinator::Count(const std::string& line) const {
  MutexLock lock(mu_);
  return static_cast<int>(std::count(diary_.begin(), diary_.end(), line));
}
std::vector<v1::OpenBatchRequest> FakeCoordinator::Opened() const {
  MutexLock lock(mu_);
  return opened_;
}
std::vector<v1::FetchGroupsRequest> FakeCoordinator::Fetched() const {
  MutexLock lock(mu_);
  return fetched_;
}
std::vector<v1::AcquireJobRequest> FakeCoordinator::Acquired() const {
  MutexLock lock(mu_);
  return acquired_;
}
std::string FakeCoordinator::LastError() const {
  MutexLock lock(mu_);
  return error_;
}
std::string FakeCoordinator::LastAdapter() const {
  MutexLock lock(mu_);
  return newest_.sha256();
}
int64_t FakeCoordinator::LastBegin() const {
  MutexLock lock(mu_);
  return begin_;
}

void FakeCoordinator::AskForPause() {
  MutexLock lock(mu_);
  pause_ = true;
}
void FakeCoordinator::Cancel() {
  MutexLock lock(mu_);
  cancelled_ = true;
  mu_.NotifyAll();
}
void FakeCoordinator::Starve(bool starve) {
  MutexLock lock(mu_);
  starving_ = starve;
  mu_.NotifyAll();
}
void FakeCoordinator::ResumeRuns() {
  MutexLock lock(mu_);
  for (Job& job : jobs_) {
    if (job.state != Job::State::kPaused) continue;
    job.state = Job::State::kQueued;
    job.after_pause = true;
  }
}

void FakeCoordinator::Note(const std::string& line) {
  if (on_call) on_call(line);
  MutexLock lock(mu_);
  diary_.push_back(line);
}

grpc::Status FakeCoordinator::Check(const v1::JobFence& fence, Job** job) {
  for (Job& candidate : jobs_) {
    const bool held = candidate.state == Job::State::kHeld && candidate.incarnation == fence.incarnation();
    if (!held || candidate.run.run_id() != fence.run_id() || cancelled_) continue;
    if (job != nullptr) *job = &candidate;
    return Status::OK;
  }
  return {grpc::StatusCode::ABORTED, absl::StrCat("job ", fence.job_id(), ": not yours")};
}

grpc::Status FakeCoordinator::AcquireJob(Context*, const v1::AcquireJobRequest* request,
                                         v1::AcquireJobResponse* response) {
  Note("AcquireJob");
  MutexLock lock(mu_);
  acquired_.push_back(*request);
  const auto job =
      std::find_if(jobs_.begin(), jobs_.end(), [](const Job& j) { return j.state == Job::State::kQueued; });
  if (job == jobs_.end()) return {grpc::StatusCode::NOT_FOUND, "nothing to do"};
  job->state = Job::State::kHeld;
  cancelled_ = false;
  response->set_job_id("train-" + job->run.run_id());
  response->set_kind(v1::JOB_KIND_TRAIN);
  *response->mutable_run() = job->run;
  response->set_incarnation(++job->incarnation);
  response->set_trainer_timeout_ms(trainer_timeout_ms);
  response->set_after_pause(std::exchange(job->after_pause, false));
  return Status::OK;
}

grpc::Status FakeCoordinator::HeartbeatJob(Context*, const v1::HeartbeatJobRequest* request,
                                           v1::HeartbeatJobResponse* response) {
  MutexLock lock(mu_);
  ++num_heartbeats_;
  response->set_pause(pause_);
  return Check(request->fence(), nullptr);
}

grpc::Status FakeCoordinator::ReleaseJob(Context*, const v1::ReleaseJobRequest* request, v1::ReleaseJobResponse*) {
  Note("ReleaseJob");
  MutexLock lock(mu_);
  Job* job = nullptr;
  const Status status = Check(request->fence(), &job);
  if (!status.ok()) return status;
  job->state = pause_ ? Job::State::kPaused : Job::State::kQueued;
  pause_ = false;
  return Status::OK;
}

grpc::Status FakeCoordinator::BeginJob(Context*, const v1::BeginJobRequest* request, v1::BeginJobResponse*) {
  Note(absl::StrCat("BeginJob ", request->resume_step()));
  MutexLock lock(mu_);
  begin_ = request->resume_step();
  std::erase_if(batches_, [&](const auto& entry) { return entry.second.request.step() != request->resume_step(); });
  return Check(request->fence(), nullptr);
}

grpc::Status FakeCoordinator::PublishAdapter(Context*, grpc::ServerReader<v1::PublishAdapterRequest>* reader,
                                             v1::PublishAdapterResponse*) {
  v1::PublishAdapterRequest part, first;
  std::string bytes;
  while (reader->Read(&part)) {
    if (part.has_fence()) first = part;
    bytes += part.chunk();
  }
  Note(absl::StrCat("PublishAdapter ", first.version().step()));
  MutexLock lock(mu_);
  if (Sha256Hex(bytes) != first.version().sha256()) return {grpc::StatusCode::DATA_LOSS, "other bytes"};
  published_[first.version().sha256()].insert(first.version().step());
  newest_ = first.version();
  return Check(first.fence(), nullptr);
}

grpc::Status FakeCoordinator::OpenBatch(Context*, const v1::OpenBatchRequest* request, v1::OpenBatchResponse*) {
  Note("OpenBatch " + request->batch_key());
  MutexLock lock(mu_);
  opened_.push_back(*request);
  const Status status = Check(request->fence(), nullptr);
  if (!status.ok()) return status;
  if (request->bind_at_lease() == request->has_adapter()) {
    return {grpc::StatusCode::INVALID_ARGUMENT, "an adapter, or bind_at_lease"};
  }
  if (request->has_adapter() && !published_.contains(request->adapter().sha256())) {
    return {grpc::StatusCode::FAILED_PRECONDITION, "adapter was never published"};
  }
  batches_[request->batch_key()] = {*request, request->bind_at_lease() ? newest_ : request->adapter()};
  return Status::OK;
}

void FakeCoordinator::FillGroups(const Batch& batch, int64_t after, v1::FetchGroupsResponse& response) const {
  const int64_t num_groups = batch.request.groups_size();
  const int64_t end = std::min(num_groups, after + kGroupsAFetch);
  for (int64_t i = after; i < end; ++i) {  // the last one first: groups do not finish in order
    const v1::GroupSpec& group = batch.request.groups(static_cast<int>(num_groups - 1 - i));
    v1::GroupResult& result = *response.add_groups();
    result = Sample(group, batch.adapter);
    if (spoil) spoil(batch.request, result);
  }
  response.set_num_groups(num_groups);
  response.set_num_finished(end);
  response.set_next(end);
}

grpc::Status FakeCoordinator::FetchGroups(Context* context, const v1::FetchGroupsRequest* request,
                                          v1::FetchGroupsResponse* response) {
  Note("FetchGroups " + request->batch_key());
  MutexLock lock(mu_);
  fetched_.push_back(*request);
  const auto fed = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return !starving_ || cancelled_ || context->IsCancelled();
  };
  for (int waited_ms = 0; waited_ms < request->wait_ms(); waited_ms += 20) {
    if (mu_.AwaitFor(absl::Milliseconds(20), fed)) break;
  }
  const Status status = Check(request->fence(), nullptr);
  if (!status.ok()) return status;
  const auto batch = batches_.find(request->batch_key());
  if (batch == batches_.end()) return {grpc::StatusCode::NOT_FOUND, "no such batch"};
  response->set_next(request->after());
  if (!starving_) FillGroups(batch->second, request->after(), *response);
  return Status::OK;
}

grpc::Status FakeCoordinator::CloseBatch(Context*, const v1::CloseBatchRequest* request, v1::CloseBatchResponse*) {
  Note("CloseBatch " + request->batch_key());
  MutexLock lock(mu_);
  batches_.erase(request->batch_key());
  return Check(request->fence(), nullptr);
}

grpc::Status FakeCoordinator::RecordEvent(Context*, const v1::RecordEventRequest* request,
                                          v1::RecordEventResponse* response) {
  Note("RecordEvent " + request->key());
  MutexLock lock(mu_);
  response->set_pause(pause_);
  return Check(request->fence(), nullptr);
}

grpc::Status FakeCoordinator::FinishJob(Context*, const v1::FinishJobRequest* request, v1::FinishJobResponse*) {
  Note(request->ok() ? "FinishJob ok" : "FinishJob failed");
  MutexLock lock(mu_);
  Job* job = nullptr;
  const Status status = Check(request->fence(), &job);
  if (!status.ok()) return status;
  job->state = Job::State::kOver;
  error_ = request->error();
  return Status::OK;
}

}  // namespace evilmoe
