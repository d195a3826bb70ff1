// Whole training loops against the coordinator's own state: random workers, losses, restarts.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/registry.h>

#include <map>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/hash.h"
#include "common/seed.h"
#include "common/status_macros.h"
#include "services/coordinator/coordinator_state.h"
#include "tests/unit/trainer_step/training_loop_fixture.h"
#include "trainer/checkpoint.h"
#include "trainer/saved_rollouts.h"

namespace evilmoe {
namespace {

// A coordinator's state, three workers and the trainer's calls, in one thread: after each call so many random things
// happen. A worker may lease, hand in, fall silent (its leases expire) or give back.
class StateRollouts final : public Rollouts {
 public:
  explicit StateRollouts(uint64_t seed)
      : stream_(StreamSeed(seed, "workers", 0)),
        metrics_(registry_),
        state_(*CoordinatorState::Create({}, {}, clock_.Now(), metrics_)) {
    EXPECT_TRUE(state_.SubmitRun({.run_id = "R", .config_yaml = "x", .directory = "/r"}, clock_.Now()).ok());
  }

  std::function<absl::Status()> interrupt;  // asked once in every wait; an error ends it
  int64_t num_early = 0;                    // groups that were done when the trainer began to wait for their batch

  // A life of the trainer takes the job and begins at `step`.
  absl::Status Begin(int64_t step) {
    const auto job =
        state_.AcquireJob({.trainer_id = absl::StrCat("life-", ++lives_), .trainer_name = "trainer"}, clock_.Now());
    EVILMOE_RETURN_IF_ERROR(job.status());
    if (!job->has_value()) return absl::NotFoundError("no job");
    fence_ = {.run_id = "R", .job_id = (**job).job.job_id, .incarnation = (**job).job.incarnation};
    EVILMOE_RETURN_IF_ERROR(state_.BeginJob(fence_, step, "", clock_.Now()));
    Work(stream_.Int(0, 8));  // the earlier life's workers are still there
    return absl::OkStatus();
  }
  absl::Status Release() { return state_.ReleaseJob(fence_, clock_.Now()); }

  absl::Status Publish(int64_t step, const std::string& bytes) override {
    newest_ = {.run_id = "R", .step = step, .sha256 = Sha256Hex(bytes), .size_bytes = 1};
    EVILMOE_RETURN_IF_ERROR(state_.PublishAdapter(fence_, newest_, clock_.Now()));
    Work(stream_.Int(0, 12));
    return absl::OkStatus();
  }
  absl::Status Open(const BatchRequest& request) override {
    BatchRecord batch{.key = request.key, .step = request.step, .sampling = "s"};
    batch.bind_at_lease = request.max_policy_lag > 0;
    batch.max_policy_lag = request.max_policy_lag;
    if (!batch.bind_at_lease) batch.adapter = newest_;
    std::vector<GroupTask> tasks;
    for (const GroupRequest& group : request.groups) {
      tasks.push_back({.index = group.index, .num_samples = group.num_samples, .spec = absl::StrCat(group.seed)});
    }
    EVILMOE_RETURN_IF_ERROR(state_.OpenBatch(fence_, batch, tasks, clock_.Now()));
    Work(stream_.Int(0, 6));
    return absl::OkStatus();
  }
  absl::StatusOr<std::vector<GroupSamples>> Run(const BatchRequest& request) override {
    EVILMOE_RETURN_IF_ERROR(Open(request));
    std::map<int64_t, GroupSamples> finished;
    EVILMOE_RETURN_IF_ERROR(Fetch(request, finished));
    num_early += static_cast<int64_t>(finished.size());
    while (finished.size() < request.groups.size()) {
      if (interrupt) EVILMOE_RETURN_IF_ERROR(interrupt());
      Work(1);
      EVILMOE_RETURN_IF_ERROR(Fetch(request, finished));
    }
    EVILMOE_RETURN_IF_ERROR(state_.CloseBatch(fence_, request.key, clock_.Now()));
    std::vector<GroupSamples> groups;
    for (auto& [index, group] : finished) groups.push_back(std::move(group));
    return groups;
  }

 private:
  struct HeldLease {
    std::string worker;
    int64_t id = 0;
    GroupTask task;
    AdapterName adapter;
  };

  absl::Status Fetch(const BatchRequest& request, std::map<int64_t, GroupSamples>& finished) {
    const auto after = static_cast<int64_t>(finished.size());
    EVILMOE_ASSIGN_OR_RETURN(const auto fetched, state_.FetchGroups(fence_, request.key, after, 1 << 20, clock_.Now()));
    if (!fetched) return absl::OkStatus();
    for (const FinishedGroup& group : fetched->groups) {
      BatchRequest alone = request;
      alone.groups = {request.groups[static_cast<size_t>(group.index)]};
      GroupSamples samples = samples_.Run(alone)->at(0);
      int64_t policy_step = 0;
      if (group.result == nullptr) {
        for (Sample& sample : samples.samples) sample.failure = group.lost_reason;
      } else {
        EXPECT_TRUE(absl::SimpleAtoi(*group.result, &policy_step));
        samples.policy_step = policy_step;
      }
      EXPECT_TRUE(finished.emplace(group.index, std::move(samples)).second) << "group " << group.index << " came twice";
    }
    return absl::OkStatus();
  }

