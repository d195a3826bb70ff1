#include <unistd.h>

#include "gmock/gmock.h"

#include "grader_sandbox/sandbox_host.h"
#include "tests/unit/grader_sandbox/sandbox_test_kit.h"

namespace evilmoe {
namespace {

// A cell of the tier, or why this machine has none.
class TierTest : public ::testing::TestWithParam<Tier> {
 protected:
  void SetUp() override {
    absl::StatusOr<std::unique_ptr<SandboxHost>> host =
        SandboxHost::Probe({.zygote_binary = ZygoteBinary(), .tier = GetParam()});
    if (!host.ok()) GTEST_SKIP() << host.status().message();
    host_ = *std::move(host);
    Cell::Options options = host_->CellOptions(100);
    options.with_ctypes = true;
    cell_ = std::make_unique<Cell>(options);
  }
  std::string Get(const std::string& expression) {
    RecordingJudge judge(1);
    const RunRequest request{.source = "import ctypes, os, sys\nlibc = ctypes.CDLL(None, use_errno=True)\n" +
                                       Method("return " + expression),
                             .name = "f",
                             .encoded_calls = {EncodeCall({.method = "f", .positional = {Value(MakePyInt(1))}}).value()}};
    const absl::StatusOr<RunOutcome> outcome = cell_->Run(request, {}, judge, GoOn);
    EXPECT_TRUE(outcome.ok()) << outcome.status();
    if (judge.values().empty()) return outcome.ok() ? outcome->verdict.error : "lost";
    return WriteLiteral(judge.values()[0]).value_or("no literal");
  }

  std::unique_ptr<SandboxHost> host_;
  std::unique_ptr<Cell> cell_;
};

TEST_P(TierTest, RunsWhatIsRight) {
  EXPECT_EQ(RunAddOne(*cell_, Method("return x + 1")).kind, VerdictKind::kPass);
  EXPECT_EQ(RunAddOne(*cell_, Method("return x")).kind, VerdictKind::kWrongAnswer);
}

TEST_P(TierTest, IsNobodyInParticular) {
  const std::string uid = Get("os.getuid()");
  if (GetParam() == Tier::kC) {
    EXPECT_EQ(uid == "0", geteuid() == 0 && !host_->own_users()) << uid;
    EXPECT_NE(Get("os.getpid()"), "1");
  } else {
    EXPECT_EQ(uid, "65534");
    EXPECT_EQ(Get("os.getpid()"), "1");
    EXPECT_EQ(Get("os.uname().nodename"), "'sandbox'");
  }
}

INSTANTIATE_TEST_SUITE_P(Tiers, TierTest, ::testing::Values(Tier::kA, Tier::kB, Tier::kC),
                         [](const auto& row) { return TierName(row.param); });

}  // namespace
}  // namespace evilmoe
