#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "common/file.h"
#include "common/hash.h"
#include "gtest/gtest.h"
#include "proto/coordinator_client.h"
#include "trainer/run_config.h"

namespace evilmoe {

// What a trainer and worker "w" say over the wire about one run. Set client_ first.
class RpcRun {
 protected:
  // The nano experiment's, as evilmoe-ctl resolves it.
  static std::string ConfigYaml() {
    const std::filesystem::path file = std::filesystem::path(EVILMOE_SOURCE_DIR) / "examples/nano/run.yaml";
    const auto config = ParseRunConfig(ReadFile(file).value_or(""), "run.yaml", file.parent_path());
    EXPECT_TRUE(config.ok()) << config.status();
    return config.ok() ? ToYaml(*config) : "";
  }
  // A run with one open batch of two groups of one sample.
  void StartRun(const std::filesystem::path& folder) {
    v1::SubmitRunRequest submit;
    submit.set_run_id("R");
    submit.set_config_yaml(ConfigYaml());
    submit.set_directory((folder / "R").string());
    ASSERT_TRUE(client_->SubmitRun(submit).ok());
    v1::AcquireJobRequest acquire;
    acquire.set_trainer_id("T");
    const auto job = client_->AcquireJob(acquire);
    ASSERT_TRUE(job.ok()) << job.status();
    EXPECT_EQ(job->kind(), v1::JOB_KIND_TRAIN);
    job_fence_.set_run_id("R");
    job_fence_.set_job_id(job->job_id());
    job_fence_.set_incarnation(job->incarnation());
    version_.set_run_id("R");
    version_.set_sha256(Sha256Hex(bytes_));
    version_.set_size_bytes(static_cast<int64_t>(bytes_.size()));
    ASSERT_TRUE(client_->PublishAdapter(job_fence_, version_, bytes_).ok());
    ASSERT_TRUE(client_->OpenBatch(Batch()).ok());
  }
  v1::OpenBatchRequest Batch() const {
    v1::OpenBatchRequest batch;
    *batch.mutable_fence() = job_fence_;
    batch.set_batch_key("step/0");
    *batch.mutable_adapter() = version_;
    batch.mutable_sampling()->set_temperature(1);
    batch.mutable_sampling()->set_top_p(1);
    batch.mutable_sampling()->set_max_tokens(8);
    for (int i = 0; i < 2; ++i) {
      v1::GroupSpec& group = *batch.add_groups();
      group.set_index(i);
      group.add_prompt_ids(7);
      group.set_num_samples(1);
    }
    return batch;
  }
  void RegisterOverRpc() {
    v1::HeartbeatRequest heartbeat;
    heartbeat.set_worker_id("w");
    ASSERT_TRUE(client_->Heartbeat(heartbeat).ok());
    v1::AcknowledgeAdapterRequest acknowledge;
    acknowledge.set_worker_id("w");
    *acknowledge.mutable_version() = version_;
    ASSERT_TRUE(client_->AcknowledgeAdapter(acknowledge).ok());
  }
  v1::LeaseGroupsRequest LeaseRequest(int max_groups) const {
    v1::LeaseGroupsRequest lease;
    lease.set_worker_id("w");
    lease.set_max_groups(max_groups);
    return lease;
  }
  v1::CompleteGroupRequest Completion(const v1::Lease& lease) const {
    v1::CompleteGroupRequest request;
    request.set_worker_id("w");
    request.set_lease_id(lease.lease_id());
    request.mutable_result()->set_index(lease.group().index());
    *request.mutable_result()->mutable_adapter() = version_;
    v1::SampleResult& sample = *request.mutable_result()->add_samples();
    sample.add_ids(3);
    sample.add_logprobs(-0.5F);
    sample.set_text("t");
    return request;
  }

  std::string bytes_ = std::string((5 << 20) / 2, 'b');
  v1::JobFence job_fence_;
  v1::AdapterVersion version_;
  std::unique_ptr<CoordinatorClient> client_;
};

}  // namespace evilmoe
