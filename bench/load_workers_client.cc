#include "bench/load_workers_client.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <random>
#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/hash.h"
#include "common/status_macros.h"
#include "evilmoe/v1/coordinator.grpc.pb.h"
#include "proto/coordinator_client.h"
#include "proto/grpc_status.h"

namespace evilmoe {
namespace {

using Clock = std::chrono::steady_clock;

double MsSince(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

// What all workers share.
class Load {
 public:
  explicit Load(const LoadOptions& load_options) : options(load_options) {}

  void Fail(const std::string& why) {
    const std::scoped_lock lock(mu);
    if (error.empty()) error = why;
    stop = true;
    changed.notify_all();
  }

  const LoadOptions options;
  v1::AdapterVersion adapter;
  std::atomic<bool> stop = false, measuring = false;
  std::atomic<int64_t> completed = 0;
  std::mutex mu;
  std::condition_variable changed;
  std::string error;                          // guarded by mu
  std::vector<double> lease_ms, complete_ms;  // guarded by mu
  std::deque<int> idle;                       // workers, in an open loop; guarded by mu
  int active = 0;                             // workers with a call on its way; guarded by mu
};

// One worker: a lease, its completion, and again.
class Worker {
 public:
  Worker(Load& load, int number) : load_(load), number_(number), id_(absl::StrCat("load-", number)) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // a connection of its own
    channel_ = grpc::CreateCustomChannel(load.options.address, grpc::InsecureChannelCredentials(), arguments);
    stub_ = v1::CoordinatorService::NewStub(channel_);
    lease_request_.set_worker_id(id_);
    lease_request_.set_max_groups(1);
    lease_request_.set_wait_ms(20000);
  }

  absl::Status Register() {
    grpc::ClientContext first, second;
    const auto deadline = std::chrono::system_clock::now() + std::chrono::seconds(30);
    first.set_deadline(deadline);
    second.set_deadline(deadline);
    v1::HeartbeatRequest heartbeat;
    heartbeat.set_worker_id(id_);
    v1::HeartbeatResponse alive;
    EVILMOE_RETURN_IF_ERROR(FromGrpcStatus(stub_->Heartbeat(&first, heartbeat, &alive)));
    v1::AcknowledgeAdapterRequest acknowledge;
    acknowledge.set_worker_id(id_);
    *acknowledge.mutable_version() = load_.adapter;
    v1::AcknowledgeAdapterResponse held;
    return FromGrpcStatus(stub_->AcknowledgeAdapter(&second, acknowledge, &held));
  }

  // `arrival`: when the work came, in an open loop.
  void Lease(Clock::time_point arrival) {
    start_ = arrival;
    context_ = std::make_unique<grpc::ClientContext>();
    context_->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(40));
    lease_response_.Clear();
    stub_->async()->LeaseGroups(context_.get(), &lease_request_, &lease_response_,
                                [this](const grpc::Status& status) { Leased(status); });
  }

 private:
  void Leased(const grpc::Status& status) {
    if (!status.ok()) return End(status, "LeaseGroups");
    lease_ms_ = MsSince(start_);
    if (lease_response_.leases().empty()) return End(status, "");
    FillResult();
    start_ = Clock::now();
    context_ = std::make_unique<grpc::ClientContext>();
    context_->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(40));
    stub_->async()->CompleteGroup(context_.get(), &complete_request_, &complete_response_,
                                  [this](const grpc::Status& done) { Completed(done); });
  }

  void FillResult() {
    const v1::Lease& lease = lease_response_.leases(0);
    complete_request_.set_worker_id(id_);
    complete_request_.set_lease_id(lease.lease_id());
    v1::GroupResult& result = *complete_request_.mutable_result();
    result.set_index(lease.group().index());
    *result.mutable_adapter() = lease_response_.adapter();
    result.set_worker_id(id_);
    if (result.samples_size() > 0) return;
    for (int i = 0; i < load_.options.samples; ++i) {
      v1::SampleResult& sample = *result.add_samples();
      for (int t = 0; t < load_.options.tokens; ++t) {
        sample.add_ids(1000 + t);
        sample.add_logprobs(-0.25F * static_cast<float>(t));
      }
      sample.set_text(std::string(static_cast<size_t>(3 * load_.options.tokens), 't'));
    }
  }

