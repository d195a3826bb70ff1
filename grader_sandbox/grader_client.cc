#include "grader_sandbox/grader_client.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "evilmoe/v1/grader.grpc.pb.h"
#include "grader_sandbox/grader_translation.h"
#include "grader_sandbox/problem_key.h"
#include "proto/grpc_status.h"
#include "proto/security/secure_channel_client.h"

namespace evilmoe {
namespace {

constexpr absl::Duration kFirstPause = absl::Milliseconds(20);
constexpr absl::Duration kLongestPause = absl::Seconds(1);

grpc::ChannelArguments QuickReconnect() {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  return arguments;
}

}  // namespace

class GraderClient::Channel {
 public:
  Channel(const std::string& address, const ChannelSecurity& security) {
    const auto channel = OpenChannel(address, security, QuickReconnect());
    opened_ = channel.status();
    if (opened_.ok()) stub_ = v1::GraderService::NewStub(*channel);
  }

  absl::StatusOr<GradeResult> Ask(const v1::GradeRequest& request, absl::Time deadline) {
    EVILMOE_RETURN_IF_ERROR(opened_);
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(deadline));
    v1::GradeResponse response;
    EVILMOE_RETURN_IF_ERROR(ExplainConnection(FromGrpcStatus(stub_->Grade(&context, request, &response))));
    return FromProto(response);
  }

 private:
  absl::Status opened_;  // not OK: there is no stub
  std::unique_ptr<v1::GraderService::Stub> stub_;
};

GraderClient::GraderClient(const std::string& address, const Clock& clock, const ChannelSecurity& security)
    : address_(address), clock_(clock), channel_(std::make_unique<Channel>(address, security)) {}
GraderClient::~GraderClient() = default;

absl::StatusOr<GradeResult> GraderClient::Grade(const GradeTask& task, absl::Time deadline) {
  const std::string key = ProblemKey(task.problem);
  for (absl::Duration pause = kFirstPause;; pause = std::min(2 * pause, kLongestPause)) {
    absl::StatusOr<GradeResult> result = channel_->Ask(IsSent(key) ? ToProtoByKey(task, key) : ToProto(task), deadline);
    if (result.ok()) {
      NoteSent(key, true);
      return result;
    }
    if (absl::IsNotFound(result.status()) && IsSent(key)) {  // another grader than the one that had it
      NoteSent(key, false);
      continue;
    }
    const bool again = absl::IsUnavailable(result.status()) || absl::IsResourceExhausted(result.status());
    if (!again || clock_.Now() + pause >= deadline) {
      return Annotate(result.status(), absl::StrCat("grader ", address_));
    }
    std::this_thread::sleep_for(absl::ToChronoMilliseconds(pause));
  }
}

bool GraderClient::IsSent(const std::string& key) {
  const MutexLock lock(mu_);
  return sent_.contains(key);
}

void GraderClient::NoteSent(const std::string& key, bool sent) {
  const MutexLock lock(mu_);
  if (sent) sent_.insert(key);
  else sent_.erase(key);
}

}  // namespace evilmoe
