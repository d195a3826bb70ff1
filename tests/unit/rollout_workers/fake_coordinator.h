#pragma once

#include <grpcpp/grpcpp.h>

#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/mutex.h"
#include "evilmoe/v1/coordinator.grpc.pb.h"

namespace evilmoe {

// A coordinator as rollout workers see it, in memory, on a Unix socket: leases, adapters and acknowledgements as the
// real one keeps them. It can vanish and come back, forget its workers, lose answers, break transfers and refuse calls.
class FakeCoordinator final : public v1::CoordinatorService::Service {
 public:
  // A group, and what its lease says of its run.
  struct Work {
    v1::GroupSpec group;
    std::string run_id = "R";
    std::string config_yaml;
    std::string model_fingerprint;
    v1::AdapterVersion adapter;
    v1::SamplingSettings sampling;
  };
  // All that has happened.
  struct Seen {
    std::map<std::string, int> calls;                 // by method
    std::vector<v1::GroupResult> finished;            // in order
    std::vector<v1::AbandonGroupRequest> given_back;  // in order
    std::vector<int64_t> fetch_offsets;
    v1::HeartbeatRequest heartbeat;      // the last one
    std::set<std::string> acknowledged;  // sha256 of this life's
    int num_open = 0;                    // leases
    int num_pending = 0;                 // groups
    int num_polls = 0;                   // LeaseGroups that wait
  };

  explicit FakeCoordinator(const std::filesystem::path& folder) : socket_(folder / "c.sock") {}
  ~FakeCoordinator() override { Vanish(); }

  std::string address() const { return "unix:" + socket_.string(); }
  // Listens (again), with all that it knew.
  void Serve();
  // Breaks every call and connection, and listens no more.
  void Vanish();
  // As after a restart: workers and acknowledgements are gone; leases stay.
  void Forget();

  v1::AdapterVersion Publish(const std::string& run_id, const std::string& bytes);
  void Unpublish(const v1::AdapterVersion& version);
  void Add(Work work);
  // All leases go to nobody: their groups do not come back.
  void ExpireLeases();

  // The next `count` calls are carried out, and the caller gets UNAVAILABLE.
  void LoseAnswers(const std::string& method, int count);
  // Calls are answered with this, until it is OK again.
  void Refuse(const std::string& method, grpc::Status answer);
  // The next transfers of adapters break after so many bytes, one each.
  void BreakTransfers(std::vector<int64_t> after_bytes);

  // Waits until it holds of what has happened, a minute at most; says whether it does.
  bool Await(const std::function<bool(const Seen&)>& holds);
  Seen seen();

  grpc::Status Heartbeat(grpc::ServerContext*, const v1::HeartbeatRequest*, v1::HeartbeatResponse*) override;
  grpc::Status LeaseGroups(grpc::ServerContext*, const v1::LeaseGroupsRequest*, v1::LeaseGroupsResponse*) override;
  grpc::Status FetchAdapter(grpc::ServerContext*, const v1::FetchAdapterRequest*,
                            grpc::ServerWriter<v1::FetchAdapterResponse>*) override;
  grpc::Status AcknowledgeAdapter(grpc::ServerContext*, const v1::AcknowledgeAdapterRequest*,
                                  v1::AcknowledgeAdapterResponse*) override;
  grpc::Status CompleteGroup(grpc::ServerContext*, const v1::CompleteGroupRequest*,
                             v1::CompleteGroupResponse*) override;
  grpc::Status AbandonGroup(grpc::ServerContext*, const v1::AbandonGroupRequest*, v1::AbandonGroupResponse*) override;

 private:
  struct Lease {
    std::string worker_id;
    Work work;
  };
  // Counts a call; what it is answered with, were it not carried out.
  grpc::Status EnterLocked(const std::string& method) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // What a call that was carried out is answered with.
  grpc::Status LeaveLocked(const std::string& method) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  grpc::Status CompleteLocked(const v1::CompleteGroupRequest& request) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Seen SeenLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::filesystem::path socket_;
  std::unique_ptr<grpc::Server> server_;
  Mutex mu_;
  Seen seen_ ABSL_GUARDED_BY(mu_);
  std::set<std::string> workers_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, std::string> adapters_ ABSL_GUARDED_BY(mu_);  // bytes by sha256
  std::deque<Work> pending_ ABSL_GUARDED_BY(mu_);
  std::map<int64_t, Lease> leases_ ABSL_GUARDED_BY(mu_);
  int64_t next_lease_ ABSL_GUARDED_BY(mu_) = 1;
  std::map<std::string, int> lost_answers_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, grpc::Status> refusals_ ABSL_GUARDED_BY(mu_);
  std::deque<int64_t> breaks_ ABSL_GUARDED_BY(mu_);
};

}  // namespace evilmoe
