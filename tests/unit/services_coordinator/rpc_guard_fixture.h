#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <set>
#include <string>

#include "common/file.h"
#include "proto/security/secure_channel_client.h"
#include "services/coordinator/coordinator_service.h"
#include "services/coordinator/run_admission.h"
#include "tests/fakes/memory_store.h"
#include "tests/unit/proto_security/secure_fixture.h"
#include "tests/unit/services_coordinator/raw_call.h"
#include "trainer/run_config.h"

namespace evilmoe {

// The coordinator's service behind its guard, on a port of its own, and calls of it as bytes.
class RpcGuardTest : public SecureFixture {
 protected:
  void SetUp() override {
    SecureFixture::SetUp();
    std::filesystem::create_directories(folder_ / "runs");
    auto core = CoordinatorCore::Create(store_, {}, clock_, logger_, metrics_);
    ASSERT_TRUE(core.ok()) << core.status();
    core_ = *std::move(core);
  }
  void TearDown() override { Stop(); }
  void Stop() {
    core_->Stop();  // answers what waits
    StopServing();
  }
  void ServeCoordinator(const ServerSecurity& security, const CallLimits& limits = {}) {
    Guard(security.tokens, limits);
    coordinator_ = std::make_unique<CoordinatorServiceImpl>(
        *core_, metrics_,
        CoordinatorChecks{.guard = guard_.get(),
                          .run = [this](RunRecord& run) { return admission_.Admit(run); },
                          .job = [this](const JobRecord& job) { return admission_.Admit(job); }});
    Listen(security, *coordinator_, limits);
  }
  std::shared_ptr<grpc::Channel> Channel(const ChannelSecurity& security) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetMaxReceiveMessageSize(-1);
    const auto channel = OpenChannel(address_, security, arguments);
    EXPECT_TRUE(channel.ok()) << channel.status();
    return channel.value();
  }
  absl::Status Call(const ChannelSecurity& security, const std::string& method, const std::string& bytes = "") {
    return RawCall(Channel(security), MethodPath(method), bytes).status;
  }
  template <typename Request>
  static absl::Status Send(const std::shared_ptr<grpc::Channel>& channel, const char* method, const Request& request) {
    return RawCall(channel, MethodPath(method), request.SerializeAsString()).status;
  }
  // Everything below the scratch folder.
  std::set<std::string> Tree() const {
    std::set<std::string> paths;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_.path())) {
      paths.insert(entry.path().string());
    }
    return paths;
  }
  static std::string NanoYaml() {
    const std::filesystem::path file = std::filesystem::path(EVILMOE_SOURCE_DIR) / "examples/nano/run.yaml";
    return ToYaml(ParseRunConfig(ReadFile(file).value_or(""), "run.yaml", file.parent_path()).value());
  }
  static v1::SubmitRunRequest Submission(const std::string& run_id) {
    v1::SubmitRunRequest submit;
    submit.set_run_id(run_id);
    submit.set_config_yaml(NanoYaml());
    return submit;
  }

  MemoryStore store_;
  prometheus::Registry registry_;
  CoordinatorMetrics metrics_{registry_};
  Logger logger_ = Logger::Open("/dev/null", "test", clock_).value();
  const RunAdmission admission_{
      {.runs = folder_ / "runs", .roots = {std::filesystem::path(EVILMOE_SOURCE_DIR) / "examples"}}};
  std::unique_ptr<CoordinatorCore> core_;
  std::unique_ptr<CoordinatorServiceImpl> coordinator_;
};

}  // namespace evilmoe
