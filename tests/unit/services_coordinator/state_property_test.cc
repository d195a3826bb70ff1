// Random schedules of trainers, workers, crashes and clocks against the state, seeded: what must hold in all of them.
#include <prometheus/registry.h>

#include <map>
#include <random>
#include <set>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "services/coordinator/coordinator_state.h"
#include "tests/fakes/memory_store.h"

namespace evilmoe {
namespace {

constexpr int kGroupsPerStep = 4;
constexpr int kSteps = 8;
constexpr int kWorkers = 5;

// One run of a coordinator, its trainer and its workers, all of which may die at any moment.
class Schedule {
 public:
  Schedule(uint64_t seed, int64_t lag) : random_(seed), lag_(lag) { Restart(); }

  // Until the run has trained all its steps.
  void Go() {
    ASSERT_TRUE(Done(state_->SubmitRun({.run_id = "R", .config_yaml = "x", .steps_total = kSteps}, now_)).ok());
    for (int moves = 0; step_ < kSteps; ++moves) {
      ASSERT_LT(moves, 200'000) << "it does not get on";
      Move();
      if (::testing::Test::HasFatalFailure()) return;
    }
  }

  int64_t num_crashes() const { return num_crashes_; }
  int64_t num_stale() const { return num_stale_; }

 private:
  struct Held {
    Granted granted;
    size_t at = 0;
  };

  int Below(int n) { return std::uniform_int_distribution<int>(0, n - 1)(random_); }

  void Move() {
    const int what = Below(1000);
    if (what < 500) return WorkerMoves(Below(kWorkers));
    if (what < 900) return TrainerMoves();
    if (what < 980) return Tick();
    if (what < 992) return (void)held_[Below(kWorkers)].clear();  // it dies: its leases are left to run out
    if (what < 996) return TrainerDies();
    Restart();
    ++num_crashes_;
  }

  // What a call changed is durable, unless the coordinator dies first; then nobody hears of the call.
  template <typename Result>
  Result Done(Result result) {
    state_->TakeChanged();
    const std::vector<StoreChange> changes = state_->TakeChanges();
    if (!changes.empty() && Below(300) == 0) {
      ++num_crashes_;
      Restart();
      return Result(absl::UnavailableError("it died"));
    }
    EXPECT_TRUE(store_.Apply(changes).ok());
    return result;
  }

  // As the real client: a call that nobody answered is made again.
  template <typename Call>
  absl::Status Again(Call call) {
    absl::Status status = absl::UnavailableError("not called");
    while (absl::IsUnavailable(status)) status = Done(call());
    return status;
  }

  void Restart() {
    absl::StatusOr<StoreContents> contents = store_.Load();
    ASSERT_TRUE(contents.ok()) << contents.status();
    auto state = CoordinatorState::Create(*std::move(contents), options_, now_, metrics_);
    ASSERT_TRUE(state.ok()) << state.status();
    state_.emplace(*std::move(state));
    state_->TakeChanges();
  }

  void Tick() {
    now_ += absl::Seconds(Below(3));
    state_->ExpireOverdue(now_);
    (void)Done(absl::Status());
  }

  // ---- the trainer ----
  void TrainerDies() {
    has_job_ = false;
    ++life_;
    step_ = std::max<int64_t>(0, step_ - Below(2));  // its last checkpoint
    consumed_.erase(consumed_.lower_bound(step_), consumed_.end());
    fetched_ = 0;
  }

  void TrainerMoves() {
    if (!has_job_) return Acquire();
    if (const absl::Status opened = OpenAhead(); !opened.ok()) return Trouble(opened);
    const std::string key = absl::StrCat("step/", step_);
    const auto groups = state_->FetchGroups(fence_, key, fetched_, size_t{1} << 20, now_);
    if (!groups.ok()) return Trouble(groups.status());
    if (!*groups) return;
    for (const FinishedGroup& group : (*groups)->groups) Consume(group);
    fetched_ = (*groups)->next;
    if (fetched_ < kGroupsPerStep) return;
    ASSERT_EQ(consumed_[step_].size(), size_t{kGroupsPerStep}) << "each group of the step, once";
    absl::Status told = Again([&] { return state_->CloseBatch(fence_, key, now_); });
    if (told.ok()) {
      told = Again([&] { return state_->RecordEvent(fence_, key, {.kind = "step"}, step_ + 1, now_).status(); });
    }
    if (!told.ok()) return Trouble(told);
    ++step_;
    fetched_ = 0;
    if (told = Publish(); !told.ok()) return Trouble(told);
  }

  void Acquire() {
    const auto job = Done(state_->AcquireJob(
        {.trainer_id = absl::StrCat("T-", life_), .trainer_name = "T"}, now_));
    if (!job.ok()) return;
    if (!*job) {  // it failed for its trainers; a person sees to it
      ASSERT_EQ(state_->GetRun("R")->phase, RunPhase::kFailed);
      (void)Done(state_->RetryRun("R", now_).status());
      return;
    }
    fence_ = {"R", (*job)->job.job_id, (*job)->job.incarnation};
    if (!Done(state_->BeginJob(fence_, step_, "", now_)).ok() || !Publish().ok()) return;
    has_job_ = true;
    fetched_ = 0;
    consumed_.erase(consumed_.lower_bound(step_), consumed_.end());
  }

  // A call that was refused ends this try.
  void Trouble(const absl::Status& status) {
    ASSERT_TRUE(absl::IsAborted(status) || absl::IsNotFound(status)) << status;
    TrainerDies();
  }

  absl::Status Publish() {
    const AdapterName adapter{"R", step_, absl::StrCat("sha-", step_), 1};
    return Again([&] { return state_->PublishAdapter(fence_, adapter, now_); });
  }

  absl::Status OpenAhead() {
    for (int64_t step = step_; step <= std::min<int64_t>(step_ + lag_, kSteps - 1); ++step) {
      if (opened_.contains({fence_.incarnation, step}) && state_->FindBatch(fence_, absl::StrCat("step/", step)).ok()) continue;
      std::vector<GroupTask> groups;
      for (int i = 0; i < kGroupsPerStep; ++i) groups.push_back({.index = i, .num_samples = 1, .spec = "s"});
      const absl::Status opened = Again([&] {
        return state_->OpenBatch(
            fence_,
            {.key = absl::StrCat("step/", step), .step = step, .bind_at_lease = true, .max_policy_lag = lag_}, groups,
            now_);
      });
      if (!opened.ok()) return opened;
      opened_.insert({fence_.incarnation, step});
    }
    return absl::OkStatus();
  }

  void Consume(const FinishedGroup& group) {
    ASSERT_TRUE(consumed_[step_].insert(group.index).second) << "group " << group.index << " came twice";
    if (group.result == nullptr) {
      EXPECT_EQ(group.lost_reason, "INFRA_LOST");
      return;
    }
    const int64_t version = std::stoll(*group.result);  // that it was sampled with
    EXPECT_LE(version, step_);
    EXPECT_LE(step_ - version, lag_) << "older than max_policy_lag";
    num_stale_ += version < step_ ? 1 : 0;
  }

  // ---- workers ----
  void WorkerMoves(int number) {
    const std::string id = absl::StrCat("w", number);
    std::vector<Held>& held = held_[number];
    switch (Below(4)) {
      case 0: {
        std::vector<int64_t> ids;
        for (const Held& one : held) ids.push_back(one.granted.leases[one.at].lease_id);
        const std::vector<int64_t> lost = state_->Heartbeat(id, "h", ids, now_);
        std::erase_if(held, [&](const Held& one) {
          return std::ranges::count(lost, one.granted.leases[one.at].lease_id) > 0;
        });
        return;
      }
      case 1:
        if (state_->IsRegistered(id)) return Lease(id, held);
        return;
      case 2:
        if (!held.empty()) return Complete(id, held);
        return;
      default:
        if (held.empty() || Below(4) > 0) return;
        (void)Done(state_->AbandonGroup(id, held.back().granted.leases[held.back().at].lease_id, "CANCELLED", "", now_));
        held.pop_back();
    }
  }

  void Lease(const std::string& id, std::vector<Held>& held) {
    const auto granted = Done(state_->LeaseGroups(id, 1 + Below(2), now_));
    if (!granted.ok()) return;
    for (size_t i = 0; i < granted->leases.size(); ++i) {
      EXPECT_TRUE(leases_.insert(granted->leases[i].lease_id).second) << "a lease's number was used before";
      held.push_back({*granted, i});
    }
  }

  void Complete(const std::string& id, std::vector<Held>& held) {
    const Held one = held.back();
    held.pop_back();
    const AdapterName& adapter = one.granted.adapter;
    (void)state_->AcknowledgeAdapter(id, adapter, now_);
    const absl::Status done = Done(state_->CompleteGroup(
        id, one.granted.leases[one.at].lease_id,
        {one.granted.leases[one.at].task.index, 1, adapter, absl::StrCat(adapter.step)}, now_));
    // Refused: the lease is over, or the trainer went back and the version with it.
    EXPECT_TRUE(done.ok() || absl::IsAborted(done) || absl::IsUnavailable(done) || absl::IsFailedPrecondition(done))
        << done;
  }

  std::mt19937_64 random_;
  const int64_t lag_;
  const CoordinatorState::Options options_{.lease_timeout = absl::Seconds(5), .trainer_timeout = absl::Seconds(9)};
  prometheus::Registry registry_;
  CoordinatorMetrics metrics_{registry_};
  MemoryStore store_;
  absl::Time now_ = absl::UnixEpoch();
  std::optional<CoordinatorState> state_;
  JobFenceKey fence_;
  bool has_job_ = false;
  int life_ = 0;
  int64_t step_ = 0;
  int64_t fetched_ = 0;
  std::map<int64_t, std::set<int64_t>> consumed_;  // by step
  std::set<std::pair<int64_t, int64_t>> opened_;   // incarnation, step
  std::map<int, std::vector<Held>> held_;
  std::set<int64_t> leases_;
  int64_t num_crashes_ = 0;
  int64_t num_stale_ = 0;
};

class ScheduleTest : public ::testing::TestWithParam<int64_t> {};

TEST_P(ScheduleTest, EveryGroupCountsOnceAndNoneIsOlderThanTheLag) {
  int64_t num_crashes = 0, num_stale = 0;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    Schedule schedule(seed, GetParam());
    schedule.Go();
    if (HasFailure()) return;
    num_crashes += schedule.num_crashes();
    num_stale += schedule.num_stale();
  }
  EXPECT_GT(num_crashes, 200) << "the schedules are too tame";
  if (GetParam() == 0) {
    EXPECT_EQ(num_stale, 0);
  } else {
    EXPECT_GT(num_stale, 200) << "nothing ran ahead";
  }
}
INSTANTIATE_TEST_SUITE_P(Lags, ScheduleTest, ::testing::Values(0, 1, 3));

}  // namespace
}  // namespace evilmoe
