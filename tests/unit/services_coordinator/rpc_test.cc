#include <thread>

#include "proto/security/listening_service.h"
#include "services/coordinator/coordinator_service.h"
#include "services/coordinator/coordinator_translation.h"
#include "services/coordinator/tick_loop.h"
#include "tests/unit/services_coordinator/coordinator_fixture.h"
#include "tests/unit/services_coordinator/rpc_run.h"

namespace evilmoe {
namespace {

using ::testing::HasSubstr;
using Code = absl::StatusCode;

class RpcTest : public CoordinatorFixture, protected RpcRun {
 protected:
  RpcTest() {
    Serve();
    client_ = std::make_unique<CoordinatorClient>(
        CoordinatorClientOptions{.address = Address(), .retry_budget = absl::Seconds(30)});
  }
  ~RpcTest() override { StopServing(); }

  std::string Address() const { return "unix:" + (folder_ / "c.sock").string(); }
  absl::StatusOr<ListeningServer> ListenAt(const std::string& address) {
    return StartListening({.listen = {.addresses = {address}}}, {service_.get()}, absl::UnixEpoch());
  }
  void Serve() {
    service_ = std::make_unique<CoordinatorServiceImpl>(core_->core(), metrics_);
    auto listening = ListenAt(Address());
    ASSERT_TRUE(listening.ok()) << listening.status();
    server_ = std::move(listening->server);
    ticks_ = std::make_unique<TickLoop>(core_->core(), metrics_, logger_, folder_);
  }
  void StopServing() {
    core_->Stop();
    server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(2));
    server_.reset();
    ticks_.reset();
  }

