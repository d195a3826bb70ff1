#include "grader_sandbox/os_confine.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace evilmoe {
namespace {

// In a process of its own: confines it, then ends with 0 when `attempt` returns true.
void ExitConfined(bool (*attempt)()) {
  const absl::StatusOr<bool> denied = DenyFiles();
  if (!denied.ok() || !*denied) _exit(1);
  _exit(attempt() ? 0 : 2);
}

struct DeniedCase {
  const char* name;
  bool (*attempt)();  // true: refused, and for the right reason
};

class DenyFilesTest : public ::testing::TestWithParam<DeniedCase> {};

TEST_P(DenyFilesTest, IsRefused) {
  constexpr int kAskVersion = 1;
  if (syscall(SYS_landlock_create_ruleset, nullptr, 0, kAskVersion) < 0) GTEST_SKIP() << "this kernel has no Landlock";
  EXPECT_EXIT(ExitConfined(GetParam().attempt), ::testing::ExitedWithCode(0), "");
}

bool Refused(int64_t result) { return result < 0 && (errno == EACCES || errno == EPERM); }

INSTANTIATE_TEST_SUITE_P(
    Cases, DenyFilesTest,
    ::testing::ValuesIn(std::vector<DeniedCase>{
        {"ReadAFile", [] { return Refused(open("/etc/passwd", O_RDONLY)); }},
        {"ListAFolder", [] { return Refused(open("/", O_RDONLY | O_DIRECTORY)); }},
        {"MakeAFile", [] { return Refused(open("/tmp/evilmoe_os_confine_test", O_CREAT | O_WRONLY, 0600)); }},
        {"MakeAFolder", [] { return Refused(mkdir("/tmp/evilmoe_os_confine_test", 0700)); }},
        {"Execute", [] { return Refused(execl("/bin/true", "true", nullptr)); }},
        {"OpenFilesStayOpen", [] { return write(STDERR_FILENO, "", 0) == 0; }},
        {"OwnSignalsArrive", [] { return signal(SIGUSR1, SIG_IGN) != SIG_ERR && kill(getpid(), SIGUSR1) == 0; }},
    }),
    [](const auto& row) { return std::string(row.param.name); });

TEST(SyscallNameTest, KnowsThisMachinesCalls) {
  EXPECT_EQ(SyscallName(SYS_chroot), "chroot");
  EXPECT_EQ(SyscallName(-1), "");
  EXPECT_EQ(SyscallName(1'000'000), "");
}

}  // namespace
}  // namespace evilmoe