  void Completed(const grpc::Status& status) {
    if (!status.ok()) return End(status, "CompleteGroup");
    load_.completed.fetch_add(1);
    if (load_.measuring) {
      const double complete_ms = MsSince(start_);
      const std::scoped_lock lock(load_.mu);
      load_.lease_ms.push_back(lease_ms_);
      load_.complete_ms.push_back(complete_ms);
    }
    End(status, "");
  }

  // The pair is over: the next one, or idleness.
  void End(const grpc::Status& status, const char* call) {
    const bool cut_off = load_.stop && !status.ok();
    if (!status.ok() && !cut_off) load_.Fail(absl::StrCat(call, ": ", status.error_message()));
    if (load_.options.rate == 0 && !load_.stop) return Lease(Clock::now());
    const std::scoped_lock lock(load_.mu);
    --load_.active;
    load_.idle.push_back(number_);
    load_.changed.notify_all();
  }

  Load& load_;
  const int number_;
  const std::string id_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::CoordinatorService::Stub> stub_;
  std::unique_ptr<grpc::ClientContext> context_;
  v1::LeaseGroupsRequest lease_request_;
  v1::LeaseGroupsResponse lease_response_;
  v1::CompleteGroupRequest complete_request_;
  v1::CompleteGroupResponse complete_response_;
  Clock::time_point start_;
  double lease_ms_ = 0;
};

// The run's trainer: keeps batches open, fetches what is done of the oldest, closes it.
class Trainer {
 public:
  explicit Trainer(Load& load) : load_(load), client_({.address = load.options.address}) {}

  absl::Status Begin() {
    v1::SubmitRunRequest submit;
    submit.set_run_id(absl::StrCat("load-", std::chrono::system_clock::now().time_since_epoch().count()));
    submit.set_config_yaml(load_.options.config_yaml);
    EVILMOE_RETURN_IF_ERROR(client_.SubmitRun(submit).status());
    v1::AcquireJobRequest acquire;
    acquire.set_trainer_id("load-trainer");
    EVILMOE_ASSIGN_OR_RETURN(const v1::AcquireJobResponse job, client_.AcquireJob(acquire));
    fence_.set_run_id(job.run().run_id());
    fence_.set_job_id(job.job_id());
    fence_.set_incarnation(job.incarnation());
    const std::string bytes(1 << 16, 'a');
    load_.adapter.set_run_id(fence_.run_id());
    load_.adapter.set_sha256(Sha256Hex(bytes));
    load_.adapter.set_size_bytes(static_cast<int64_t>(bytes.size()));
    EVILMOE_RETURN_IF_ERROR(client_.PublishAdapter(fence_, load_.adapter, bytes).status());
    for (int i = 0; i < load_.options.open_batches; ++i) EVILMOE_RETURN_IF_ERROR(Open());
    return absl::OkStatus();
  }

  // Until the load is stopped.
  absl::Status Go() {
    while (!load_.stop) {
      EVILMOE_RETURN_IF_ERROR(FetchOldest());
      if (!load_.stop) EVILMOE_RETURN_IF_ERROR(Open());
    }
    return absl::OkStatus();
  }

  absl::Status End() {
    v1::CancelRunRequest cancel;
    cancel.set_run_id(fence_.run_id());
    return client_.CancelRun(cancel).status();
  }

 private:
  std::string Key(int64_t number) const { return absl::StrCat("step/", number); }

  absl::Status Open() {
    v1::OpenBatchRequest request;
    *request.mutable_fence() = fence_;
    request.set_batch_key(Key(newest_));
    request.set_step(newest_++);
    *request.mutable_adapter() = load_.adapter;
    request.mutable_sampling()->set_temperature(1);
    request.mutable_sampling()->set_top_p(1);
    request.mutable_sampling()->set_max_tokens(load_.options.tokens);
    for (int i = 0; i < load_.options.groups_per_batch; ++i) {
      v1::GroupSpec& group = *request.add_groups();
      group.set_index(i);
      group.set_num_samples(load_.options.samples);
      for (int t = 0; t < load_.options.prompt_tokens; ++t) group.add_prompt_ids(1000 + t);
    }
    return client_.OpenBatch(request).status();
  }

