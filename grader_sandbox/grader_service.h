#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "evilmoe/v1/grader.grpc.pb.h"
#include "grader_sandbox/grader.h"

namespace evilmoe {

// The networked face of a LocalGrader, which must outlive it. A call that its client gave up ends its run.
class GraderServiceImpl final : public v1::GraderService::Service {
 public:
  explicit GraderServiceImpl(LocalGrader& grader) : grader_(grader) {}
  grpc::Status Grade(grpc::ServerContext* context, const v1::GradeRequest* request,
                     v1::GradeResponse* response) override;

 private:
  LocalGrader& grader_;
};

// A server of one GraderServiceImpl for as long as it lives.
class ListeningGrader {
 public:
  // `max_calls`: calls at a time, the rest is refused with RESOURCE_EXHAUSTED. Unavailable: cannot listen at `address`.
  static absl::StatusOr<std::unique_ptr<ListeningGrader>> Start(const std::string& address, int max_calls,
                                                                LocalGrader& grader);
  // Calls in flight get two seconds, then they are cancelled.
  ~ListeningGrader();

 private:
  explicit ListeningGrader(LocalGrader& grader) : service_(grader) {}

  GraderServiceImpl service_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace evilmoe
