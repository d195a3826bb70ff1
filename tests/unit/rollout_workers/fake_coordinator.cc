#include "tests/unit/rollout_workers/fake_coordinator.h"

#include <chrono>
#include <utility>

#include "common/hash.h"

namespace evilmoe {
namespace {

constexpr size_t kChunk = 1024;
constexpr absl::Duration kLook = absl::Milliseconds(10);

}  // namespace

void FakeCoordinator::Serve() {
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address(), grpc::InsecureServerCredentials());
  builder.RegisterService(this);
  server_ = builder.BuildAndStart();
}

void FakeCoordinator::Vanish() {
  if (server_ == nullptr) return;
  server_->Shutdown(std::chrono::system_clock::now());
  server_.reset();
  std::error_code ignored;
  std::filesystem::remove(socket_, ignored);
}

void FakeCoordinator::Forget() {
  MutexLock lock(mu_);
  workers_.clear();
  seen_.acknowledged.clear();
}

v1::AdapterVersion FakeCoordinator::Publish(const std::string& run_id, const std::string& bytes) {
  v1::AdapterVersion version;
  version.set_run_id(run_id);
  version.set_sha256(Sha256Hex(bytes));
  version.set_size_bytes(static_cast<int64_t>(bytes.size()));
  MutexLock lock(mu_);
  adapters_[version.sha256()] = bytes;
  return version;
}

void FakeCoordinator::Unpublish(const v1::AdapterVersion& version) {
  MutexLock lock(mu_);
  adapters_.erase(version.sha256());
}

void FakeCoordinator::Add(Work work) {
  MutexLock lock(mu_);
  pending_.push_back(std::move(work));
  mu_.NotifyAll();
}

void FakeCoordinator::ExpireLeases() {
  MutexLock lock(mu_);
  leases_.clear();
}

void FakeCoordinator::LoseAnswers(const std::string& method, int count) {
  MutexLock lock(mu_);
  lost_answers_[method] = count;
}

void FakeCoordinator::Refuse(const std::string& method, grpc::Status answer) {
  MutexLock lock(mu_);
  refusals_[method] = std::move(answer);
}

void FakeCoordinator::BreakTransfers(std::vector<int64_t> after_bytes) {
  MutexLock lock(mu_);
  breaks_.assign(after_bytes.begin(), after_bytes.end());
}

FakeCoordinator::Seen FakeCoordinator::SeenLocked() {
  seen_.num_open = static_cast<int>(leases_.size());
  seen_.num_pending = static_cast<int>(pending_.size());
  return seen_;
}

FakeCoordinator::Seen FakeCoordinator::seen() {
  MutexLock lock(mu_);
  return SeenLocked();
}

bool FakeCoordinator::Await(const std::function<bool(const Seen&)>& holds) {
  MutexLock lock(mu_);
  return mu_.AwaitFor(absl::Minutes(1), [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return holds(SeenLocked()); });
}

grpc::Status FakeCoordinator::EnterLocked(const std::string& method) {
  ++seen_.calls[method];
  mu_.NotifyAll();
  const auto refused = refusals_.find(method);
  return refused == refusals_.end() ? grpc::Status::OK : refused->second;
}

grpc::Status FakeCoordinator::LeaveLocked(const std::string& method) {
  mu_.NotifyAll();
  int& count = lost_answers_[method];
  if (count == 0) return grpc::Status::OK;
  --count;
  return {grpc::StatusCode::UNAVAILABLE, "the answer was lost"};
}

grpc::Status FakeCoordinator::Heartbeat(grpc::ServerContext*, const v1::HeartbeatRequest* request,
                                        v1::HeartbeatResponse* response) {
  MutexLock lock(mu_);
  if (grpc::Status refused = EnterLocked("Heartbeat"); !refused.ok()) return refused;
  workers_.insert(request->worker_id());
  seen_.heartbeat = *request;
  for (const int64_t id : request->lease_ids()) {
    const auto lease = leases_.find(id);
    if (lease == leases_.end() || lease->second.worker_id != request->worker_id()) response->add_lost_lease_ids(id);
  }
  response->set_lease_timeout_ms(400);
  return LeaveLocked("Heartbeat");
}