  absl::Status FetchOldest() {
    std::set<int64_t> seen;
    v1::FetchGroupsRequest request;
    *request.mutable_fence() = fence_;
    request.set_batch_key(Key(oldest_));
    while (!load_.stop && static_cast<int>(seen.size()) < load_.options.groups_per_batch) {
      // As a trainer that has other things to do: not for every group.
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      request.set_wait_ms(500);
      EVILMOE_ASSIGN_OR_RETURN(const v1::FetchGroupsResponse response, client_.FetchGroups(request));
      for (const v1::GroupResult& group : response.groups()) {
        if (!seen.insert(group.index()).second) return absl::InternalError("a group came twice");
      }
      request.set_after(response.next());
    }
    if (load_.stop) return absl::OkStatus();
    v1::CloseBatchRequest close;
    *close.mutable_fence() = fence_;
    close.set_batch_key(Key(oldest_++));
    return client_.CloseBatch(close).status();
  }

  Load& load_;
  CoordinatorClient client_;
  v1::JobFence fence_;
  int64_t oldest_ = 0, newest_ = 0;
};

// Poisson arrivals until the load stops; returns how many found no free worker at once.
int64_t Arrive(Load& load, std::vector<std::unique_ptr<Worker>>& workers) {
  std::mt19937_64 random(7);
  std::exponential_distribution<double> gap(load.options.rate);
  int64_t late = 0;
  for (Clock::time_point next = Clock::now(); !load.stop;) {
    next += std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(gap(random)));
    std::this_thread::sleep_until(next);
    std::unique_lock lock(load.mu);
    if (load.idle.empty()) ++late;
    load.changed.wait_for(lock, std::chrono::seconds(5), [&] { return load.stop || !load.idle.empty(); });
    if (load.idle.empty()) continue;
    const int number = load.idle.front();
    load.idle.pop_front();
    ++load.active;
    lock.unlock();
    workers[static_cast<size_t>(number)]->Lease(next);
  }
  return late;
}

}  // namespace

absl::StatusOr<LoadResult> RunLoad(const LoadOptions& options) {
  Load load(options);
  Trainer trainer(load);
  EVILMOE_RETURN_IF_ERROR(trainer.Begin());
  std::vector<std::unique_ptr<Worker>> workers;
  for (int i = 0; i < options.workers; ++i) {
    workers.push_back(std::make_unique<Worker>(load, i));
    EVILMOE_RETURN_IF_ERROR(workers.back()->Register());
  }
  std::jthread training([&] {
    if (const absl::Status done = trainer.Go(); !done.ok()) load.Fail(std::string(done.message()));
  });
  LoadResult result;
  std::jthread arriving;
  if (options.rate > 0) {
    for (int i = 0; i < options.workers; ++i) load.idle.push_back(i);
    arriving = std::jthread([&] { result.late_arrivals = Arrive(load, workers); });
  } else {
    load.active = options.workers;
    for (const auto& worker : workers) worker->Lease(Clock::now());
  }
  std::this_thread::sleep_for(std::chrono::duration<double>(options.seconds / 10));
  load.measuring = true;
  const auto start = Clock::now();
  const int64_t before = load.completed;
  const auto enough = [&] {
    const bool time_is_up = MsSince(start) > options.seconds * 1000;
    return load.stop || (options.groups > 0 ? load.completed - before >= options.groups : time_is_up);
  };
  while (!enough()) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  result.pairs = load.completed - before;
  result.seconds = MsSince(start) / 1000;
  load.measuring = false;
  load.stop = true;
  if (arriving.joinable()) arriving.join();
  training.join();
  if (const absl::Status ended = trainer.End(); !ended.ok()) load.Fail(std::string(ended.message()));
  std::unique_lock lock(load.mu);
  load.changed.wait_for(lock, std::chrono::seconds(45), [&] { return load.active == 0; });
  if (!load.error.empty()) return absl::InternalError(load.error);
  result.lease_ms = std::move(load.lease_ms);
  result.complete_ms = std::move(load.complete_ms);
  std::ranges::sort(result.lease_ms);
  std::ranges::sort(result.complete_ms);
  return result;
}

}  // namespace evilmoe
