#include "grader_sandbox/grader_service.h"

#include <grpcpp/health_check_service_interface.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "grader_sandbox/grade_stream_service.h"
#include "grader_sandbox/grader_translation.h"
#include "grader_sandbox/self_check.h"
#include "proto/grpc_status.h"
#include "proto/security/call_guard_service.h"

namespace evilmoe {
namespace {

constexpr absl::Duration kSelfCheckTimeout = absl::Minutes(2);

// One Grade call. Its end comes from a slot's thread, or from Submit() itself.
class GradeCall final : public grpc::ServerUnaryReactor {
 public:
  GradeCall(LocalGrader& grader, CallPermit permit, v1::GradeResponse* response)
      : grader_(grader), permit_(std::move(permit)), response_(response) {}

  void Start(const v1::GradeRequest& request, const std::string& caller) {
    const absl::StatusOr<uint64_t> ticket =
        grader_.Submit(FromProto(request), caller, [this](const absl::StatusOr<GradeResult>& result) {
          if (result.ok()) *response_ = ToProto(*result);
          Finish(ToGrpcStatus(result.status()));
        });
    if (!ticket.ok()) return Finish(ToGrpcStatus(ticket.status()));
    // gRPC calls OnCancel() and OnDone() only once the handler has returned this object.
    ticket_ = *ticket;
  }

  void OnCancel() override { grader_.Cancel(ticket_); }
  void OnDone() override { delete this; }

 private:
  LocalGrader& grader_;
  const CallPermit permit_;
  v1::GradeResponse* const response_;
  uint64_t ticket_ = 0;
};

grpc::Status Stopping() { return {grpc::StatusCode::UNAVAILABLE, "grader: it is stopping"}; }

grpc::ServerUnaryReactor* Refused(grpc::CallbackServerContext* context, const grpc::Status& why) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(why);
  return reactor;
}

class RefusedStream final : public grpc::ServerBidiReactor<v1::GradeStreamRequest, v1::GradeStreamResponse> {
 public:
  explicit RefusedStream(const grpc::Status& why) { Finish(why); }
  void OnDone() override { delete this; }
};

// A self-check that is on its way, on a thread of its own: it waits for the slots.
class SelfCheckCall final : public grpc::ServerUnaryReactor {
 public:
  using Check = std::function<grpc::Status()>;
  SelfCheckCall(CallPermit permit, Check check)
      : permit_(std::move(permit)), thread_([this, check = std::move(check)] { Finish(check()); }) {}
  void OnDone() override {
    thread_.join();
    delete this;
  }

 private:
  const CallPermit permit_;
  std::thread thread_;
};

}  // namespace

grpc::ServerUnaryReactor* GraderServiceImpl::Grade(grpc::CallbackServerContext* context,
                                                   const v1::GradeRequest* request, v1::GradeResponse* response) {
  absl::StatusOr<CallPermit> permit = Admit(guard_, *context, "Grade");
  if (!permit.ok()) return Refused(context, ToGrpcStatus(permit.status()));
  if (!serving_) return Refused(context, Stopping());
  auto* call = new GradeCall(grader_, *std::move(permit), response);
  call->Start(*request, context->peer());
  return call;
}

grpc::ServerBidiReactor<v1::GradeStreamRequest, v1::GradeStreamResponse>* GraderServiceImpl::GradeStream(
    grpc::CallbackServerContext* context) {
  absl::StatusOr<CallPermit> permit = Admit(guard_, *context, "GradeStream");
  if (!permit.ok()) return new RefusedStream(ToGrpcStatus(permit.status()));
  if (!serving_) return new RefusedStream(Stopping());
  // Two streams of one client are two callers.
  const auto stream = reinterpret_cast<uintptr_t>(context);
  return GradeStreamCall::Begin(grader_, serving_, *std::move(permit),
                                absl::StrCat(context->peer(), "/", absl::Hex(stream)));
}

