#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "evilmoe/v1/grader.grpc.pb.h"
#include "grader_sandbox/grader.h"
#include "proto/security/call_guard.h"
#include "proto/security/listening_service.h"

namespace evilmoe {

// The networked face of a LocalGrader. No call holds a thread while it waits. A call that its client gave up ends its
// runs. References must outlive it.
class GraderServiceImpl final : public v1::GraderService::CallbackService {
 public:
  // `checked` is told how each self-check went, by the thread that did it.
  using Checked = std::function<void(bool ok)>;

  GraderServiceImpl(LocalGrader& grader, CallGuard& guard, const Clock& clock, Checked checked = nullptr)
      : grader_(grader), guard_(guard), clock_(clock), checked_(std::move(checked)) {}

  grpc::ServerUnaryReactor* Grade(grpc::CallbackServerContext* context, const v1::GradeRequest* request,
                                  v1::GradeResponse* response) override;
  grpc::ServerBidiReactor<v1::GradeStreamRequest, v1::GradeStreamResponse>* GradeStream(
      grpc::CallbackServerContext* context) override;
  grpc::ServerUnaryReactor* Health(grpc::CallbackServerContext* context, const v1::HealthRequest* request,
                                   v1::HealthResponse* response) override;
  grpc::ServerUnaryReactor* SelfCheck(grpc::CallbackServerContext* context, const v1::SelfCheckRequest* request,
                                      v1::SelfCheckResponse* response) override;

  // From now on it says that it does not serve, and refuses what is new with UNAVAILABLE.
  void StopServing() { serving_ = false; }
  bool healthy() const { return serving_ && self_check_ok_; }

 private:
  grpc::Status RunCheck(absl::Time deadline, v1::SelfCheckResponse& response);

  LocalGrader& grader_;
  CallGuard& guard_;
  const Clock& clock_;
  const Checked checked_;
  std::atomic<bool> serving_ = true;
  std::atomic<bool> checking_ = false;  // one self-check at a time: each has a thread
  std::atomic<bool> self_check_ok_ = true;  // of the last check; a grader that fails its first does not serve at all
};

// A server of one GraderServiceImpl for as long as it lives.
class ListeningGrader {
 public:
  // Errors: CallGuard::Create(), StartListening(). References must outlive it; `logger` and `metrics` may be null.
  static absl::StatusOr<std::unique_ptr<ListeningGrader>> Start(const ListenConfig& listen, LocalGrader& grader,
                                                                const Clock& clock, Logger* logger = nullptr,
                                                                CallGuardMetrics* metrics = nullptr,
                                                                GraderServiceImpl::Checked checked = nullptr);
  // Calls in flight get `grace` to end, nothing new is taken; then they are cancelled, and their runs with them.
  void Drain(absl::Duration grace);
  ~ListeningGrader();

  bool healthy() const { return service_.healthy(); }
  // One an address; the one that was taken where the address has port 0.
  const std::vector<int>& ports() const { return ports_; }

 private:
  ListeningGrader(LocalGrader& grader, std::unique_ptr<CallGuard> guard, const Clock& clock,
                  GraderServiceImpl::Checked checked)
      : guard_(std::move(guard)), service_(grader, *guard_, clock, std::move(checked)) {}

  const std::unique_ptr<CallGuard> guard_;
  GraderServiceImpl service_;
  std::vector<int> ports_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace evilmoe