  void Work(int64_t amount) {
    for (; amount > 0; --amount) {
      clock_.Advance(absl::Seconds(5));
      const std::string worker = absl::StrCat("worker-", stream_.Int(0, 2));
      std::vector<int64_t> ids;
      for (const HeldLease& lease : held_) {
        if (lease.worker == worker) ids.push_back(lease.id);
      }
      const auto lost = state_.Heartbeat(worker, "host", ids, clock_.Now());
      std::erase_if(held_, [&](const HeldLease& l) { return std::count(lost.begin(), lost.end(), l.id) > 0; });
      Act(worker);
      state_.ExpireOverdue(clock_.Now());
      state_.TakeChanges();
    }
  }
  void Act(const std::string& worker) {
    if (stream_.Bernoulli(0.4)) {
      const auto granted = state_.LeaseGroups(worker, static_cast<int>(stream_.Int(1, 3)), clock_.Now());
      ASSERT_TRUE(granted.ok()) << granted.status();
      for (const GrantedLease& lease : granted->leases) {
        held_.push_back({worker, lease.lease_id, lease.task, granted->adapter});
      }
      return;
    }
    const auto lease = std::find_if(held_.begin(), held_.end(), [&](const HeldLease& l) { return l.worker == worker; });
    if (lease == held_.end()) return;
    if (stream_.Bernoulli(0.1)) {  // it is gone, and all that it had
      std::erase_if(held_, [&](const HeldLease& l) { return l.worker == worker; });
      return;
    }
    if (stream_.Bernoulli(0.1)) {
      EXPECT_TRUE(state_.AbandonGroup(worker, lease->id, "INFRA_LOST", "", clock_.Now()).ok());
    } else {
      EXPECT_TRUE(state_.AcknowledgeAdapter(worker, lease->adapter, clock_.Now()).ok());
      const absl::Status handed_in = state_.CompleteGroup(worker, lease->id,
                                                          {.index = lease->task.index,
                                                           .num_samples = lease->task.num_samples,
                                                           .adapter = lease->adapter,
                                                           .result = absl::StrCat(lease->adapter.step)},
                                                          clock_.Now());
      EXPECT_TRUE(handed_in.ok()) << handed_in;
    }
    held_.erase(lease);
  }

  RandomStream stream_;
  FakeClock clock_;
  prometheus::Registry registry_;
  CoordinatorMetrics metrics_;
  CoordinatorState state_;
  FakeRollouts samples_;
  JobFenceKey fence_;
  AdapterName newest_;
  std::vector<HeldLease> held_;
  int lives_ = 0;
};

class BoundAtLeaseTest : public TrainingLoopTest {
 protected:
  BoundAtLeaseTest() {
    config_.rollout.prompts_per_step = 4;
    config_.rollout.group_size = 3;
    config_.loss.old_logprob = "sampler";
    config_.checkpoint = {.every = 2, .keep = 9};
  }
  static constexpr int kSteps = 6;

  // In as many lives as it takes: some leave in good order, some break off.
  void TrainInterrupted(const std::string& name, StateRollouts& rollouts, RandomStream& stream) {
    for (int life = 0; life < 6; ++life) {
      std::stop_source stop;
      int64_t waits = stream.Int(20, 120);
      const bool breaks = stream.Bernoulli(0.5);
      rollouts.interrupt = [&]() -> absl::Status {
        if (--waits > 0 || life >= 3) return absl::OkStatus();
        if (breaks) return absl::InternalError("broken");
        stop.request_stop();
        return absl::CancelledError("stopped");
      };
      const auto latest = LatestCheckpoint(directory_ / name);
      const absl::Status begun = rollouts.Begin(latest.ok() ? latest->value_or(0) : 0);
      ASSERT_TRUE(begun.ok()) << begun;
      const absl::Status trained = TryTrain(name, kSteps, rollouts, {}, stop.get_token());
      if (trained.ok()) return;
      if (absl::IsCancelled(trained)) EVILMOE_CHECK(rollouts.Release().ok());
      ASSERT_TRUE(absl::IsCancelled(trained) || trained.message().find("broken") != std::string::npos) << trained;
    }
    FAIL() << "no life came to the end";
  }
};

TEST_F(BoundAtLeaseTest, NoScheduleGivesASampleThatIsTooOld) {
  std::map<int64_t, int64_t> samples_by_lag;
  int64_t early = 0;
  for (uint64_t seed = 0; seed < 12; ++seed) {
    SCOPED_TRACE(seed);
    RandomStream stream(StreamSeed(seed, "schedule", 0));
    const auto lag = stream.Int(0, 3);
    config_.rollout.max_policy_lag = static_cast<int>(lag);
    config_.loss.zero_variance = stream.Bernoulli(0.3) ? "resample" : "skip";
    StateRollouts rollouts(seed);
    const std::string name = absl::StrCat("run-", seed);
    TrainInterrupted(name, rollouts, stream);
    if (lag == 0) continue;
    early += rollouts.num_early;
    for (int64_t step = 0; step < kSteps; ++step) {
      const auto lines = ReadRolloutLines(RunRecorder::RolloutsPath(directory_ / name, step + 1));
      ASSERT_TRUE(lines.ok()) << lines.status();
      EXPECT_EQ(lines->size(), 12u);
      for (const auto& line : *lines) {
        if (!line.contains("policy_step")) {
          EXPECT_TRUE(line.contains("failure"));
          continue;
        }
        const int64_t behind = step - line["policy_step"].get<int64_t>();
        EXPECT_GE(behind, 0);
        EXPECT_LE(behind, lag);
        ++samples_by_lag[behind];
      }
    }
  }
  EXPECT_GT(early, 20);              // groups: sampling and training overlapped
  EXPECT_GT(samples_by_lag[0], 50);  // and samples came from all over the range
  EXPECT_GT(samples_by_lag[1], 50);
  EXPECT_GT(samples_by_lag[2], 10);
}

}  // namespace
}  // namespace evilmoe
