#include "grader_sandbox/grader_service.h"

#include <chrono>
#include <map>
#include <set>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "grader_sandbox/grader_client.h"
#include "grader_sandbox/grader_translation.h"
#include "grader_sandbox/problem_key.h"
#include "tests/unit/grader_sandbox/grader_service_fixture.h"
#include "tests/unit/grader_sandbox/sandbox_test_kit.h"

namespace evilmoe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class GraderServiceTest : public GraderServiceFixture {
 protected:
  static GradeTask Task(const std::string& code) {
    return {AddOne(), absl::StrCat("```python\n", code, "\n```"), "simple_overwrite_tests", "run_tests"};
  }
  absl::Time Soon() const { return clock_.Now() + absl::Seconds(60); }
  grpc::Status Grade(const v1::GradeRequest& request, v1::GradeResponse& response) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(Soon()));
    return NewStub()->Grade(&context, request, &response);
  }
};

TEST_F(GraderServiceTest, ClientGetsFactsAndVerdicts) {
  GraderClient client(address_, clock_);
  const absl::StatusOr<GradeResult> result =
      client.Grade(Task(Method("return x") + "def run_tests():\n    pass\n"), Soon());
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->facts.can_compile && result->facts.hint_pass && result->facts.defines_test_function);
  EXPECT_FALSE(result->facts.gt_correct);
  ASSERT_EQ(result->verdicts.size(), 4u);
  EXPECT_EQ(result->verdicts[0].fact, "gt_correct");
  EXPECT_EQ(result->verdicts[0].verdict.kind, VerdictKind::kWrongAnswer);
  EXPECT_EQ(result->verdicts[0].verdict.index, 0);
  EXPECT_EQ(metrics_.runs.Add({{"verdict", "PASS"}}).Value(), 3);
  EXPECT_EQ(metrics_.runs.Add({{"verdict", "WRONG_ANSWER"}}).Value(), 1);
}

TEST_F(GraderServiceTest, ForbiddenCallKeepsItsName) {
  GraderClient client(address_, clock_);
  GradeTask task = Task(Method("import os; os.chroot('/')"));
  task.loophole = "none";
  const absl::StatusOr<GradeResult> result = client.Grade(task, Soon());
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_EQ(result->verdicts.size(), 1u);
  EXPECT_EQ(result->verdicts[0].verdict.syscall, "chroot");
  EXPECT_EQ(metrics_.violations.Add({{"syscall", "chroot"}}).Value(), 1);
}

