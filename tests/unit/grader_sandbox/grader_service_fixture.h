#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "evilmoe/v1/grader.grpc.pb.h"
#include "grader_sandbox/grader_metrics.h"
#include "grader_sandbox/grader_service.h"
#include "gtest/gtest.h"

namespace evilmoe {

// A run of Hangs() is cut off after kLongWall, so what is there much earlier was freed by something else.
constexpr absl::Duration kLongCpu = absl::Seconds(20);
constexpr absl::Duration kLongWall = absl::Seconds(41);  // RunLimits::wall() of that

// False: `done` was still false after `timeout`.
bool AwaitTrue(const std::function<bool()>& done, absl::Duration timeout = absl::Seconds(20));

// What a grader could leak.
struct Holdings {
  int descriptors = 0;
  int processes = 0;  // below this one, at any depth
  int threads = 0;
};
Holdings CurrentHoldings();

using GraderStub = v1::GraderService::Stub;

// One GradeStream of a client that waits for every call.
class StreamClient {
 public:
  explicit StreamClient(GraderStub& stub);
  ~StreamClient();

  bool Send(uint64_t id, const v1::GradeRequest& request);
  void SendDone() { stream_->WritesDone(); }
  // None: the stream has ended.
  std::optional<v1::GradeStreamResponse> Read();
  // How it ended; drops the answers that were not read. gRPC would wait for a reader.
  grpc::Status Finish();
  grpc::ClientContext& context() { return context_; }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::GradeStreamRequest, v1::GradeStreamResponse>> stream_;
  bool all_read_ = false;
  bool finished_ = false;
};

// A real grader behind a real server, on a Unix socket in a folder of its own.
class GraderServiceFixture : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  // A new grader, which knows no problem, at the same address.
  void Start(const LocalGraderOptions& options);
  // Runs on every slot, so that what a slot makes once is there.
  void WarmUp();

  std::shared_ptr<grpc::Channel> Connect() const;
  std::unique_ptr<GraderStub> NewStub() const { return v1::GraderService::NewStub(Connect()); }
  v1::HealthResponse Health();
  bool AwaitRunning(int num);
  // A sample of another client is graded in a small part of kLongWall.
  void ExpectQuickAnswer();
  // Waits for all that is held to be as little as `before`.
  void ExpectNoMoreThan(const Holdings& before);

  const RealClock clock_;
  const PythonComparer comparer_;
  prometheus::Registry registry_;
  GraderMetrics metrics_{registry_};
  std::string folder_;
  std::string address_;
  LocalGraderOptions options_;
  std::unique_ptr<LocalGrader> grader_;
  std::unique_ptr<ListeningGrader> listening_;
};

// Requests about AddOne(), with the problem.
v1::GradeRequest RequestFor(const std::string& code);
v1::GradeRequest Right();
v1::GradeRequest Sleeps(const std::string& seconds);  // then it is right
v1::GradeRequest Hangs();                             // until it is killed

}  // namespace evilmoe
