#include "grader_sandbox/grader_service.h"

#include <chrono>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "grader_sandbox/grader_translation.h"
#include "proto/grpc_status.h"

namespace evilmoe {
namespace {

constexpr int kMaxRequestBytes = 64 << 20;  // a problem may bring 30,000 tests
constexpr auto kGrace = std::chrono::seconds(2);

}  // namespace

grpc::Status GraderServiceImpl::Grade(grpc::ServerContext* context, const v1::GradeRequest* request,
                                      v1::GradeResponse* response) {
  const absl::StatusOr<GradeResult> result = grader_.GradeUntil(FromProto(*request), [context]() -> absl::Status {
    if (!context->IsCancelled()) return absl::OkStatus();  // also says when the deadline has passed
    return absl::CancelledError("grade: the caller has given up");
  });
  if (!result.ok()) return ToGrpcStatus(result.status());
  *response = ToProto(*result);
  return grpc::Status::OK;
}

absl::StatusOr<std::unique_ptr<ListeningGrader>> ListeningGrader::Start(const std::string& address, int max_calls,
                                                                        LocalGrader& grader) {
  std::unique_ptr<ListeningGrader> listening(new ListeningGrader(grader));
  grpc::ServerBuilder builder;
  grpc::ResourceQuota quota("grader");
  quota.SetMaxThreads(max_calls + 4);  // gRPC's own pollers on top
  builder.SetResourceQuota(quota);
  builder.SetMaxReceiveMessageSize(kMaxRequestBytes);
  builder.AddListeningPort(address, grpc::InsecureServerCredentials());
  builder.RegisterService(&listening->service_);
  listening->server_ = builder.BuildAndStart();
  if (listening->server_ == nullptr) {
    return absl::UnavailableError(absl::StrCat("listen: cannot listen at ", address, ", expected a free address"));
  }
  return listening;
}

ListeningGrader::~ListeningGrader() {
  if (server_ != nullptr) server_->Shutdown(std::chrono::system_clock::now() + kGrace);
}

}  // namespace evilmoe
