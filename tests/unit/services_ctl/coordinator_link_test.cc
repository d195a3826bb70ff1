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
  grpc::Status SubmitRun(grpc::ServerContext*, const v1::SubmitRunRequest* request,
                         v1::SubmitRunResponse* response) override {
    submitted = *request;
    *response->mutable_run() = Run();
    return grpc::Status::OK;
  }
  grpc::Status ListRuns(grpc::ServerContext*, const v1::ListRunsRequest* request, v1::ListRunsResponse* response) override {
    asked = request->sweep();
    *response->add_runs() = Run();
    return grpc::Status::OK;
  }
  grpc::Status PauseRun(grpc::ServerContext*, const v1::PauseRunRequest* request, v1::Run* run) override {
    return Answer("pause " + request->run_id(), v1::RUN_STATE_PAUSING, run);
  }
  grpc::Status ResumeRun(grpc::ServerContext*, const v1::ResumeRunRequest* request, v1::Run* run) override {
    return Answer("resume " + request->run_id(), v1::RUN_STATE_QUEUED, run);
  }
  grpc::Status RetryRun(grpc::ServerContext*, const v1::RetryRunRequest* request, v1::Run* run) override {
    return Answer("retry " + request->run_id(), v1::RUN_STATE_PAUSED, run);
  }
  grpc::Status GetStatus(grpc::ServerContext*, const v1::GetStatusRequest*, v1::GetStatusResponse* status) override {
    status->set_version("1.2");
    status->set_store("sqlite");
    status->set_slots_total(4);
    v1::WorkerStatus* worker = status->add_workers();
    worker->set_worker_id("w");
    worker->set_kind("rollout");
    worker->mutable_adapter()->set_step(7);
    status->add_workers()->set_kind("trainer");
    return grpc::Status::OK;
  }
  grpc::Status ListRunFiles(grpc::ServerContext*, const v1::ListRunFilesRequest* request,
                            v1::ListRunFilesResponse* response) override {
    v1::RunFile* file = response->add_files();
    file->set_path(request->folder() + "/a.log");
    file->set_size_bytes(static_cast<int64_t>(file_bytes.size()));
    file->set_modified_unix_ns(9);
    return grpc::Status::OK;
  }
  grpc::Status ReadRunFile(grpc::ServerContext*, const v1::ReadRunFileRequest* request,
                           grpc::ServerWriter<v1::ReadRunFileResponse>* writer) override {
    ++num_reads;
    if (request->path() != "logs/a.log") return {grpc::StatusCode::NOT_FOUND, request->path()};
    for (size_t at = static_cast<size_t>(request->offset()); at < file_bytes.size(); at += 4) {
      v1::ReadRunFileResponse part;
      part.set_chunk(file_bytes.substr(at, 4));
      writer->Write(part);
      if (num_reads <= num_breaks) return {grpc::StatusCode::UNAVAILABLE, "gone"};
    }
    return grpc::Status::OK;
  }
  grpc::Status ReleaseJob(grpc::ServerContext*, const v1::ReleaseJobRequest* request, v1::ReleaseJobResponse*) override {
    released = *request;
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
  grpc::Status AcquireJob(grpc::ServerContext*, const v1::AcquireJobRequest* request,
                          v1::AcquireJobResponse* response) override {
    if (!job_is_free) return {grpc::StatusCode::NOT_FOUND, "nothing to do"};
    acquired = *request;
    response->set_job_id("job");
    response->mutable_run()->set_run_id(run_of_job);
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
    run.set_config_sha256("c5");
    run.set_priority(-2);
    run.set_slots(3);
    run.set_sweep("arms");
    run.set_model_fingerprint("f9");
    run.mutable_adapter()->set_step(4);
    run.mutable_adapter()->set_sha256("a5");
    return run;
  }
  grpc::Status Answer(const std::string& what, v1::RunState state, v1::Run* run) {
    asked = what;
    *run = Run();
    run->set_state(state);
    return grpc::Status::OK;
  }

  std::string asked;
  std::string file_bytes = "0123456789";
  int num_breaks = 0;  // so many reads of files break after one piece
  int num_reads = 0;
  std::string run_of_job = "R";
  v1::AcquireJobRequest acquired;
  v1::ReleaseJobRequest released;
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
    address_ = absl::StrCat("unix:", folder_.string(), "/s");
    grpc::ServerBuilder builder;
    builder.AddListeningPort(address_, grpc::InsecureServerCredentials());
    builder.RegisterService(&coordinator_);
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
    link_ = ConnectCoordinator({.address = address_});
  }
  void TearDown() override {
    server_->Shutdown();
    std::filesystem::remove_all(folder_);
  }
  std::filesystem::path folder_;
  std::string address_;
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
  run.priority = 5;
  run.slots = 2;
  run.sweep = "arms";
  const absl::StatusOr<RunSummary> queued = link_->SubmitRun(run, "steps: 9\n");
  ASSERT_TRUE(queued.ok()) << queued.status();
  EXPECT_EQ(queued->state, "running");
  EXPECT_EQ(coordinator_.submitted.priority(), 5);
  EXPECT_EQ(coordinator_.submitted.slots(), 2);
  EXPECT_EQ(coordinator_.submitted.sweep(), "arms");
  EXPECT_EQ(coordinator_.submitted.run_id(), "R");
  EXPECT_EQ(coordinator_.submitted.name(), "nano");
  EXPECT_EQ(coordinator_.submitted.arm(), "none");
  EXPECT_EQ(coordinator_.submitted.steps_total(), 9);
  EXPECT_EQ(coordinator_.submitted.directory(), "/runs/R");
  EXPECT_EQ(coordinator_.submitted.config_yaml(), "steps: 9\n");
}