TEST_F(GraderServiceTest, ErrorsKeepTheirCode) {
  GraderClient client(address_, clock_);
  GradeTask task = Task("pass");
  task.loophole = "unheard_of";
  EXPECT_EQ(client.Grade(task, Soon()).status().code(), absl::StatusCode::kInvalidArgument);
  task = Task(Method("return x + 1"));
  task.problem.canonical_solution = Method("return x");
  EXPECT_EQ(client.Grade(task, Soon()).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(GraderServiceTest, ManyCallersAreAllAnswered) {
  GraderClient client(address_, clock_);
  std::vector<std::jthread> callers;
  for (int i = 0; i < 12; ++i) {
    callers.emplace_back([&, i] {
      const absl::StatusOr<GradeResult> result =
          client.Grade(Task(Method(i % 2 == 0 ? "return x + 1" : "return x")), Soon());
      ASSERT_TRUE(result.ok()) << result.status();
      EXPECT_EQ(result->facts.gt_correct, i % 2 == 0);
    });
  }
}

TEST_F(GraderServiceTest, ProblemIsKnownByItsKeyOnceItWasSent) {
  v1::GradeRequest brief = Right();
  brief.clear_problem();
  brief.set_problem_key(ProblemKey(AddOne()));
  v1::GradeResponse response;
  EXPECT_EQ(Grade(brief, response).error_code(), grpc::StatusCode::NOT_FOUND);
  ASSERT_TRUE(Grade(Right(), response).ok());
  response.Clear();
  const grpc::Status status = Grade(brief, response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_TRUE(response.facts().gt_correct());
}

// A key is not what a client says that it is, but what its problem is.
TEST_F(GraderServiceTest, ProblemCannotBeSentUnderTheKeyOfAnother) {
  v1::GradeRequest forged = Right();
  forged.mutable_problem()->clear_gt_answer();
  forged.mutable_problem()->add_gt_answer("assert Solution().f(x = 1) == 1");
  forged.mutable_problem()->set_canonical_solution(Method("return x"));
  forged.set_problem_key(ProblemKey(AddOne()));
  v1::GradeResponse response;
  ASSERT_TRUE(Grade(forged, response).ok());
  EXPECT_FALSE(response.facts().gt_correct());
  v1::GradeRequest brief = Right();
  brief.clear_problem();
  brief.set_problem_key(ProblemKey(AddOne()));
  EXPECT_EQ(Grade(brief, response).error_code(), grpc::StatusCode::NOT_FOUND);
}

// Keeps the requests; knows problems until it is told to forget them.
class RecordingService final : public v1::GraderService::Service {
 public:
  grpc::Status Grade(grpc::ServerContext*, const v1::GradeRequest* request, v1::GradeResponse*) override {
    const MutexLock lock(mu_);
    const bool whole = request->problem().gt_answer_size() > 0;
    kinds_.push_back(whole ? "whole" : "key");
    if (!whole && !known_.contains(request->problem_key())) return {grpc::StatusCode::NOT_FOUND, "not known"};
    if (whole) known_.insert(ProblemKey(FromProto(*request).problem));
    return grpc::Status::OK;
  }
  void Forget() {
    const MutexLock lock(mu_);
    known_.clear();
  }
  std::vector<std::string> kinds() {
    const MutexLock lock(mu_);
    return kinds_;
  }

 private:
  Mutex mu_;
  std::vector<std::string> kinds_ ABSL_GUARDED_BY(mu_);
  std::set<std::string> known_ ABSL_GUARDED_BY(mu_);
};

TEST_F(GraderServiceTest, ClientSendsAProblemOnceAndAgainToWhoForgotIt) {
  listening_.reset();
  RecordingService service;
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address_, grpc::InsecureServerCredentials());
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  ASSERT_NE(server, nullptr);
  GraderClient client(address_, clock_);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(client.Grade(Task("pass"), Soon()).ok());
  EXPECT_THAT(service.kinds(), ElementsAre("whole", "key", "key"));
  service.Forget();
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(client.Grade(Task("pass"), Soon()).ok());
  EXPECT_THAT(service.kinds(), ElementsAre("whole", "key", "key", "key", "whole", "key"));
  GradeTask other = Task("pass");
  other.problem.gt_answer.pop_back();
  ASSERT_TRUE(client.Grade(other, Soon()).ok());
  EXPECT_EQ(service.kinds().back(), "whole");
}

TEST_F(GraderServiceTest, ClientOutlivesItsGrader) {
  GraderClient client(address_, clock_);
  ASSERT_TRUE(client.Grade(Task(Method("return x + 1")), Soon()).ok());
  Start(options_);
  const absl::StatusOr<GradeResult> result = client.Grade(Task(Method("return x + 1")), Soon());
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->facts.gt_correct);
}

TEST_F(GraderServiceTest, StreamAnswersAsSamplesAreDone) {
  const auto stub = NewStub();
  StreamClient stream(*stub);
  ASSERT_TRUE(stream.Send(1, Sleeps("1.5")));
  ASSERT_TRUE(stream.Send(2, RequestFor(Method("return x"))));
  v1::GradeRequest refused = Right();
  refused.set_loophole("unheard_of");
  ASSERT_TRUE(stream.Send(3, refused));
  stream.SendDone();
  std::vector<uint64_t> order;
  std::map<uint64_t, v1::GradeStreamResponse> answers;
  while (const auto answer = stream.Read()) {
    order.push_back(answer->id());
    answers[answer->id()] = *answer;
  }
  EXPECT_TRUE(stream.Finish().ok());
  EXPECT_THAT(order, ElementsAre(2, 3, 1));
  EXPECT_TRUE(answers[1].response().facts().gt_correct());
  EXPECT_TRUE(answers[2].response().facts().can_compile());
  EXPECT_FALSE(answers[2].response().facts().gt_correct());
  EXPECT_EQ(answers[3].code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_FALSE(answers[3].has_response());
}

TEST_F(GraderServiceTest, StreamWithoutSamplesEndsWithOk) {
  const auto stub = NewStub();
  StreamClient stream(*stub);
  stream.SendDone();
  EXPECT_FALSE(stream.Read().has_value());
  EXPECT_TRUE(stream.Finish().ok());
}

TEST_F(GraderServiceTest, SecondSampleOfAnIdIsRefusedAndTheFirstIsAnswered) {
  const auto stub = NewStub();
  StreamClient stream(*stub);
  ASSERT_TRUE(stream.Send(7, Sleeps("0.5")));
  ASSERT_TRUE(stream.Send(7, Right()));
  const auto refused = stream.Read();
  ASSERT_TRUE(refused.has_value());
  EXPECT_EQ(refused->id(), 7u);
  EXPECT_EQ(refused->code(), grpc::StatusCode::ALREADY_EXISTS);
  EXPECT_FALSE(refused->has_response());
  const auto first = stream.Read();
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(first->code(), 0) << first->message();
  EXPECT_TRUE(first->response().facts().gt_correct());
  ASSERT_TRUE(stream.Send(7, Right()));  // free again
  stream.SendDone();
  EXPECT_EQ(stream.Read()->code(), 0);
  EXPECT_FALSE(stream.Read().has_value());
  EXPECT_TRUE(stream.Finish().ok());
}

TEST_F(GraderServiceTest, StreamsThatFindTheQueueFullAnswerEachSampleOnce) {
  Start({.slots = 2, .queue_limit = 3});
  std::vector<std::jthread> clients;
  for (int client = 0; client < 4; ++client) {
    clients.emplace_back([&] {
      constexpr uint64_t kSamples = 100;
      const auto stub = NewStub();
      StreamClient stream(*stub);
      std::jthread sender([&] {
        for (uint64_t id = 0; id < kSamples; ++id) EXPECT_TRUE(stream.Send(id, Right()));
        stream.SendDone();
      });
      std::map<uint64_t, int> answers;
      while (const auto answer = stream.Read()) {
        ++answers[answer->id()];
        EXPECT_TRUE(answer->code() == 0 || answer->code() == grpc::StatusCode::RESOURCE_EXHAUSTED) << answer->code();
      }
      EXPECT_EQ(answers.size(), kSamples);
      for (const auto& [id, num] : answers) EXPECT_EQ(num, 1) << "sample " << id;
      sender.join();
      EXPECT_TRUE(stream.Finish().ok());
    });
  }
}

// Alone at the grader, a stream waits for room instead of being refused.
TEST_F(GraderServiceTest, StreamWaitsForItsOwnSamples) {
  Start({.slots = 2, .queue_limit = 1});
  const auto stub = NewStub();
  StreamClient stream(*stub);
  for (uint64_t id = 0; id < 60; ++id) ASSERT_TRUE(stream.Send(id, Right()));
  stream.SendDone();
  std::map<int, int> by_code;
  while (const auto answer = stream.Read()) ++by_code[answer->code()];
  EXPECT_TRUE(stream.Finish().ok());
  EXPECT_EQ(by_code[0], 60) << by_code[grpc::StatusCode::RESOURCE_EXHAUSTED] << " were refused";
}

TEST_F(GraderServiceTest, HealthSaysWhatRuns) {
  Start({.slots = 2, .cpu_limit = kLongCpu});
  v1::HealthResponse health = Health();
  EXPECT_TRUE(health.serving() && health.self_check_ok());
  EXPECT_EQ(health.tier(), TierName(TestHost().tier()));
  EXPECT_EQ(health.cgroup(), "none");
  EXPECT_EQ(health.landlock_version(), TestHost().landlock_version());
  EXPECT_EQ(health.slots(), 2);
  EXPECT_EQ(health.running() + health.waiting(), 0);
  const auto stub = NewStub();
  StreamClient stream(*stub);
  for (uint64_t id = 0; id < 5; ++id) ASSERT_TRUE(stream.Send(id, Hangs()));
  EXPECT_TRUE(AwaitTrue([&] { return (health = Health()).running() == 2 && health.waiting() == 3; }))
      << health.running() << " run, " << health.waiting() << " wait";
}

TEST_F(GraderServiceTest, SelfCheckSaysHowEachCaseWent) {
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(Soon()));
  v1::SelfCheckResponse response;
  const grpc::Status status = NewStub()->SelfCheck(&context, {}, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_TRUE(response.ok());
  EXPECT_GE(response.cases_size(), 10);
  for (const auto& one : response.cases()) {
    EXPECT_TRUE(one.ok()) << one.name() << " got " << one.verdict() << ", expected " << one.expected();
    EXPECT_FALSE(one.name().empty() || one.verdict().empty());
  }
  EXPECT_TRUE(Health().serving());
  EXPECT_EQ(metrics_.self_check_ok.Value(), 1) << "whoever scrapes it is told";
}

TEST_F(GraderServiceTest, DrainAnswersWhatIsInFlightAndTakesNothingNew) {
  const auto stub = NewStub();
  StreamClient stream(*stub);
  ASSERT_TRUE(stream.Send(1, Sleeps("1.5")));
  v1::GradeResponse unary_response;
  grpc::Status unary_status;
  std::jthread unary([&] { unary_status = Grade(Sleeps("1.5"), unary_response); });
  ASSERT_TRUE(AwaitRunning(2));
  EXPECT_TRUE(listening_->healthy());
  std::jthread drain([&] { listening_->Drain(absl::Seconds(60)); });
  ASSERT_TRUE(AwaitTrue([&] { return !listening_->healthy(); }));
  v1::GradeResponse response;
  EXPECT_EQ(Grade(Right(), response).error_code(), grpc::StatusCode::UNAVAILABLE);
  ASSERT_TRUE(stream.Send(2, Right()));  // a stream in flight takes nothing new either
  stream.SendDone();
  std::map<uint64_t, int> codes;
  while (const auto answer = stream.Read()) codes[answer->id()] = answer->code();
  EXPECT_TRUE(stream.Finish().ok());
  EXPECT_EQ(codes, (std::map<uint64_t, int>{{1, 0}, {2, grpc::StatusCode::UNAVAILABLE}}));
  unary.join();
  EXPECT_TRUE(unary_status.ok()) << unary_status.error_message();
  EXPECT_TRUE(unary_response.facts().gt_correct());
}

TEST_F(GraderServiceTest, EndsWithStreamsOpen) {
  Start({.slots = 2, .cpu_limit = kLongCpu});
  const auto stub = NewStub();
  StreamClient idle(*stub);
  StreamClient busy(*stub);
  for (uint64_t id = 0; id < 5; ++id) ASSERT_TRUE(busy.Send(id, Hangs()));
  ASSERT_TRUE(AwaitRunning(2));
  const auto start = std::chrono::steady_clock::now();
  listening_.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - start, absl::ToChronoSeconds(kLongWall / 4));
  // What it has not read yet when it stops may be answered still, but not graded.
  while (const auto answer = busy.Read()) EXPECT_EQ(answer->code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_FALSE(busy.Finish().ok());
  EXPECT_FALSE(idle.Finish().ok());
}

TEST(GraderClientTest, NobodyThereIsUnavailable) {
  const RealClock clock;
  GraderClient client("unix:/nowhere/grader.sock", clock);
  const absl::Status status = client.Grade({AddOne(), "x"}, clock.Now() + absl::Milliseconds(200)).status();
  EXPECT_TRUE(absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("/nowhere/grader.sock"));
}

}  // namespace
}  // namespace evilmoe
