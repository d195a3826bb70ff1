// What clients do that they should not: each gets its documented status, and nothing of it stays.

#include <fcntl.h>
#include <grpcpp/create_channel_posix.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "tests/unit/grader_sandbox/grader_service_fixture.h"
#include "tests/unit/grader_sandbox/sandbox_test_kit.h"

namespace evilmoe {
namespace {

class GraderAbuseTest : public GraderServiceFixture {
 protected:
  void SetUp() override {
    GraderServiceFixture::SetUp();
    StartWarm({.slots = 2, .cpu_limit = kLongCpu});
  }
  void StartWarm(const LocalGraderOptions& options) {
    Start(options);
    WarmUp();
    before_ = CurrentHoldings();
  }

  Holdings before_;
};

// One unary call that does not wait.
class PendingGrade {
 public:
  PendingGrade(GraderStub& stub, v1::GradeRequest request, absl::Duration deadline = absl::Seconds(60))
      : request_(std::move(request)) {
    context_.set_deadline(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(deadline));
    stub.async()->Grade(&context_, &request_, &response_, [this](const grpc::Status& status) {
      status_ = status;
      done_ = true;
    });
  }
  ~PendingGrade() {
    context_.TryCancel();
    EXPECT_TRUE(Await());
  }
  bool done() const { return done_; }
  bool Await() {
    return AwaitTrue([this] { return done(); }, absl::Seconds(90));
  }
  // After Await().
  const grpc::Status& status() const { return status_; }
  const v1::GradeResponse& response() const { return response_; }
  void Cancel() { context_.TryCancel(); }

