#include <csignal>

#include "gmock/gmock.h"
#include "tests/unit/grader_sandbox/sandbox_test_kit.h"

namespace evilmoe {
namespace {

using enum VerdictKind;

TEST(SandboxViolationTest, NamesTheCall) {
  Cell cell({.zygote_binary = ZygoteBinary()});
  const Verdict chroot = RunAddOne(cell, Method("import os; os.chroot('/'); return x + 1"));
  EXPECT_EQ(chroot.kind, kSandboxViolation);
  EXPECT_EQ(chroot.syscall, "chroot");
  EXPECT_EQ(chroot.signal, SIGSYS);
  // The next run of the same zygote has nothing of it.
  EXPECT_EQ(RunAddOne(cell, Method("return x + 1")).syscall, "");
}

TEST(SandboxViolationTest, CannotBeSurvivedOrFaked) {
  Cell cell({.zygote_binary = ZygoteBinary()});
  const std::string blocked = "import os, signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGSYS})\n";
  EXPECT_EQ(RunAddOne(cell, blocked + Method("os.chroot('/'); return x + 1")).kind, kSandboxViolation);
  const Verdict caught = RunAddOne(cell, "import signal\nsignal.signal(signal.SIGSYS, signal.SIG_IGN)\n");
  EXPECT_EQ(caught.kind, kLoadError) << VerdictName(caught.kind);
  const Verdict faked = RunAddOne(cell, Method("import signal; signal.raise_signal(signal.SIGSYS)"));
  EXPECT_EQ(faked.kind, kRuntimeError) << VerdictName(faked.kind);
}

}  // namespace
}  // namespace evilmoe