  std::unique_ptr<CoordinatorServiceImpl> service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<TickLoop> ticks_;
};

TEST_F(RpcTest, AGroupGoesThereAndBack) {
  StartRun(folder_);
  RegisterOverRpc();
  EXPECT_EQ(client_->FetchAdapter(version_).value(), bytes_);
  const auto leases = client_->LeaseGroups(LeaseRequest(1));
  ASSERT_TRUE(leases.ok()) << leases.status();
  ASSERT_EQ(leases->leases_size(), 1);
  EXPECT_EQ(leases->config_yaml(), ConfigYaml());
  EXPECT_EQ(leases->sampling().max_tokens(), 8);
  EXPECT_EQ(leases->adapter().sha256(), version_.sha256());
  EXPECT_EQ(leases->leases(0).group().prompt_ids(0), 7);
  ASSERT_TRUE(client_->CompleteGroup(Completion(leases->leases(0))).ok());
  EXPECT_EQ(client_->CompleteGroup(Completion(leases->leases(0))).status().code(), Code::kAborted);
  v1::FetchGroupsRequest fetch;
  *fetch.mutable_fence() = job_fence_;
  fetch.set_batch_key("step/0");
  const auto fetched = client_->FetchGroups(fetch);
  ASSERT_TRUE(fetched.ok()) << fetched.status();
  EXPECT_EQ(fetched->num_groups(), 2);
  EXPECT_EQ(fetched->num_finished(), 1);
  EXPECT_EQ(fetched->groups(0).samples(0).text(), "t");
  EXPECT_EQ(registry_.Collect().empty(), false);
}

TEST_F(RpcTest, AWorkerLivesThroughARestart) {
  StartRun(folder_);
  RegisterOverRpc();
  const auto leases = client_->LeaseGroups(LeaseRequest(2));
  ASSERT_EQ(leases->leases_size(), 2);
  StopServing();
  absl::Status heartbeat_status = absl::UnknownError("not called");
  {
    const std::jthread worker([&] {  // calls while nobody serves
      v1::HeartbeatRequest heartbeat;
      heartbeat.set_worker_id("w");
      for (const v1::Lease& lease : leases->leases()) heartbeat.add_lease_ids(lease.lease_id());
      const auto response = client_->Heartbeat(heartbeat);
      heartbeat_status = response.ok() && response->lost_lease_ids().empty() ? absl::OkStatus() : response.status();
    });
    Restart();
    Serve();
  }
  EXPECT_TRUE(heartbeat_status.ok()) << heartbeat_status;
  const auto refused = client_->CompleteGroup(Completion(leases->leases(0)));
  EXPECT_EQ(refused.status().code(), Code::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("unacknowledged"));
  RegisterOverRpc();
  for (const v1::Lease& lease : leases->leases()) EXPECT_TRUE(client_->CompleteGroup(Completion(lease)).ok());
}

TEST_F(RpcTest, StopsWhileManyWait) {
  std::vector<std::jthread> waiting;
  std::vector<absl::Status> statuses(24);
  for (size_t i = 0; i < statuses.size(); ++i) {
    waiting.emplace_back([this, i, &statuses] {
      CoordinatorClient impatient({.address = Address(), .retry_budget = absl::ZeroDuration()});
      v1::AcquireJobRequest request;
      request.set_trainer_id("T" + std::to_string(i));
      request.set_wait_ms(30000);
      statuses[i] = impatient.AcquireJob(request).status();
    });
  }
  // Answered although all of them wait.
  EXPECT_TRUE(client_->ListRuns({}).ok());
  const auto start = std::chrono::steady_clock::now();
  core_->Stop();
  waiting.clear();
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
  for (const absl::Status& status : statuses) EXPECT_EQ(status.code(), Code::kUnavailable) << status;
}

TEST_F(RpcTest, AClientThatIsStoppedEndsItsLongPollsAndNoOtherCall) {
  std::stop_source stop;
  CoordinatorClient stopping({.address = Address(), .stop = stop.get_token()});
  absl::Status status;
  std::jthread waiting([&] {
    v1::AcquireJobRequest request;
    request.set_trainer_id("T");
    request.set_wait_ms(30000);
    status = stopping.AcquireJob(request).status();
  });
  EXPECT_TRUE(stopping.ListRuns({}).ok());
  const auto start = std::chrono::steady_clock::now();
  stop.request_stop();
  waiting.join();
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
  EXPECT_EQ(status.code(), Code::kCancelled) << status;
  EXPECT_TRUE(stopping.ListRuns({}).ok());
  StartRun(folder_);
  EXPECT_TRUE(stopping.PublishAdapter(job_fence_, version_, bytes_).ok());
}

TEST_F(RpcTest, BytesThatDoNotHaveTheirHashAreRefused) {
  StartRun(folder_);
  EXPECT_EQ(client_->PublishAdapter(job_fence_, version_, "other").status().code(), Code::kDataLoss);
  v1::AdapterVersion unknown = version_;
  unknown.set_sha256(std::string(64, '0'));
  EXPECT_EQ(client_->FetchAdapter(unknown).status().code(), Code::kNotFound);
}

TEST_F(RpcTest, ASocketInUseAndAPlainFileAreNotTakenAway) {
  EXPECT_EQ(ListenAt(Address()).status().code(), Code::kFailedPrecondition);
  EXPECT_EQ(ListenAt("unix:" + (folder_ / "store.db").string()).status().code(), Code::kFailedPrecondition);
  EXPECT_EQ(std::filesystem::status(folder_ / "c.sock").permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

TEST_F(RpcTest, MessagesOutOfShapeAreRefusedWithTheirField) {
  StartRun(folder_);
  const auto refusal = [](const absl::Status& status) {
    EXPECT_EQ(status.code(), Code::kInvalidArgument) << status;
    return std::string(status.message());
  };
  const auto open = [&](auto change) {
    v1::OpenBatchRequest batch = Batch();
    change(batch);
    return refusal(client_->OpenBatch(batch).status());
  };
  EXPECT_THAT(open([](auto& b) { b.clear_fence(); }), HasSubstr("fence.run_id"));
  EXPECT_THAT(open([](auto& b) { b.clear_groups(); }), HasSubstr("groups"));
  EXPECT_THAT(open([](auto& b) { b.mutable_sampling()->set_temperature(0); }), HasSubstr("temperature"));
  EXPECT_THAT(open([](auto& b) { b.mutable_sampling()->set_top_p(1.5F); }), HasSubstr("top_p"));
  EXPECT_THAT(open([](auto& b) { b.mutable_groups(0)->set_num_samples(0); }), HasSubstr("num_samples"));
  EXPECT_THAT(open([](auto& b) { b.mutable_groups(1)->set_index(0); }), HasSubstr("stands twice"));
  EXPECT_THAT(open([](auto& b) { b.mutable_adapter()->set_sha256("../x"); }), HasSubstr("sha256"));
  v1::SubmitRunRequest submit;
  submit.set_run_id("S");
  submit.set_config_yaml("x");
  submit.set_directory("/a/../etc");
  EXPECT_THAT(refusal(client_->SubmitRun(submit).status()), HasSubstr("directory"));
  v1::RecordEventRequest event;
  *event.mutable_fence() = job_fence_;
  event.set_key("k");
  event.set_kind("step");
  event.set_payload_json("{");
  EXPECT_THAT(refusal(client_->RecordEvent(event).status()), HasSubstr("payload_json"));
  EXPECT_THAT(refusal(client_->LeaseGroups(LeaseRequest(0)).status()), HasSubstr("max_groups"));
  RegisterOverRpc();
  const auto leases = client_->LeaseGroups(LeaseRequest(1));
  v1::CompleteGroupRequest completion = Completion(leases->leases(0));
  completion.mutable_result()->mutable_samples(0)->add_ids(1);
  EXPECT_THAT(refusal(client_->CompleteGroup(completion).status()), HasSubstr("one logprob an id"));
  v1::AbandonGroupRequest abandon;
  abandon.set_worker_id("w");
  abandon.set_lease_id(leases->leases(0).lease_id());
  abandon.set_reason("tired");
  EXPECT_THAT(refusal(client_->AbandonGroup(abandon).status()), HasSubstr("MODEL_TIMEOUT"));
}

TEST(Translation, ALostGroupHasEverySampleFailed) {
  const auto message = ToProto(FetchedGroups{.groups = {{.index = 4, .num_samples = 3, .lost_reason = "INFRA_LOST"}},
                                             .next = 1,
                                             .num_groups = 1,
                                             .num_finished = 1});
  ASSERT_TRUE(message.ok());
  EXPECT_EQ(message->groups(0).index(), 4);
  ASSERT_EQ(message->groups(0).samples_size(), 3);
  for (const v1::SampleResult& sample : message->groups(0).samples()) EXPECT_EQ(sample.failure(), "INFRA_LOST");
}

}  // namespace
}  // namespace evilmoe
