#include "tests/unit/proto_security/certificates_kit.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "common/child_process.h"
#include "common/file.h"
#include "gtest/gtest.h"

namespace evilmoe {

ScratchFolder::ScratchFolder() {
  std::string pattern = (std::filesystem::path(::testing::TempDir()) / "security_XXXXXX").string();
  EXPECT_NE(mkdtemp(pattern.data()), nullptr);
  path_ = pattern;
}

ScratchFolder::~ScratchFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void MakeCertificates(const std::filesystem::path& folder, const std::vector<std::string>& more_arguments) {
  ProcessSpec spec{.binary = std::filesystem::path(EVILMOE_SOURCE_DIR) / "scripts/make_certificates",
                   .arguments = {folder.string()},
                   .output = folder.string() + ".log"};
  spec.arguments.insert(spec.arguments.end(), more_arguments.begin(), more_arguments.end());
  const absl::StatusOr<pid_t> pid = Spawn(spec);
  ASSERT_TRUE(pid.ok()) << pid.status();
  int status = 0;
  ASSERT_EQ(waitpid(*pid, &status, 0), *pid);
  ASSERT_EQ(status, 0) << DescribeExit(status) << "\n" << ReadFile(spec.output).value_or("");
}

}  // namespace evilmoe
