#include "tests/unit/layering/layering.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/file.h"

namespace evilmoe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(Layering, HoldsInThisTree) {
  const LayeringReport report = CheckLayering(EVILMOE_SOURCE_DIR);
  EXPECT_GT(report.num_files, 20);
  EXPECT_THAT(report.problems, IsEmpty());
}

TEST(Layering, FindsWhatIsPlantedInATree) {
  const std::filesystem::path root = std::filesystem::path(::testing::TempDir()) / "layering_planted";
  std::filesystem::remove_all(root);
  for (const char* folder : {"common", "policy/sampler", "tests"}) std::filesystem::create_directories(root / folder);
  ASSERT_TRUE(
      WriteFileAtomic(root / "common/clock.h", "#pragma once\n#include \"policy/qwen3.h\"\n").ok());
  ASSERT_TRUE(
      WriteFileAtomic(root / "policy/sampler/sampler.cc", "#include <ATen/ATen.h>\n#include \"common/clock.h\"\n").ok());
  ASSERT_TRUE(WriteFileAtomic(root / "policy/notes.md", "#include \"services/x.h\"\n").ok());
  ASSERT_TRUE(WriteFileAtomic(root / "tests/x.cc", "#include <grpcpp/grpcpp.h>\n").ok());
  const LayeringReport report = CheckLayering(root);
  std::filesystem::remove_all(root);
  EXPECT_EQ(report.num_files, 2);
  EXPECT_THAT(report.problems, ElementsAre(
      "common/clock.h:2: includes policy/qwen3.h: common/ must not include policy/"));
}

struct Case {
  std::string name, path, source;
  std::string want;  // part of the only problem; empty = none
};

class LayeringRuleTest : public ::testing::TestWithParam<Case> {};

TEST_P(LayeringRuleTest, Judges) {
  const std::vector<std::string> problems = LayeringProblemsOf(GetParam().path, GetParam().source);
  if (GetParam().want.empty()) {
    EXPECT_THAT(problems, IsEmpty());
  } else {
    EXPECT_THAT(problems, ElementsAre(HasSubstr(GetParam().want)));
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, LayeringRuleTest, ::testing::ValuesIn(std::vector<Case>{
    {"Downwards", "services/ctl/verbs.cc", "#include \"trainer/run_config.h\"", ""},
    {"Upwards", "trainer/loop.cc", "#include \"services/ctl/verbs.h\"", "trainer/ must not include services/"},
    {"RunsBelowTheCoordinator", "services/coordinator/a.cc", "#include \"services/runs/run_feed.h\"", ""},
    {"CtlBesideTheCoordinator", "services/coordinator/a.cc", "#include \"services/ctl/run_view.h\"",
     "services/coordinator/ must not include services/ctl/"},
    {"PageOverTheCoordinator", "services/page/a.cc", "#include \"services/coordinator/coordinator_core.h\"", ""},
    {"PageInTheCoordinatorsProcess", "services/coordinator/main.cc", "#include \"services/page/page_server.h\"", ""},
    {"CoordinatorUnderThePage", "services/coordinator/a.cc", "#include \"services/page/page_server.h\"",
     "services/coordinator/ must not include services/page/"},
    {"RunsUnderAll", "services/runs/a.cc", "#include \"services/report/embed.h\"",
     "services/runs/ must not include services/report/"},
    {"Beside", "policy/a.cc", "#include \"environment/facts.h\"", "policy/ must not include environment/"},
    {"AngleBrackets", "policy/a.cc", "#  include <trainer/a.h>", "policy/ must not include trainer/"},
    {"Tests", "policy/a.cc", "#include \"tests/fakes/fake_clock.h\"", "no product code may include"},
    {"DatasetOverTheSandbox", "dataset/build.cc", "#include \"grader_sandbox/grader.h\"", ""},
    {"SandboxUnderTheDataset", "grader_sandbox/a.cc", "#include \"dataset/build.h\"",
     "grader_sandbox/ must not include dataset/"},
    {"LineNumber", "policy/a.cc", "\n\n#include \"trainer/a.h\"", "policy/a.cc:3: "},
    {"TorchBelow", "policy/a.h", "#include <torch/types.h>", ""},
    {"TorchInServices", "services/a.h", "#include <ATen/ATen.h>", "includes ATen/ATen.h: LibTorch"},
    {"TorchInCommon", "common/a.h", "#include <c10/util/Exception.h>", "LibTorch"},
    {"GrpcInService", "grader_sandbox/grader_service.cc", "#include <grpcpp/grpcpp.h>", ""},
    {"GrpcInClient", "rollout_workers/worker_client.h", "#include \"evilmoe/v1/coordinator.grpc.pb.h\"", ""},
    {"GrpcInMain", "trainer/main.cc", "#include <grpcpp/grpcpp.h>", ""},
    {"GrpcInNameThatEndsInMain", "trainer/domain.cc", "#include <grpcpp/grpcpp.h>", "gRPC"},
    {"GrpcInCore", "services/coordinator/core.cc", "#include \"evilmoe/v1/coordinator.grpc.pb.h\"", "gRPC"},
    {"ProtoBelowItsLayer", "environment/a.h", "#include \"evilmoe/v1/grader.pb.h\"",
     "environment/ must not include proto/"},
    {"IsolationAtHome", "grader_sandbox/os_confine.cc", "#include <sys/mount.h>\n  fork();", ""},
    {"MountHeader", "grader_sandbox/cell.cc", "#include <sys/mount.h>", "isolation"},
    {"Fork", "services/ctl/process.cc", "const pid_t child = fork();", "calls fork()"},
    {"QualifiedClone", "trainer/a.cc", "  ::clone(f, stack, 0, nullptr);", "calls clone()"},
    {"StatementClone", "trainer/a.cc", "unshare(flags);", "calls unshare()"},
    {"TensorClone", "policy/a.cc", "auto b = a.clone(); auto c = p->clone(); at::clone(a);", ""},
    {"Comment", "policy/a.cc", "x();  // then fork() and mount()", ""},
    {"Text", "services/a.cc", "say(\"fork() \\\" mount()\");", ""},
    {"LongerName", "services/a.cc", "pitchfork(); remount(x);", ""}}),
    [](const auto& c) { return c.param.name; });

}  // namespace
}  // namespace evilmoe
