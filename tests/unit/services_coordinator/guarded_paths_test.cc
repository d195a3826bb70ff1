// The coordinator's service over real connections: paths, and what could become one, in messages.
#include "common/hash.h"
#include "tests/unit/services_coordinator/rpc_guard_fixture.h"

namespace evilmoe {
namespace {

namespace fs = std::filesystem;
using Code = absl::StatusCode;
using GuardedPathsTest = RpcGuardTest;

TEST_F(GuardedPathsTest, NamesInMessagesNeverBecomePathsElsewhere) {
  ServeCoordinator({});
  const auto channel = Channel({});
  const std::set<std::string> before = Tree();
  for (const std::string& name :
       {std::string("../x"), std::string("a/../../x"), std::string("/tmp/x"), std::string("."), std::string(".."),
        std::string("a/b"), std::string("a\0b", 3), std::string(300, 'a')}) {
    EXPECT_EQ(Send(channel, "SubmitRun", Submission(name)).code(), Code::kInvalidArgument) << name;
    v1::SubmitRunRequest elsewhere = Submission("R");
    elsewhere.set_directory((folder_ / "runs").string() + "/" + name);
    if (name != "/tmp/x" && name != ".") {
      EXPECT_EQ(Send(channel, "SubmitRun", elsewhere).code(), Code::kInvalidArgument) << name;
    }
    v1::FetchAdapterRequest fetch;
    fetch.mutable_version()->set_run_id("R");
    fetch.mutable_version()->set_sha256(name);
    EXPECT_EQ(Send(channel, "FetchAdapter", fetch).code(), Code::kInvalidArgument) << name;
  }
  v1::SubmitRunRequest huge = Submission("R");
  huge.set_config_yaml(NanoYaml() + std::string(size_t{1} << 20, '#'));
  EXPECT_EQ(Send(channel, "SubmitRun", huge).code(), Code::kInvalidArgument);
  EXPECT_EQ(Tree(), before) << "nothing was made";
}

TEST_F(GuardedPathsTest, WorkersTrainersAndBatchesMayHaveAnyNameAndNoFile) {
  ServeCoordinator({});
  const auto channel = Channel({});
  ASSERT_EQ(Send(channel, "SubmitRun", Submission("R")), absl::OkStatus());
  const std::string name = "../../../x";
  v1::AcquireJobRequest acquire;
  acquire.set_trainer_id(name);
  acquire.set_trainer_name(name);
  acquire.set_host(name);
  ASSERT_EQ(Send(channel, "AcquireJob", acquire), absl::OkStatus());
  v1::PublishAdapterRequest publish;
  publish.mutable_fence()->set_run_id("R");
  publish.mutable_fence()->set_job_id("R.train");
  publish.mutable_fence()->set_incarnation(1);
  publish.mutable_version()->set_run_id("R");
  publish.mutable_version()->set_sha256(Sha256Hex("bytes"));
  publish.set_chunk("bytes");
  ASSERT_EQ(Send(channel, "PublishAdapter", publish), absl::OkStatus());
  const std::set<std::string> before = Tree();
  EXPECT_TRUE(before.contains((folder_ / "runs/R/adapters").string() + "/" + Sha256Hex("bytes") + ".safetensors"));
  v1::HeartbeatRequest heartbeat;
  heartbeat.set_worker_id(name);
  heartbeat.set_host(name);
  EXPECT_EQ(Send(channel, "Heartbeat", heartbeat), absl::OkStatus());
  v1::OpenBatchRequest batch;
  *batch.mutable_fence() = publish.fence();
  *batch.mutable_adapter() = publish.version();
  batch.set_batch_key(name);
  batch.mutable_sampling()->set_temperature(1);
  batch.mutable_sampling()->set_top_p(1);
  batch.mutable_sampling()->set_max_tokens(8);
  batch.add_groups()->add_prompt_ids(7);
  batch.mutable_groups(0)->set_num_samples(1);
  EXPECT_EQ(Send(channel, "OpenBatch", batch), absl::OkStatus());
  v1::RecordEventRequest event;
  *event.mutable_fence() = publish.fence();
  event.set_key(name);
  event.set_kind(name);
  event.set_payload_json("{}");
  EXPECT_EQ(Send(channel, "RecordEvent", event), absl::OkStatus());
  EXPECT_EQ(Tree(), before) << "no file was made";
}

TEST_F(GuardedPathsTest, FilesOfARunAreReadAndNoOthers) {
  ServeCoordinator({});
  const auto channel = Channel({});
  ASSERT_EQ(Send(channel, "SubmitRun", Submission("R")), absl::OkStatus());
  ASSERT_EQ(Send(channel, "SubmitRun", Submission("S")), absl::OkStatus());
  fs::create_symlink(File("admin.token"), folder_ / "runs/R/logs/link");
  fs::create_symlink("../../S", folder_ / "runs/R/logs/other");
  const auto read = [&](const std::string& path) {
    v1::ReadRunFileRequest request;
    request.set_run_id("R");
    request.set_path(path);
    return Send(channel, "ReadRunFile", request).code();
  };
  const auto list = [&](const std::string& path) {
    v1::ListRunFilesRequest request;
    request.set_run_id("R");
    request.set_folder(path);
    return Send(channel, "ListRunFiles", request).code();
  };
  EXPECT_EQ(read("config.yaml"), Code::kOk);
  EXPECT_EQ(list("logs"), Code::kOk);
  for (const std::string& path :
       {std::string("../S/config.yaml"), std::string("logs/../../S/config.yaml"), std::string("/etc/passwd"),
        File("admin.token").string(), std::string("logs/link"), std::string("logs/other/config.yaml"),
        std::string("config.yaml\0x", 13), std::string(300, 'a'), std::string(5000, 'a'), std::string("logs"),
        std::string("/proc/self/environ")}) {
    EXPECT_EQ(read(path), Code::kInvalidArgument) << path;
  }
  for (const std::string& path : {std::string(".."), std::string("../S"), std::string("/"), std::string("logs/other"),
                                  std::string("logs\0x", 6), std::string(300, 'a')}) {
    EXPECT_EQ(list(path), Code::kInvalidArgument) << path;
  }
  EXPECT_EQ(read("．．/S/config.yaml"), Code::kNotFound) << "a name like another";
}

}  // namespace
}  // namespace evilmoe
