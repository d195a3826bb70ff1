// The link against a scripted coordinator over a Unix socket.

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "evilmoe/v1/coordinator.grpc.pb.h"
#include "services/ctl/coordinator_link_client.h"

namespace evilmoe {
namespace {

// Holds one run with `num_events` events, and notes what it was told.
class ScriptedCoordinator final : public v1::CoordinatorService::Service {
 public:
  grpc::Status SubmitRun(grpc::ServerContext*, const v1::SubmitRunRequest* request, v1::SubmitRunResponse*) override {
    submitted = *request;
    return grpc::Status::OK;
  }
  grpc::Status SubmitJob(grpc::ServerContext*, const v1::SubmitJobRequest* request, v1::SubmitJobResponse*) override {
    job = *request;
    return {grpc::StatusCode::FAILED_PRECONDITION, "the run is busy"};
  }
  grpc::Status GetRun(grpc::ServerContext*, const v1::GetRunRequest*, v1::Run* run) override {
    *run = Run();
    return grpc::Status::OK;
  }
  grpc::Status CancelRun(grpc::ServerContext*, const v1::CancelRunRequest*, v1::Run* run) override {
    cancelled = true;
    *run = Run();
    return grpc::Status::OK;
  }
  grpc::Status ListEvents(grpc::ServerContext*, const v1::ListEventsRequest* request,
                          v1::ListEventsResponse* response) override {
    for (int64_t seq = request->after_seq() + 1; seq <= num_events && response->events_size() < request->limit();
         ++seq) {
      v1::RunEvent* event = response->add_events();
      event->set_seq(seq);
      event->set_kind("step");
      event->set_payload_json(seq == 1 ? "{broken" : "{\"step\": 5}");
    }
    *response->mutable_run() = Run();
    return grpc::Status::OK;
  }
  grpc::Status AcquireJob(grpc::ServerContext*, const v1::AcquireJobRequest*,
                          v1::AcquireJobResponse* response) override {
    if (!job_is_free) return {grpc::StatusCode::NOT_FOUND, "nothing to do"};
    response->set_job_id("job");
    response->set_incarnation(3);
    return grpc::Status::OK;
  }
  grpc::Status FinishJob(grpc::ServerContext*, const v1::FinishJobRequest* request, v1::FinishJobResponse*) override {
    finished = *request;
    return grpc::Status::OK;
  }

  static v1::Run Run() {
    v1::Run run;
    run.set_run_id("R");
    run.set_state(v1::RUN_STATE_RUNNING);
    run.set_steps_done(4);
    return run;
  }

  int64_t num_events = 0;
  bool job_is_free = true;
  bool cancelled = false;
  v1::SubmitRunRequest submitted;
  v1::SubmitJobRequest job;
  v1::FinishJobRequest finished;
};

class CoordinatorLinkTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/evilmoe-link-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    folder_ = name;
    const std::string address = absl::StrCat("unix:", folder_.string(), "/s");
    grpc::ServerBuilder builder;
    builder.AddListeningPort(address, grpc::InsecureServerCredentials());
    builder.RegisterService(&coordinator_);
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
    link_ = ConnectCoordinator(address);
  }
  void TearDown() override {
    server_->Shutdown();
    std::filesystem::remove_all(folder_);
  }
  std::filesystem::path folder_;
  ScriptedCoordinator coordinator_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<CoordinatorLink> link_;
};

TEST_F(CoordinatorLinkTest, SubmitsARunWhole) {
  RunSummary run;
  run.run_id = "R";
  run.name = "nano";
  run.arm = "none";
  run.steps_total = 9;
  run.directory = "/runs/R";
  ASSERT_TRUE(link_->SubmitRun(run, "steps: 9\n").ok());
  EXPECT_EQ(coordinator_.submitted.run_id(), "R");
  EXPECT_EQ(coordinator_.submitted.name(), "nano");
  EXPECT_EQ(coordinator_.submitted.arm(), "none");
  EXPECT_EQ(coordinator_.submitted.steps_total(), 9);
  EXPECT_EQ(coordinator_.submitted.directory(), "/runs/R");
  EXPECT_EQ(coordinator_.submitted.config_yaml(), "steps: 9\n");
}

TEST_F(CoordinatorLinkTest, KeepsTheCodeAndTextOfARefusal) {
  const absl::Status status = link_->SubmitAblation("R", "J", "{}");
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(std::string(status.message()), "the run is busy");
  EXPECT_EQ(coordinator_.job.kind(), v1::JOB_KIND_ABLATE);
}

TEST_F(CoordinatorLinkTest, ReadsEventsOverSeveralPages) {
  coordinator_.num_events = 2500;
  const absl::StatusOr<FeedPage> page = link_->ListEvents("R", 0);
  ASSERT_TRUE(page.ok()) << page.status();
  ASSERT_EQ(page->events.size(), 2500u);
  EXPECT_EQ(page->events.front().payload, nullptr);  // was no JSON
  EXPECT_EQ(page->events.back().seq, 2500);
  EXPECT_EQ(page->events.back().payload["step"], 5);
  EXPECT_EQ(page->run.last_seq, 2500);
  EXPECT_EQ(page->run.state, "running");
  EXPECT_EQ(link_->ListEvents("R", 2500)->run.last_seq, 2500);
}

TEST_F(CoordinatorLinkTest, FailRunEndsTheJobInTheTrainersPlace) {
  ASSERT_TRUE(link_->FailRun("R", "the trainer died").ok());
  EXPECT_FALSE(coordinator_.finished.ok());
  EXPECT_EQ(coordinator_.finished.error(), "the trainer died");
  EXPECT_EQ(coordinator_.finished.fence().job_id(), "job");
  EXPECT_EQ(coordinator_.finished.fence().incarnation(), 3);
  EXPECT_FALSE(coordinator_.cancelled);
}

TEST_F(CoordinatorLinkTest, FailRunCancelsWhenTheJobIsStillHeld) {
  coordinator_.job_is_free = false;
  ASSERT_TRUE(link_->FailRun("R", "the trainer died").ok());
  EXPECT_TRUE(coordinator_.cancelled);
}

TEST_F(CoordinatorLinkTest, NobodyThereIsUnavailable) {
  const std::unique_ptr<CoordinatorLink> nobody = ConnectCoordinator(absl::StrCat("unix:", folder_.string(), "/none"));
  const absl::Status status = nobody->GetRun("R").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(absl::StrContains(status.message(), absl::StrCat("coordinator unix:", folder_.string(), "/none")))
      << status;
}

}  // namespace
}  // namespace evilmoe
