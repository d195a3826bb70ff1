#include "grader_sandbox/grader_service.h"

#include <unistd.h>

#include <filesystem>
#include <thread>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "grader_sandbox/grader_client.h"
#include "grader_sandbox/grader_metrics.h"
#include "tests/unit/grader_sandbox/sandbox_test_kit.h"

namespace evilmoe {
namespace {

// A real server on a Unix socket in a folder of its own.
class GraderServiceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "/evilmoe_grader_XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
    address_ = absl::StrCat("unix:", (folder_ / "grader.sock").string());
    absl::StatusOr<std::unique_ptr<ListeningGrader>> listening = ListeningGrader::Start(address_, 8, grader_);
    ASSERT_TRUE(listening.ok()) << listening.status();
    listening_ = *std::move(listening);
  }
  void TearDown() override {
    listening_.reset();
    std::filesystem::remove_all(folder_);
  }
  static GradeTask Task(const std::string& code) {
    return {AddOne(), absl::StrCat("```python\n", code, "\n```"), "simple_overwrite_tests", "run_tests"};
  }

  const RealClock clock_;
  const PythonComparer comparer_;
  prometheus::Registry registry_;
  GraderMetrics metrics_{registry_};
  LocalGrader grader_{{.zygote_binary = ZygoteBinary(), .slots = 2}, comparer_, clock_, &metrics_};
  std::filesystem::path folder_;
  std::string address_;
  std::unique_ptr<ListeningGrader> listening_;
};

TEST_F(GraderServiceTest, ClientGetsFactsAndVerdicts) {
  GraderClient client(address_, clock_);
  const absl::StatusOr<GradeResult> result =
      client.Grade(Task(Method("return x") + "def run_tests():\n    pass\n"), clock_.Now() + absl::Seconds(60));
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
  const absl::StatusOr<GradeResult> result = client.Grade(task, clock_.Now() + absl::Seconds(60));
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_EQ(result->verdicts.size(), 1u);
  EXPECT_EQ(result->verdicts[0].verdict.syscall, "chroot");
  EXPECT_EQ(metrics_.violations.Add({{"syscall", "chroot"}}).Value(), 1);
}

TEST_F(GraderServiceTest, ErrorsKeepTheirCode) {
  GraderClient client(address_, clock_);
  GradeTask task = Task("pass");
  task.loophole = "unheard_of";
  EXPECT_EQ(client.Grade(task, clock_.Now() + absl::Seconds(60)).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(GraderServiceTest, CallThatItsClientGivesUpEndsTheRun) {
  GraderClient client(address_, clock_);
  ASSERT_TRUE(client.Grade(Task(Method("return x + 1")), clock_.Now() + absl::Seconds(60)).ok());
  const absl::Status status =
      client.Grade(Task("import time\ntime.sleep(1000)"), clock_.Now() + absl::Milliseconds(300)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded) << status;
  // Both slots are free again long before the run's own limit of seven seconds.
  std::vector<std::jthread> callers;
  for (int i = 0; i < 2; ++i) {
    callers.emplace_back([&] {
      EXPECT_TRUE(client.Grade(Task(Method("return x + 1")), clock_.Now() + absl::Seconds(60)).ok());
    });
  }
}

TEST_F(GraderServiceTest, ManyCallersAreAllAnswered) {
  GraderClient client(address_, clock_);
  std::vector<std::jthread> callers;
  for (int i = 0; i < 12; ++i) {
    callers.emplace_back([&, i] {
      const absl::StatusOr<GradeResult> result =
          client.Grade(Task(Method(i % 2 == 0 ? "return x + 1" : "return x")), clock_.Now() + absl::Seconds(60));
      ASSERT_TRUE(result.ok()) << result.status();
      EXPECT_EQ(result->facts.gt_correct, i % 2 == 0);
    });
  }
}

TEST(GraderClientTest, NobodyThereIsUnavailable) {
  const RealClock clock;
  GraderClient client("unix:/nowhere/grader.sock", clock);
  const absl::Status status = client.Grade({AddOne(), "x"}, clock.Now() + absl::Milliseconds(200)).status();
  EXPECT_TRUE(absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status)) << status;
}

}  // namespace
}  // namespace evilmoe
