// What callers may make a coordinator keep, and numbers that no honest caller sends.
#include <limits>

#include "absl/strings/str_cat.h"
#include "services/coordinator/coordinator_state.h"
#include "services/coordinator/coordinator_translation.h"
#include "services/coordinator/worker_table.h"
#include "tests/unit/services_coordinator/coordinator_fixture.h"

namespace evilmoe {
namespace {

using ::testing::HasSubstr;
using Code = absl::StatusCode;

class BoundsTest : public CoordinatorFixture {};

TEST_F(BoundsTest, WorkersBeyondTheMostAreRefusedUntilSilentOnesAreForgotten) {
  StartBatch(1);  // registers "w"
  for (size_t i = 1; i < WorkerTable::kMaxWorkers; ++i) ASSERT_TRUE(core_->Heartbeat(absl::StrCat("w", i), {}).ok());
  const auto refused = core_->Heartbeat("one more", {});
  EXPECT_EQ(refused.status().code(), Code::kResourceExhausted) << refused.status();
  EXPECT_EQ(core_->AcknowledgeAdapter("one more", adapter_).code(), Code::kResourceExhausted);
  EXPECT_TRUE(core_->Heartbeat("w", {}).ok()) << "who is registered stays so";
  clock_.Advance(absl::Minutes(11));
  core_->ExpireOverdue();
  EXPECT_TRUE(core_->Heartbeat("one more", {}).ok());
}

TEST_F(BoundsTest, ARunTakesNoJobOfAnother) {
  Submit("R");
  ASSERT_TRUE(core_->CancelRun("R").ok());
  ASSERT_EQ(core_->SubmitJob({.job_id = "S.train", .run_id = "R", .type = JobType::kAblate}), absl::OkStatus());
  const auto stolen = core_->SubmitRun({.run_id = "S", .config_yaml = "name: s"});
  EXPECT_EQ(stolen.status().code(), Code::kAlreadyExists) << stolen.status();
  Restart();
  EXPECT_EQ(core_->CancelRun("R")->phase, RunPhase::kCancelled) << "it has its job still";
}

TEST_F(BoundsTest, ARunTakesNoDirectoryOfAnother) {
  Submit("R");
  const auto other = core_->SubmitRun(
      {.run_id = "S", .config_yaml = "name: x", .steps_total = 3, .directory = (folder_ / "R").string()});
  EXPECT_EQ(other.status().code(), Code::kAlreadyExists) << other.status();
  Submit("R");  // again: the same
}

TEST_F(BoundsTest, JobsOfARun) {
  Submit("R");
  for (size_t i = 1; i < CoordinatorState::kMaxJobs; ++i) {
    ASSERT_TRUE(core_->CancelRun("R").ok());
    ASSERT_EQ(core_->SubmitJob({.job_id = absl::StrCat(i), .run_id = "R", .type = JobType::kAblate}), absl::OkStatus());
  }
  ASSERT_TRUE(core_->CancelRun("R").ok());
  EXPECT_EQ(core_->SubmitJob({.job_id = "more", .run_id = "R"}).code(), Code::kResourceExhausted);
}

// The state alone: a write each would take long.
TEST(StateBoundsTest, RunsThatHaveNotEnded) {
  prometheus::Registry registry;
  CoordinatorMetrics metrics(registry);
  CoordinatorState state = CoordinatorState::Create({.epoch = 1}, {}, absl::UnixEpoch(), metrics).value();
  for (size_t i = 0; i < CoordinatorState::kMaxOpenRuns; ++i) {
    ASSERT_TRUE(state.SubmitRun({.run_id = absl::StrCat("R", i), .config_yaml = "x"}, absl::UnixEpoch()).ok());
    state.TakeChanges();
  }
  const RunRecord more{.run_id = "more", .config_yaml = "x"};
  EXPECT_EQ(state.SubmitRun(more, absl::UnixEpoch()).status().code(), Code::kResourceExhausted);
  ASSERT_TRUE(state.CancelRun("R0", absl::UnixEpoch()).ok());
  EXPECT_TRUE(state.SubmitRun(more, absl::UnixEpoch()).ok());
  EXPECT_EQ(state.SubmitJob({.job_id = "j", .run_id = "R0"}, absl::UnixEpoch()).code(), Code::kResourceExhausted);
}

TEST(StateBoundsTest, EventsOfARun) {
  prometheus::Registry registry;
  CoordinatorMetrics metrics(registry);
  StoreContents contents{.epoch = 1};
  contents.runs = {{.run_id = "R", .phase = RunPhase::kRunning, .last_seq = CoordinatorState::kMaxEvents}};
  contents.jobs = {{.order = 1, .job_id = "J", .run_id = "R", .phase = RunPhase::kRunning, .incarnation = 1}};
  contents.event_keys["R"] = {"known"};
  CoordinatorState state = CoordinatorState::Create(std::move(contents), {}, absl::UnixEpoch(), metrics).value();
  const JobFenceKey fence{.run_id = "R", .job_id = "J", .incarnation = 1};
  EXPECT_TRUE(state.RecordEvent(fence, "known", {.kind = "step"}, 1, absl::UnixEpoch()).ok()) << "it was taken before";
  EXPECT_EQ(state.RecordEvent(fence, "new", {.kind = "step"}, 1, absl::UnixEpoch()).status().code(),
            Code::kResourceExhausted);
  EXPECT_EQ(state.FinishJob(fence, true, "", absl::UnixEpoch()), absl::OkStatus()) << "it can end";
}

TEST_F(BoundsTest, AnAnswerHoldsAsManyEventsAsFitAndTheNextOneTheRest) {
  Submit("R");
  const JobFenceKey fence = Acquire("T");
  const std::string payload = "\"" + std::string(size_t{1} << 20, 'x') + "\"";
  for (int i = 0; i < 70; ++i) {
    ASSERT_TRUE(core_->RecordEvent(fence, absl::StrCat(i), {.kind = "step", .payload_json = payload}, i).ok());
  }
  int64_t seq = 0;
  int pages = 0, events = 0;
  for (; pages < 10; ++pages) {
    const auto page = core_->ListEvents("R", seq, 10000, {});
    ASSERT_TRUE(page.ok()) << page.status();
    if (page->events.empty()) break;
    EXPECT_LE(page->events.size(), 64u);
    EXPECT_EQ(page->events.front().seq, seq + 1) << "no hole";
    seq = page->events.back().seq;
    events += static_cast<int>(page->events.size());
  }
  EXPECT_EQ(pages, 2);
  EXPECT_EQ(events, 71) << "with that of its state";
}

// ---- what a message says by itself ----

std::string Refusal(const absl::Status& status) {
  EXPECT_EQ(status.code(), Code::kInvalidArgument) << status;
  return std::string(status.message());
}
void Fence(v1::JobFence* fence) {
  fence->set_run_id("R");
  fence->set_job_id("J");
}

TEST(MessageBoundsTest, StepsAreCountsWhoseDifferencesExist) {
  for (const int64_t step : {int64_t{-1}, std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()}) {
    v1::AdapterVersion version;
    version.set_run_id("R");
    version.set_sha256(std::string(64, '0'));
    version.set_step(step);
    EXPECT_THAT(Refusal(FromProto(version).status()), HasSubstr("adapter.step: got "));
    v1::OpenBatchRequest batch;
    Fence(batch.mutable_fence());
    batch.set_batch_key("k");
    batch.set_step(step);
    EXPECT_THAT(Refusal(FromProto(batch).status()), HasSubstr("step: got "));
    v1::BeginJobRequest begin;
    Fence(begin.mutable_fence());
    begin.set_resume_step(step);
    EXPECT_THAT(Refusal(FromProto(begin).status()), HasSubstr("resume_step: got "));
    v1::RecordEventRequest event;
    Fence(event.mutable_fence());
    event.set_key("k");
    event.set_kind("step");
    event.set_payload_json("{}");
    event.set_steps_done(step);
    EXPECT_THAT(Refusal(FromProto(event).status()), HasSubstr("steps_done: got "));
    v1::SubmitRunRequest submit;
    submit.set_run_id("R");
    submit.set_config_yaml("x");
    submit.set_steps_total(step);
    EXPECT_THAT(Refusal(FromProto(submit).status()), HasSubstr("steps_total: got "));
  }
}

TEST(MessageBoundsTest, Sizes) {
  v1::RecordEventRequest event;
  Fence(event.mutable_fence());
  event.set_key("k");
  event.set_kind("step");
  event.set_payload_json("\"" + std::string(size_t{4} << 20, 'x') + "\"");
  EXPECT_THAT(Refusal(FromProto(event).status()), HasSubstr("payload_json: got 4194306 bytes"));
  event.set_payload_json(std::string(1000, '[') + std::string(1000, ']'));
  EXPECT_THAT(Refusal(FromProto(event).status()), HasSubstr("expected JSON of at most 64 levels"));
  v1::SubmitJobRequest job;
  job.set_run_id("R");
  job.set_job_id("J");
  job.set_kind(v1::JOB_KIND_ABLATE);
  job.set_params_json(std::string(100'000, '['));
  EXPECT_THAT(Refusal(FromProto(job).status()), HasSubstr("params_json: got 100000 bytes"));
  v1::GroupResult result;
  result.mutable_adapter()->set_run_id("R");
  result.mutable_adapter()->set_sha256(std::string(64, '0'));
  result.add_samples()->set_text(std::string(size_t{64} << 20, 'x'));
  EXPECT_THAT(Refusal(FromProto(result).status()), HasSubstr("result: got "));
  EXPECT_THAT(Refusal(CheckError(std::string((size_t{1} << 20) + 1, 'x'))), HasSubstr("error: got "));
}

TEST(MessageBoundsTest, ARunsTextsHoldNoControlCharacters) {
  for (const char* field : {"name", "arm", "sweep", "directory"}) {
    v1::SubmitRunRequest submit;
    submit.set_run_id("R");
    submit.set_config_yaml("x");
    const auto* descriptor = submit.GetDescriptor()->FindFieldByName(field);
    submit.GetReflection()->SetString(&submit, descriptor, std::string("/a\0/../b", 8));
    EXPECT_THAT(Refusal(FromProto(submit).status()), HasSubstr(absl::StrCat(field, ": got control characters")));
  }
}

}  // namespace
}  // namespace evilmoe
