#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <map>
#include <memory>
#include <queue>
#include <string>
#include <utility>

#include "common/mutex.h"
#include "evilmoe/v1/grader.grpc.pb.h"
#include "grader_sandbox/grader.h"
#include "proto/security/call_limits.h"

namespace evilmoe {

// One GradeStream call (grader.proto). Makes itself; lives until gRPC and every run of it are done.
class GradeStreamCall final : public grpc::ServerBidiReactor<v1::GradeStreamRequest, v1::GradeStreamResponse>,
                              public std::enable_shared_from_this<GradeStreamCall> {
 public:
  // References must outlive it. Samples that come when `serving` is false are answered with UNAVAILABLE. `permit` is
  // kept until gRPC is done: runs that end later may outlive the server that counts it. The pointer goes to gRPC at once.
  static GradeStreamCall* Begin(LocalGrader& grader, const std::atomic<bool>& serving, CallPermit permit,
                                std::string caller);

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override {
    permit_ = CallPermit();
    self_.reset();
  }

 private:
  // Who has request_. Only its owner may touch it, so there is one Take() at a time.
  enum class Owner { kGrpc, kTake, kWaitsForRoom, kNobody };

  GradeStreamCall(LocalGrader& grader, const std::atomic<bool>& serving, CallPermit permit, std::string caller)
      : grader_(grader), serving_(serving), permit_(std::move(permit)), caller_(std::move(caller)) {}

  void Take() ABSL_LOCKS_EXCLUDED(mu_);
  absl::StatusOr<uint64_t> Submit(uint64_t id);
  void ReadOnLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Answer(uint64_t id, const absl::StatusOr<GradeResult>& result) ABSL_LOCKS_EXCLUDED(mu_);
  void WriteOnLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void CancelAll() ABSL_LOCKS_EXCLUDED(mu_);

  LocalGrader& grader_;
  const std::atomic<bool>& serving_;
  CallPermit permit_;
  const std::string caller_;
  std::shared_ptr<GradeStreamCall> self_;
  v1::GradeStreamRequest request_;  // of owner_

  Mutex mu_;
  std::map<uint64_t, uint64_t> tickets_ ABSL_GUARDED_BY(mu_);          // of unanswered ids; 0 = not known yet
  std::queue<v1::GradeStreamResponse> to_write_ ABSL_GUARDED_BY(mu_);  // the front is being written, if any is
  Owner owner_ ABSL_GUARDED_BY(mu_) = Owner::kGrpc;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool all_read_ ABSL_GUARDED_BY(mu_) = false;
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false;
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace evilmoe
