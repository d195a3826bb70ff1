#include "rollout_workers/sample_grader_client.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/status_macros.h"
#include "evilmoe/v1/grader.grpc.pb.h"
#include "proto/grpc_status.h"

namespace evilmoe {
namespace {

constexpr absl::Duration kAttempt = absl::Seconds(30);
constexpr absl::Duration kFirstBackoff = absl::Milliseconds(10);
constexpr absl::Duration kLastBackoff = absl::Seconds(1);

}  // namespace

class SampleGraderClient::Impl {
 public:
  explicit Impl(const std::string& address) : address_(address) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
    arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 50);
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 500);
    stub_ = v1::GraderService::NewStub(
        grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments));
  }

  absl::Status Attempt(const v1::GradeRequest& request, absl::Time deadline, v1::GradeResponse& response) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(std::min(deadline, absl::Now() + kAttempt)));
    response.Clear();
    return Annotate(FromGrpcStatus(stub_->Grade(&context, request, &response)), absl::StrCat("grader ", address_));
  }

 private:
  const std::string address_;
  std::unique_ptr<v1::GraderService::Stub> stub_;
};

SampleGraderClient::SampleGraderClient(const std::string& address) : impl_(std::make_unique<Impl>(address)) {}
SampleGraderClient::~SampleGraderClient() = default;

absl::StatusOr<v1::GradeResponse> SampleGraderClient::Grade(const v1::GradeRequest& request, absl::Time deadline) {
  v1::GradeResponse response;
  for (absl::Duration backoff = kFirstBackoff;; backoff = std::min(2 * backoff, kLastBackoff)) {
    const absl::Status status = impl_->Attempt(request, deadline, response);
    if (status.ok()) return response;
    const bool retry = absl::IsUnavailable(status) || absl::IsResourceExhausted(status) ||
                       absl::IsDeadlineExceeded(status);
    if (!retry || absl::Now() + backoff >= deadline) return status;
    std::this_thread::sleep_for(absl::ToChronoMilliseconds(backoff));
  }
}

}  // namespace evilmoe