TEST_F(CoordinatorLinkTest, ReadsEveryFieldOfARun) {
  const absl::StatusOr<std::vector<RunSummary>> runs = link_->ListRuns("arms");
  ASSERT_TRUE(runs.ok()) << runs.status();
  ASSERT_EQ(runs->size(), 1u);
  EXPECT_EQ(coordinator_.asked, "arms");
  const RunSummary& run = runs->front();
  EXPECT_EQ(run.config_sha256, "c5");
  EXPECT_EQ(run.priority, -2);
  EXPECT_EQ(run.slots, 3);
  EXPECT_EQ(run.sweep, "arms");
  EXPECT_EQ(run.model_fingerprint, "f9");
  EXPECT_EQ(run.adapter_step, 4);
  EXPECT_EQ(run.adapter_sha256, "a5");
}

TEST_F(CoordinatorLinkTest, SteersRuns) {
  EXPECT_EQ(link_->PauseRun("R")->state, "pausing");
  EXPECT_EQ(coordinator_.asked, "pause R");
  EXPECT_EQ(link_->ResumeRun("R")->state, "queued");
  EXPECT_EQ(coordinator_.asked, "resume R");
  EXPECT_EQ(link_->RetryRun("R")->state, "paused");
  EXPECT_EQ(coordinator_.asked, "retry R");
}

TEST_F(CoordinatorLinkTest, ReadsTheStatus) {
  const absl::StatusOr<CoordinatorInfo> info = link_->GetStatus();
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->version, "1.2");
  EXPECT_EQ(info->slots_total, 4);
  ASSERT_EQ(info->workers.size(), 2u);
  EXPECT_EQ(info->workers[0].adapter_step, 7);
  EXPECT_EQ(info->workers[1].kind, "trainer");
  EXPECT_EQ(info->workers[1].adapter_step, -1);
}

TEST_F(CoordinatorLinkTest, ReadsAFileOnWhereTheConnectionBroke) {
  EXPECT_EQ(link_->ListRunFiles("R", "logs")->front().path, "logs/a.log");
  EXPECT_EQ(link_->ListRunFiles("R", "logs")->front().modified_unix_ns, 9);
  coordinator_.num_breaks = 1;
  std::string bytes;
  const auto sink = [&](std::string_view piece) {
    bytes += piece;
    return absl::OkStatus();
  };
  const absl::StatusOr<int64_t> end = link_->ReadRunFile("R", "logs/a.log", 1, sink);
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_EQ(bytes, "123456789");
  EXPECT_EQ(*end, 10);
  EXPECT_EQ(coordinator_.num_reads, 2);
  EXPECT_EQ(link_->ReadRunFile("R", "other", 0, sink).status().code(), absl::StatusCode::kNotFound);
  const auto full = [](std::string_view) { return absl::ResourceExhaustedError("full"); };
  EXPECT_EQ(link_->ReadRunFile("R", "logs/a.log", 0, full).status().code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(CoordinatorLinkTest, ReadsOnForAsLongAsBytesCome) {
  coordinator_.file_bytes = std::string(40, 'x');
  coordinator_.num_breaks = 100;  // each read brings 4 bytes; a budget allows three tries at most
  const std::unique_ptr<CoordinatorLink> hasty =
      ConnectCoordinator({.address = address_, .patience = absl::Milliseconds(100)});
  std::string bytes;
  const absl::StatusOr<int64_t> end = hasty->ReadRunFile("R", "logs/a.log", 0, [&](std::string_view piece) {
    bytes += piece;
    return absl::OkStatus();
  });
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_EQ(bytes, coordinator_.file_bytes);
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
  ASSERT_TRUE(link_->FailRun("R", "trainer", "the trainer died").ok());
  EXPECT_FALSE(coordinator_.finished.ok());
  EXPECT_EQ(coordinator_.finished.error(), "the trainer died");
  EXPECT_EQ(coordinator_.finished.fence().job_id(), "job");
  EXPECT_EQ(coordinator_.finished.fence().incarnation(), 3);
  EXPECT_EQ(coordinator_.acquired.trainer_name(), "trainer");
  EXPECT_FALSE(coordinator_.cancelled);
}

TEST_F(CoordinatorLinkTest, FailRunCancelsWhenTheJobIsStillHeld) {
  coordinator_.job_is_free = false;
  ASSERT_TRUE(link_->FailRun("R", "trainer", "the trainer died").ok());
  EXPECT_TRUE(coordinator_.cancelled);
}

TEST_F(CoordinatorLinkTest, FailRunGivesAnotherRunsJobBack) {
  coordinator_.run_of_job = "OTHER";
  ASSERT_TRUE(link_->FailRun("R", "trainer", "the trainer died").ok());
  EXPECT_EQ(coordinator_.released.fence().run_id(), "OTHER");
  EXPECT_EQ(coordinator_.finished.fence().job_id(), "");
  EXPECT_TRUE(coordinator_.cancelled);
}

TEST_F(CoordinatorLinkTest, NobodyThereIsUnavailable) {
  const std::unique_ptr<CoordinatorLink> nobody = ConnectCoordinator({.address = absl::StrCat("unix:", folder_.string(), "/none")});
  const absl::Status status = nobody->GetRun("R").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(absl::StrContains(status.message(), absl::StrCat("coordinator unix:", folder_.string(), "/none")))
      << status;
}

}  // namespace
}  // namespace evilmoe
