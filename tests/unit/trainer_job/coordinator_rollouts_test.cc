#include "trainer/coordinator_rollouts_client.h"

#include <gmock/gmock.h>

#include "common/hash.h"
#include "tests/unit/trainer_job/job_fixture.h"

namespace evilmoe {
namespace {

using ::testing::ElementsAre;
using Code = absl::StatusCode;

class CoordinatorRolloutsTest : public TrainerJobFixture {
 protected:
  void SetUp() override {
    v1::Run run;
    run.set_run_id("R");
    coordinator_->Queue(run);
    v1::AcquireJobRequest acquire;
    acquire.set_trainer_id("T");
    const auto job = client_.AcquireJob(acquire);
    ASSERT_TRUE(job.ok()) << job.status();
    fence_.set_run_id("R");
    fence_.set_job_id(job->job_id());
    fence_.set_incarnation(job->incarnation());
    rollouts_.emplace(client_, fence_, absl::Hours(1), control_, clock_);
    ASSERT_TRUE(rollouts_->Publish(4, "adapter of 4").ok());
  }
  BatchRequest Batch(int64_t step, int lag, int num_groups = 5) const {
    BatchRequest batch{.key = absl::StrCat("step/", step + 1), .step = step, .sampling = {}, .groups = {}};
    batch.max_policy_lag = lag;
    for (int i = 0; i < num_groups; ++i) {
      batch.groups.push_back({.index = i, .problem = &problem_, .prompt_ids = {7}, .num_samples = 2});
    }
    return batch;
  }