 private:
  grpc::ClientContext context_;
  const v1::GradeRequest request_;
  v1::GradeResponse response_;
  grpc::Status status_;
  std::atomic<bool> done_ = false;
};

v1::GradeRequest TooLarge() {
  v1::GradeRequest request = Right();
  request.set_response(std::string((size_t{64} << 20) + 1, 'x'));
  return request;
}

TEST_F(GraderAbuseTest, TooLargeMessageIsResourceExhausted) {
  {
    const auto stub = NewStub();
    PendingGrade call(*stub, TooLarge());
    ASSERT_TRUE(call.Await());
    EXPECT_EQ(call.status().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << call.status().error_message();
    StreamClient stream(*stub);
    ASSERT_TRUE(stream.Send(1, Hangs()));
    stream.Send(2, TooLarge());
    EXPECT_FALSE(stream.Read().has_value());
    EXPECT_EQ(stream.Finish().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  }
  ExpectQuickAnswer();
  ExpectNoMoreThan(before_);
}

TEST_F(GraderAbuseTest, CancelledCallEndsItsRun) {
  {
    const auto stub = NewStub();
    std::vector<std::unique_ptr<PendingGrade>> calls;
    for (int i = 0; i < 4; ++i) calls.push_back(std::make_unique<PendingGrade>(*stub, Hangs()));  // two wait
    ASSERT_TRUE(AwaitTrue([&] { return grader_->pool().num_running() == 2 && grader_->pool().num_waiting() == 2; }));
    for (const auto& call : calls) call->Cancel();
    for (const auto& call : calls) {
      ASSERT_TRUE(call->Await());
      EXPECT_EQ(call->status().error_code(), grpc::StatusCode::CANCELLED);
    }
  }
  ExpectQuickAnswer();
  ExpectNoMoreThan(before_);
}

TEST_F(GraderAbuseTest, PassedDeadlineEndsTheRun) {
  {
    const auto stub = NewStub();
    PendingGrade first(*stub, Hangs(), absl::Milliseconds(700));
    PendingGrade second(*stub, Hangs(), absl::Milliseconds(700));
    for (PendingGrade* call : {&first, &second}) {
      ASSERT_TRUE(call->Await());
      EXPECT_EQ(call->status().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
    }
  }
  ExpectQuickAnswer();
  ExpectNoMoreThan(before_);
}

TEST_F(GraderAbuseTest, CancelledStreamEndsItsRuns) {
  {
    const auto stub = NewStub();
    StreamClient stream(*stub);
    for (uint64_t id = 0; id < 70; ++id) ASSERT_TRUE(stream.Send(id, Hangs()));
    ASSERT_TRUE(AwaitRunning(2));
    stream.context().TryCancel();
    EXPECT_FALSE(stream.Read().has_value());
    EXPECT_EQ(stream.Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  ExpectQuickAnswer();
  ExpectNoMoreThan(before_);
}

// A connection that the test can cut, as a dead machine would.
int ConnectTo(const std::string& path) {
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  EXPECT_GE(fd, 0);
  EXPECT_EQ(connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
  return fd;
}

TEST_F(GraderAbuseTest, VanishedClientEndsItsRuns) {
  {
    const int fd = ConnectTo(absl::StrCat(folder_, "/grader.sock"));
    const auto stub = v1::GraderService::NewStub(grpc::CreateInsecureChannelFromFd("grader", fd));  // owns fd
    StreamClient stream(*stub);
    ASSERT_TRUE(stream.Send(1, Hangs()));
    PendingGrade call(*stub, Hangs());
    ASSERT_TRUE(AwaitRunning(2));
    ASSERT_EQ(shutdown(fd, SHUT_RDWR), 0);
    ExpectQuickAnswer();
    ASSERT_TRUE(call.Await());
    EXPECT_EQ(call.status().error_code(), grpc::StatusCode::UNAVAILABLE);
  }
  ExpectNoMoreThan(before_);
}

TEST_F(GraderAbuseTest, FullQueueIsResourceExhausted) {
  StartWarm({.slots = 2, .queue_limit = 1, .cpu_limit = kLongCpu});
  {
    const auto stub = NewStub();
    std::vector<std::unique_ptr<PendingGrade>> calls;
    for (int i = 0; i < 3; ++i) {
      calls.push_back(std::make_unique<PendingGrade>(*stub, Hangs()));
      ASSERT_TRUE(AwaitTrue([&] { return grader_->pool().num_running() + grader_->pool().num_waiting() == i + 1; }));
    }
    PendingGrade refused(*stub, Right());
    ASSERT_TRUE(refused.Await());
    EXPECT_EQ(refused.status().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << refused.status().error_message();
    StreamClient stream(*stub);
    ASSERT_TRUE(stream.Send(1, Right()));
    EXPECT_EQ(stream.Read()->code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  }
  ExpectNoMoreThan(before_);
  ExpectQuickAnswer();
}

TEST_F(GraderAbuseTest, TenThousandCallsAreAnsweredOrRefused) {
  constexpr int kCalls = 10000;
  constexpr int kQueue = 100;
  StartWarm({.slots = 2, .queue_limit = kQueue});
  {
    const auto stub = NewStub();
    std::vector<std::unique_ptr<PendingGrade>> calls;
    for (int i = 0; i < kCalls; ++i) calls.push_back(std::make_unique<PendingGrade>(*stub, Right()));
    EXPECT_LT(CurrentHoldings().threads, 100);
    std::map<int, int> by_code;
    for (const auto& call : calls) {
      ASSERT_TRUE(call->Await());
      ++by_code[call->status().error_code()];
      EXPECT_EQ(call->status().ok(), call->response().facts().gt_correct());
    }
    EXPECT_GE(by_code[0], kQueue);
    EXPECT_GT(by_code[grpc::StatusCode::RESOURCE_EXHAUSTED], 0);
    EXPECT_EQ(by_code[0] + by_code[grpc::StatusCode::RESOURCE_EXHAUSTED], kCalls);
    EXPECT_LT(CurrentHoldings().threads, 100);
  }
  ExpectQuickAnswer();
  ExpectNoMoreThan(before_);
}

TEST_F(GraderAbuseTest, ManySelfChecksAreOneAtATime) {
  {
    const auto stub = NewStub();
    constexpr int kCalls = 200;
    std::vector<grpc::ClientContext> contexts(kCalls);
    std::vector<v1::SelfCheckResponse> responses(kCalls);
    std::vector<grpc::Status> statuses(kCalls);
    const v1::SelfCheckRequest request;
    std::atomic<int> num_done = 0;
    for (int i = 0; i < kCalls; ++i) {
      stub->async()->SelfCheck(&contexts[i], &request, &responses[i], [&, i](const grpc::Status& status) {
        statuses[i] = status;
        ++num_done;
      });
    }
    EXPECT_LT(CurrentHoldings().threads, 100);
    ASSERT_TRUE(AwaitTrue([&] { return num_done == kCalls; }, absl::Seconds(90)));
    std::map<int, int> by_code;
    for (const grpc::Status& status : statuses) ++by_code[status.error_code()];
    EXPECT_GE(by_code[0], 1);
    EXPECT_EQ(by_code[0] + by_code[grpc::StatusCode::RESOURCE_EXHAUSTED], kCalls);
  }
  ExpectNoMoreThan(before_);
}

TEST_F(GraderAbuseTest, DuplicateIdsAreRefusedOneByOne) {
  constexpr int kCopies = 1000;
  {
    const auto stub = NewStub();
    StreamClient stream(*stub);
    ASSERT_TRUE(stream.Send(1, Hangs()));
    std::jthread sender([&] {
      for (int i = 0; i < kCopies; ++i) EXPECT_TRUE(stream.Send(1, Right()));
    });
    for (int i = 0; i < kCopies; ++i) {
      const auto answer = stream.Read();
      ASSERT_TRUE(answer.has_value());
      ASSERT_EQ(answer->code(), grpc::StatusCode::ALREADY_EXISTS);
    }
    EXPECT_EQ(grader_->pool().num_running() + grader_->pool().num_waiting(), 1);
  }
  ExpectQuickAnswer();
  ExpectNoMoreThan(before_);
}

// Sends `num` samples without reading, on a thread of its own.
class Flood {
 public:
  Flood(StreamClient& stream, uint64_t num, const v1::GradeRequest& request)
      : thread_([this, &stream, num, request] {
          for (uint64_t id = 0; id < num; ++id) {
            EXPECT_TRUE(stream.Send(id, request));
            ++num_sent_;
          }
          stream.SendDone();
        }) {}
  uint64_t num_sent() const { return num_sent_; }

 private:
  std::atomic<uint64_t> num_sent_ = 0;
  std::jthread thread_;
};

// How often each id is answered, until the stream ends.
std::map<uint64_t, int> AnswersOf(StreamClient& stream, int code) {
  std::map<uint64_t, int> answers;
  while (const auto answer = stream.Read()) {
    ++answers[answer->id()];
    EXPECT_EQ(answer->code(), code) << answer->message();
  }
  EXPECT_TRUE(stream.Finish().ok());
  return answers;
}

MATCHER_P(AreAllOnce, num, "") {
  for (const auto& [id, times] : arg) {
    if (times != 1) return false;
  }
  return arg.size() == num;
}

TEST_F(GraderAbuseTest, FloodIsReadAWindowAtATime) {
  constexpr uint64_t kSamples = 500;
  constexpr int kWindow = 64;  // grader.proto
  StartWarm({.slots = 1, .queue_limit = 1000, .cpu_limit = kLongCpu});
  {
    const auto stub = NewStub();
    PendingGrade block(*stub, Hangs());
    ASSERT_TRUE(AwaitRunning(1));
    StreamClient stream(*stub);
    Flood flood(stream, kSamples, Right());
    CellPool& pool = grader_->pool();
    EXPECT_TRUE(AwaitTrue([&] { return pool.num_waiting() == kWindow; })) << pool.num_waiting();
    EXPECT_FALSE(AwaitTrue([&] { return pool.num_waiting() > kWindow; }, absl::Milliseconds(500)));
    block.Cancel();
    EXPECT_THAT(AnswersOf(stream, grpc::StatusCode::OK), AreAllOnce(kSamples));
  }
  ExpectNoMoreThan(before_);
}

// Nothing runs for long here: it is the answers that nobody takes that stop the reading.
TEST_F(GraderAbuseTest, SlowReaderIsNotReadFromAndIsAnsweredInTheEnd) {
  constexpr uint64_t kSamples = 2000;
  {
    grpc::ChannelArguments small_window;
    small_window.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    small_window.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    const auto stub = v1::GraderService::NewStub(
        grpc::CreateCustomChannel(address_, grpc::InsecureChannelCredentials(), small_window));
    StreamClient stream(*stub);
    v1::GradeRequest refused = Right();
    refused.set_loophole(std::string(20000, 'x'));  // comes back in the error, up to 1 KiB
    Flood flood(stream, kSamples, refused);
    EXPECT_FALSE(AwaitTrue([&] { return flood.num_sent() == kSamples; }, absl::Seconds(1)));
    ExpectQuickAnswer();  // others are not held up
    EXPECT_LT(flood.num_sent(), kSamples);
    EXPECT_THAT(AnswersOf(stream, grpc::StatusCode::INVALID_ARGUMENT), AreAllOnce(kSamples));
  }
  ExpectNoMoreThan(before_);
}

}  // namespace
}  // namespace evilmoe