grpc::Status FakeCoordinator::LeaseGroups(grpc::ServerContext* context, const v1::LeaseGroupsRequest* request,
                                          v1::LeaseGroupsResponse* response) {
  MutexLock lock(mu_);
  if (grpc::Status refused = EnterLocked("LeaseGroups"); !refused.ok()) return refused;
  if (!workers_.contains(request->worker_id()))
    return {grpc::StatusCode::FAILED_PRECONDITION, "send a heartbeat first"};
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::milliseconds(request->wait_ms());
  ++seen_.num_polls;
  while (pending_.empty() && std::chrono::steady_clock::now() < give_up && !context->IsCancelled()) {
    mu_.AwaitFor(kLook, [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return !pending_.empty(); });
  }
  --seen_.num_polls;
  mu_.NotifyAll();
  if (pending_.empty() || context->IsCancelled()) return grpc::Status::OK;
  const int64_t id = next_lease_++;
  const Work& work = (leases_[id] = Lease{request->worker_id(), std::move(pending_.front())}).work;
  pending_.pop_front();
  v1::Lease& lease = *response->add_leases();
  lease.set_lease_id(id);
  *lease.mutable_group() = work.group;
  response->set_run_id(work.run_id);
  response->set_config_yaml(work.config_yaml);
  response->set_model_fingerprint(work.model_fingerprint);
  *response->mutable_adapter() = work.adapter;
  *response->mutable_sampling() = work.sampling;
  return LeaveLocked("LeaseGroups");
}

grpc::Status FakeCoordinator::FetchAdapter(grpc::ServerContext*, const v1::FetchAdapterRequest* request,
                                           grpc::ServerWriter<v1::FetchAdapterResponse>* writer) {
  std::string bytes;
  size_t end = std::string::npos;
  {
    MutexLock lock(mu_);
    if (grpc::Status refused = EnterLocked("FetchAdapter"); !refused.ok()) return refused;
    seen_.fetch_offsets.push_back(request->offset());
    const auto found = adapters_.find(request->version().sha256());
    if (found == adapters_.end()) return {grpc::StatusCode::NOT_FOUND, "no adapter has that hash"};
    bytes = found->second;
    if (!breaks_.empty()) {
      end = static_cast<size_t>(request->offset() + breaks_.front());
      breaks_.pop_front();
    }
  }
  if (request->offset() >= static_cast<int64_t>(bytes.size())) return {grpc::StatusCode::INVALID_ARGUMENT, "offset"};
  for (auto at = static_cast<size_t>(request->offset()); at < bytes.size(); at += kChunk) {
    if (at >= end) return {grpc::StatusCode::UNAVAILABLE, "the connection broke"};
    v1::FetchAdapterResponse part;
    part.set_chunk(bytes.substr(at, kChunk));
    writer->Write(part);
  }
  return grpc::Status::OK;
}

grpc::Status FakeCoordinator::AcknowledgeAdapter(grpc::ServerContext*, const v1::AcknowledgeAdapterRequest* request,
                                                 v1::AcknowledgeAdapterResponse*) {
  MutexLock lock(mu_);
  if (grpc::Status refused = EnterLocked("AcknowledgeAdapter"); !refused.ok()) return refused;
  seen_.acknowledged.insert(request->version().sha256());
  return LeaveLocked("AcknowledgeAdapter");
}

grpc::Status FakeCoordinator::CompleteLocked(const v1::CompleteGroupRequest& request) {
  const auto lease = leases_.find(request.lease_id());
  if (lease == leases_.end() || lease->second.worker_id != request.worker_id()) {
    return {grpc::StatusCode::ABORTED, "the lease is not the worker's any more"};
  }
  const std::string& sha256 = request.result().adapter().sha256();
  if (sha256 != lease->second.work.adapter.sha256()) return {grpc::StatusCode::FAILED_PRECONDITION, "another adapter"};
  if (!seen_.acknowledged.contains(sha256)) return {grpc::StatusCode::FAILED_PRECONDITION, "unacknowledged"};
  seen_.finished.push_back(request.result());
  leases_.erase(lease);
  return grpc::Status::OK;
}

grpc::Status FakeCoordinator::CompleteGroup(grpc::ServerContext*, const v1::CompleteGroupRequest* request,
                                            v1::CompleteGroupResponse*) {
  MutexLock lock(mu_);
  if (grpc::Status refused = EnterLocked("CompleteGroup"); !refused.ok()) return refused;
  if (grpc::Status answer = CompleteLocked(*request); !answer.ok()) return answer;
  return LeaveLocked("CompleteGroup");
}

grpc::Status FakeCoordinator::AbandonGroup(grpc::ServerContext*, const v1::AbandonGroupRequest* request,
                                           v1::AbandonGroupResponse*) {
  MutexLock lock(mu_);
  if (grpc::Status refused = EnterLocked("AbandonGroup"); !refused.ok()) return refused;
  const auto lease = leases_.find(request->lease_id());
  if (lease == leases_.end()) return {grpc::StatusCode::ABORTED, "the lease is not the worker's any more"};
  seen_.given_back.push_back(*request);
  leases_.erase(lease);
  return LeaveLocked("AbandonGroup");
}

}  // namespace evilmoe