  CoordinatorClient client_{{.address = Address(), .retry_budget = absl::Seconds(5)}};
  const Problem problem_;
  v1::JobFence fence_;
  JobControl control_{{}};
  std::optional<CoordinatorRollouts> rollouts_;
};

TEST_F(CoordinatorRolloutsTest, WithoutLagABatchNamesItsAdapterAndComesInOrder) {
  const auto groups = rollouts_->Run(Batch(4, 0));
  ASSERT_TRUE(groups.ok()) << groups.status();
  ASSERT_EQ(groups->size(), 5u);
  for (size_t i = 0; i < groups->size(); ++i) {
    EXPECT_EQ((*groups)[i].index, static_cast<int64_t>(i));
    EXPECT_EQ((*groups)[i].samples.size(), 2u);
    EXPECT_EQ((*groups)[i].policy_step, 4);
  }
  ASSERT_EQ(coordinator_->Opened().size(), 1u);
  const v1::OpenBatchRequest opened = coordinator_->Opened()[0];
  EXPECT_EQ(opened.adapter().sha256(), Sha256Hex("adapter of 4"));
  EXPECT_FALSE(opened.bind_at_lease());
  EXPECT_EQ(opened.max_policy_lag(), 0);
}

TEST_F(CoordinatorRolloutsTest, FetchesFromWhereItWas) {
  ASSERT_TRUE(rollouts_->Run(Batch(4, 0)).ok());
  std::vector<int64_t> after;
  for (const v1::FetchGroupsRequest& fetch : coordinator_->Fetched()) after.push_back(fetch.after());
  EXPECT_THAT(after, ElementsAre(0, 2, 4));
}

TEST_F(CoordinatorRolloutsTest, WithLagABatchIsOpenedAheadOnceAndBoundLater) {
  ASSERT_TRUE(rollouts_->Open(Batch(5, 2)).ok());
  ASSERT_TRUE(rollouts_->Open(Batch(5, 2)).ok());
  ASSERT_TRUE(rollouts_->Publish(5, "adapter of 5").ok());
  const auto groups = rollouts_->Run(Batch(5, 2));
  ASSERT_TRUE(groups.ok()) << groups.status();
  for (const GroupSamples& group : *groups) EXPECT_EQ(group.policy_step, 4);
  ASSERT_EQ(coordinator_->Opened().size(), 1u);
  const v1::OpenBatchRequest opened = coordinator_->Opened()[0];
  EXPECT_TRUE(opened.bind_at_lease());
  EXPECT_EQ(opened.max_policy_lag(), 2);
  EXPECT_FALSE(opened.has_adapter());
  EXPECT_EQ(opened.step(), 5);
  // Closed, it can be opened again.
  ASSERT_TRUE(rollouts_->Open(Batch(5, 2)).ok());
  EXPECT_EQ(coordinator_->Opened().size(), 2u);
}

struct ForeignCase {
  const char* name;
  int lag;
  int64_t step;
  std::string sha256;
  Code want;
};
class ForeignAdapter : public CoordinatorRolloutsTest, public ::testing::WithParamInterface<ForeignCase> {};

// Published in this life: adapter 4.
TEST_P(ForeignAdapter, IsRefusedWhereItsBytesAreKnown) {
  coordinator_->spoil = [&](const v1::OpenBatchRequest&, v1::GroupResult& result) {
    if (result.index() != 3) return;
    result.mutable_adapter()->set_step(GetParam().step);
    result.mutable_adapter()->set_sha256(GetParam().sha256);
  };
  const absl::Status status = rollouts_->Run(Batch(4, GetParam().lag)).status();
  EXPECT_EQ(status.code(), GetParam().want) << status;
  EXPECT_EQ(std::string(status.message()).find("group 3: sampled with adapter") == 0, !status.ok()) << status;
}

INSTANTIATE_TEST_SUITE_P(Cases, ForeignAdapter,
                         ::testing::ValuesIn(std::vector<ForeignCase>{
                             {"OtherBytes", 0, 4, "beef", Code::kInternal},
                             {"OtherBytesWithLag", 2, 4, "beef", Code::kInternal},
                             {"OfAnEarlierLife", 2, 3, "beef", Code::kOk},
                             {"OfAnEarlierLifeWithoutLag", 0, 3, "beef", Code::kInternal},
                             {"OfNobody", 0, 0, "", Code::kOk}}),
                         [](const auto& c) { return c.param.name; });

TEST_F(CoordinatorRolloutsTest, AGroupThatNobodyCouldSampleHasNoPolicy) {
  coordinator_->spoil = [](const v1::OpenBatchRequest&, v1::GroupResult& result) {
    result.clear_adapter();
    for (v1::SampleResult& sample : *result.mutable_samples()) sample.set_failure("INFRA_LOST");
  };
  const auto groups = rollouts_->Run(Batch(4, 1, 1));
  ASSERT_TRUE(groups.ok()) << groups.status();
  EXPECT_EQ((*groups)[0].policy_step, std::nullopt);
  EXPECT_EQ((*groups)[0].samples[1].failure, "INFRA_LOST");
}

TEST_F(CoordinatorRolloutsTest, APauseEndsEvaluationsAlone) {
  coordinator_->AskForPause();
  ASSERT_TRUE(rollouts_->Record("step/4", "step", {}, 4).ok());
  EXPECT_TRUE(control_.stop().stop_requested());
  BatchRequest evaluation = Batch(4, 0);
  evaluation.evaluation = true;
  evaluation.key = "ablation/end/0";
  EXPECT_EQ(rollouts_->Run(evaluation).status().code(), Code::kCancelled);
  EXPECT_EQ(coordinator_->Count("OpenBatch ablation/end/0"), 0);
  EXPECT_TRUE(rollouts_->Run(Batch(4, 0)).ok());
}

struct LostCase {
  const char* name;
  const char* at;  // the call during which the job is lost
};
class LostJob : public CoordinatorRolloutsTest, public ::testing::WithParamInterface<LostCase> {};

TEST_P(LostJob, IsAbortedAndSaidToBeLostAtOnce) {
  coordinator_->on_call = [&](const std::string& line) {
    if (line == GetParam().at) coordinator_->Cancel();
  };
  absl::Status done = rollouts_->Publish(5, "adapter of 5");
  if (done.ok()) done = rollouts_->Run(Batch(5, 0)).status();
  if (done.ok()) done = rollouts_->Record("step/6", "step", {}, 6);
  EXPECT_EQ(done.code(), Code::kAborted);
  EXPECT_EQ(control_.Held(), done) << "without a heartbeat";
}

INSTANTIATE_TEST_SUITE_P(Calls, LostJob,
                         ::testing::ValuesIn(std::vector<LostCase>{{"Publish", "PublishAdapter 5"},
                                                                   {"Open", "OpenBatch step/6"},
                                                                   {"Fetch", "FetchGroups step/6"},
                                                                   {"Close", "CloseBatch step/6"},
                                                                   {"Record", "RecordEvent step/6"}}),
                         [](const auto& c) { return c.param.name; });

}  // namespace
}  // namespace evilmoe