grpc::ServerUnaryReactor* GraderServiceImpl::Health(grpc::CallbackServerContext* context, const v1::HealthRequest*,
                                                    v1::HealthResponse* response) {
  const absl::StatusOr<CallPermit> permit = Admit(guard_, *context, "Health");
  if (!permit.ok()) return Refused(context, ToGrpcStatus(permit.status()));
  response->set_serving(healthy());
  response->set_self_check_ok(self_check_ok_);
  response->set_tier(TierName(grader_.host().tier()));
  response->set_cgroup(grader_.host().cgroup());
  response->set_landlock_version(grader_.host().landlock_version());
  response->set_slots(grader_.pool().num_slots());
  response->set_running(grader_.pool().num_running());
  response->set_waiting(grader_.pool().num_waiting());
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

grpc::ServerUnaryReactor* GraderServiceImpl::SelfCheck(grpc::CallbackServerContext* context,
                                                       const v1::SelfCheckRequest*, v1::SelfCheckResponse* response) {
  absl::StatusOr<CallPermit> permit = Admit(guard_, *context, "SelfCheck");
  if (!permit.ok()) return Refused(context, ToGrpcStatus(permit.status()));
  if (!serving_) return Refused(context, Stopping());
  if (checking_.exchange(true)) {
    return Refused(context, {grpc::StatusCode::RESOURCE_EXHAUSTED, "self-check: another one is running, retry later"});
  }
  const absl::Time deadline = std::min(clock_.Now() + kSelfCheckTimeout, absl::FromChrono(context->deadline()));
  return new SelfCheckCall(*std::move(permit), [this, deadline, response] {
    grpc::Status status = RunCheck(deadline, *response);
    checking_ = false;
    return status;
  });
}

grpc::Status GraderServiceImpl::RunCheck(absl::Time deadline, v1::SelfCheckResponse& response) {
  const absl::StatusOr<std::vector<SelfCheckCase>> cases = RunSelfCheck(grader_, deadline);
  if (!cases.ok()) return ToGrpcStatus(cases.status());
  response.set_ok(true);
  for (const SelfCheckCase& one : *cases) {
    v1::SelfCheckResponse::Case& out = *response.add_cases();
    out.set_name(one.name);
    out.set_ok(one.ok);
    out.set_verdict(one.verdict);
    out.set_expected(one.expected);
    if (!one.ok) response.set_ok(false);
  }
  self_check_ok_ = response.ok();
  if (checked_) checked_(response.ok());
  return grpc::Status::OK;
}

absl::StatusOr<std::unique_ptr<ListeningGrader>> ListeningGrader::Start(const ListenConfig& listen,
                                                                        LocalGrader& grader, const Clock& clock,
                                                                        Logger* logger, CallGuardMetrics* metrics,
                                                                        GraderServiceImpl::Checked checked) {
  const CallGuardOptions guarding{
      .tokens = listen.security.tokens, .limits = listen.limits, .role_of = GraderRole};
  EVILMOE_ASSIGN_OR_RETURN(std::unique_ptr<CallGuard> guard, CallGuard::Create(guarding, clock, logger, metrics));
  std::unique_ptr<ListeningGrader> listening(new ListeningGrader(grader, std::move(guard), clock, std::move(checked)));
  grpc::EnableDefaultHealthCheckService(true);  // grpc.health.v1, which Kubernetes asks
  EVILMOE_ASSIGN_OR_RETURN(ListeningServer server,
                           StartListening({.listen = listen}, {&listening->service_}, clock.Now()));
  listening->server_ = std::move(server.server);
  listening->ports_ = std::move(server.ports);
  return listening;
}

void ListeningGrader::Drain(absl::Duration grace) {
  service_.StopServing();
  if (server_->GetHealthCheckService() != nullptr) server_->GetHealthCheckService()->SetServingStatus(false);
  server_->Shutdown(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(grace));
}

ListeningGrader::~ListeningGrader() {
  if (server_ != nullptr) Drain(absl::ZeroDuration());
}

}  // namespace evilmoe
