#pragma once

#include <grpcpp/grpcpp.h>

#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <string>

#include "common/mutex.h"
#include "evilmoe/v1/grader.grpc.pb.h"
#include "grader_sandbox/grader.h"

namespace evilmoe {

// One GradeStream call (grader.proto). Makes itself; lives until gRPC and every run of it are done.
class GradeStreamCall final : public grpc::ServerBidiReactor<v1::GradeStreamRequest, v1::GradeStreamResponse>,
                              public std::enable_shared_from_this<GradeStreamCall> {
 public:
  // `grader` must outlive it. The caller gives the pointer to gRPC at once.
  static GradeStreamCall* Begin(LocalGrader& grader, std::string caller);

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override { self_.reset(); }

 private:
  GradeStreamCall(LocalGrader& grader, std::string caller) : grader_(grader), caller_(std::move(caller)) {}

  void Take() ABSL_LOCKS_EXCLUDED(mu_);
  void ReadOnLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Answer(uint64_t id, const absl::StatusOr<GradeResult>& result) ABSL_LOCKS_EXCLUDED(mu_);
  void WriteOnLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void CancelAll() ABSL_LOCKS_EXCLUDED(mu_);

  LocalGrader& grader_;
  const std::string caller_;
  std::shared_ptr<GradeStreamCall> self_;
  v1::GradeStreamRequest request_;  // gRPC's between StartRead() and OnReadDone()

  Mutex mu_;
  std::map<uint64_t, uint64_t> tickets_ ABSL_GUARDED_BY(mu_);           // of unanswered ids; 0 = not known yet
  std::queue<v1::GradeStreamResponse> to_write_ ABSL_GUARDED_BY(mu_);   // the front is being written, if any is
  bool reading_ ABSL_GUARDED_BY(mu_) = true;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool all_read_ ABSL_GUARDED_BY(mu_) = false;
  bool waits_for_room_ ABSL_GUARDED_BY(mu_) = false;  // the queue was full: request_ is still to be taken
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false;
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace evilmoe
