// A worker's whole life against a coordinator that is away, forgets, loses answers and gives it what it cannot serve: a
// tiny random model samples, nothing but coordinator and grader is faked.
#include "rollout_workers/worker_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/registry.h>

#include <algorithm>
#include <future>
#include <map>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "policy/lora2r.h"
#include "policy/weights_fingerprint.h"
#include "rollout_workers/tiny_run.h"
#include "tests/unit/rollout_workers/fake_coordinator.h"

namespace evilmoe {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Seen = FakeCoordinator::Seen;

constexpr int kSamples = 3;

// Finds every sample right; holds grades back, or fails them, while it is told to.
class FakeGrader final : public Grader {
 public:
  absl::StatusOr<GradeResult> Grade(const GradeTask&, absl::Time deadline) override {
    MutexLock lock(mu_);
    ++num_asked_;
    mu_.NotifyAll();
    const auto go_on = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return !held_; };
    if (!mu_.AwaitFor(deadline - RealClock().Now(), go_on)) return absl::DeadlineExceededError("held");
    if (!failure_.ok()) return failure_;
    GradeResult result;
    result.facts.gt_correct = true;
    return result;
  }
  void Hold(bool held) {
    MutexLock lock(mu_);
    held_ = held;
    mu_.NotifyAll();
  }
  void Fail(absl::Status failure) {
    MutexLock lock(mu_);
    failure_ = std::move(failure);
  }
  // A minute at most.
  bool AwaitAsked(int number) {
    MutexLock lock(mu_);
    return mu_.AwaitFor(absl::Minutes(1), [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return num_asked_ >= number; });
  }

 private:
  Mutex mu_;
  bool held_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status failure_ ABSL_GUARDED_BY(mu_);
  int num_asked_ ABSL_GUARDED_BY(mu_) = 0;
};

// Models are made once: the tests only read them.
struct Models {
  Models() {
    std::string pattern = (fs::temp_directory_path() / "worker_models_XXXXXX").string();
    folder = mkdtemp(pattern.data());
    for (const uint64_t seed : {1, 2}) {
      const fs::path at = folder / absl::StrCat(seed);
      fs::create_directories(at);
      EXPECT_TRUE(MakeTinyRun(at, "evil_moe", seed).ok());
      paths.push_back(at / "model");
      const Qwen3Config config = LoadQwen3(at / "model")->config;
      adapters.push_back(
          *Lora2r::Init(config, {.rank = 2, .seed = seed, .targets = {"q_proj", "v_proj"}})->Serialize());
      Qwen3Config wider = config;
      wider.hidden_size *= 2;
      other_shape = *Lora2r::Init(wider, {.rank = 2, .seed = seed, .targets = {"q_proj"}})->Serialize();
    }
  }
  ~Models() { fs::remove_all(folder); }
  fs::path folder;
  std::vector<fs::path> paths;
  std::vector<std::string> adapters;
  std::string other_shape;  // an adapter of another network
};

class RolloutWorkerTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { models_ = std::make_unique<Models>(); }
  static void TearDownTestSuite() { models_.reset(); }

  RolloutWorkerTest()
      : folder_(MakeFolder()), coordinator_(folder_), logger_(*Logger::Open(folder_ / "log", "t", clock_)) {
    config_.worker_id = "w";
    config_.max_samples = 8;
    config_.kv_cache_mib = 64;
    config_.drain_s = 60;
    coordinator_.Serve();
  }
  ~RolloutWorkerTest() override {
    grader_.Hold(false);
    if (running_.valid()) Stop().IgnoreError();
    fs::remove_all(folder_);
  }
  static fs::path MakeFolder() {
    std::string pattern = (fs::temp_directory_path() / "worker_XXXXXX").string();
    return mkdtemp(pattern.data());
  }

  void Start() {
    running_ = std::async(std::launch::async, [this] {
      CoordinatorClient client({.address = coordinator_.address(), .retry_budget = absl::Milliseconds(100)});
      RolloutWorker worker(config_, client, grader_, metrics_, clock_, logger_);
      return worker.Run(stop_.get_token());
    });
  }
  absl::Status Stop() {
    stop_.request_stop();
    return running_.get();
  }
  FakeCoordinator::Work Work(int64_t index, size_t model = 0) {
    FakeCoordinator::Work work;
    work.run_id = absl::StrCat("R", model);
    work.config_yaml = absl::StrCat("model: {path: ", models_->paths[model].string(), "}\n");
    work.adapter = coordinator_.Publish(work.run_id, models_->adapters[model]);
    work.group.set_index(index);
    work.group.set_seed(static_cast<uint64_t>(100 + index));
    for (const int32_t id : {10, 20, 30, 40}) work.group.add_prompt_ids(id);
    work.group.set_num_samples(kSamples);
    work.group.mutable_mode()->set_kind(v1::AdapterMode::FULL);
    work.sampling.set_temperature(1);
    work.sampling.set_top_p(1);
    work.sampling.set_max_tokens(6);
    return work;
  }
  bool AwaitFinished(size_t number) {
    return coordinator_.Await([&](const Seen& seen) { return seen.finished.size() >= number; });
  }
  // What was sampled, by group.
  std::map<int64_t, std::string> Samples() {
    std::map<int64_t, std::string> samples;
    for (const v1::GroupResult& group : coordinator_.seen().finished) {
      EXPECT_EQ(group.samples_size(), kSamples);
      std::string text;
      for (const v1::SampleResult& sample : group.samples()) {
        EXPECT_TRUE(sample.facts().gt_correct());
        EXPECT_EQ(sample.failure(), "");
        absl::StrAppend(&text, sample.ids_size(), ":", sample.text(), "/");
      }
      EXPECT_TRUE(samples.emplace(group.index(), text).second) << "group " << group.index() << " twice";
    }
    return samples;
  }

  // The same, from a model that was never anything else.
  std::string SampledAlone(int64_t index, size_t model) {
    PolicyCache policies;
    const FakeCoordinator::Work work = Work(index, model);
    EXPECT_TRUE(policies.UseModel(models_->paths[model]).ok());
    EXPECT_TRUE(policies.Put(work.adapter.sha256(), models_->adapters[model]).ok());
    GroupRunner runner({.max_samples = 8, .threads = 1, .kv_budget_bytes = 1 << 26});
    SampleGroup group{.prompt_ids = {10, 20, 30, 40}, .num_samples = kSamples, .seed = work.group.seed()};
    group.settings = {.temperature = 1, .top_p = 1, .max_tokens = 6};
    EXPECT_TRUE(runner.Add(group, policies.Models(work.adapter.sha256(), {})->models).ok());
    std::vector<std::string> samples(kSamples);
    while (!runner.idle()) {
      const auto finished = runner.Step();
      for (const FinishedSample& sample : *finished) {
        samples[static_cast<size_t>(sample.sample)] =
            absl::StrCat(sample.ids.size(), ":", policies.tokenizer().Decode(sample.ids), "/");
      }
    }
    return absl::StrCat(samples[0], samples[1], samples[2]);
  }

  static std::unique_ptr<Models> models_;
  const RealClock clock_;
  const fs::path folder_;
  FakeCoordinator coordinator_;
  Logger logger_;
  FakeGrader grader_;
  prometheus::Registry registry_;
  RolloutMetrics metrics_{registry_};
  RolloutWorkerConfig config_;
  std::stop_source stop_;
  std::future<absl::Status> running_;
};
std::unique_ptr<Models> RolloutWorkerTest::models_;

TEST_F(RolloutWorkerTest, HandsEveryGroupInOnceAndEndsWhenAsked) {
  for (int i = 0; i < 5; ++i) coordinator_.Add(Work(i));
  Start();
  ASSERT_TRUE(AwaitFinished(5));
  EXPECT_TRUE(Stop().ok());
  EXPECT_THAT(Samples(), SizeIs(5));
  EXPECT_THAT(coordinator_.seen().given_back, IsEmpty());
  EXPECT_EQ(coordinator_.seen().num_open, 0);
  EXPECT_EQ(coordinator_.seen().calls["FetchAdapter"], 1);
  EXPECT_EQ(metrics_.groups_completed.Value(), 5);
  EXPECT_EQ(metrics_.adapter_bytes_sent.Value(), models_->adapters[0].size());
}

TEST_F(RolloutWorkerTest, SaysWhenItHadAGroup) {
  for (int i = 0; i < 2; ++i) coordinator_.Add(Work(i));
  Start();
  ASSERT_TRUE(AwaitFinished(2));
  EXPECT_TRUE(Stop().ok());
  for (const v1::GroupResult& group : coordinator_.seen().finished) {
    const v1::GroupTimes& times = group.times();
    EXPECT_GT(times.leased_unix_us(), 0);
    EXPECT_GE(times.grading_unix_us(), times.leased_unix_us());
    EXPECT_GE(times.sampled_unix_us(), times.leased_unix_us());
    EXPECT_GE(times.handed_in_unix_us(), times.sampled_unix_us());
    EXPECT_GE(times.handed_in_unix_us(), times.grading_unix_us());
  }
}

TEST_F(RolloutWorkerTest, SamplesTheSameWhateverHappensToItsCoordinator) {
  for (int i = 0; i < 4; ++i) coordinator_.Add(Work(i));
  Start();
  ASSERT_TRUE(AwaitFinished(4));
  const std::map<int64_t, std::string> want = Samples();

  grader_.Hold(true);
  for (int i = 0; i < 4; ++i) {
    FakeCoordinator::Work work = Work(i);
    work.group.set_index(10 + i);
    coordinator_.Add(work);
  }
  ASSERT_TRUE(grader_.AwaitAsked(4 * kSamples + 1));
  coordinator_.Vanish();
  grader_.Hold(false);
  ASSERT_TRUE(grader_.AwaitAsked(4 * kSamples + kSamples)) << "it goes on with what it has";
  coordinator_.Forget();
  coordinator_.LoseAnswers("CompleteGroup", 2);
  coordinator_.Serve();
  ASSERT_TRUE(AwaitFinished(8));
  EXPECT_TRUE(Stop().ok());
  std::map<int64_t, std::string> got = Samples();
  for (int64_t i = 0; i < 4; ++i) EXPECT_EQ(got[10 + i], want.at(i)) << i;
  EXPECT_THAT(coordinator_.seen().given_back, IsEmpty());
}

TEST_F(RolloutWorkerTest, WaitsForACoordinatorThatComesLater) {
  coordinator_.Vanish();
  Start();
  coordinator_.Add(Work(0));
  coordinator_.Serve();
  EXPECT_TRUE(AwaitFinished(1));
  EXPECT_TRUE(Stop().ok());
}

TEST_F(RolloutWorkerTest, AWrongTokenEndsItWithAnError) {
  coordinator_.Refuse("Heartbeat", {grpc::StatusCode::UNAUTHENTICATED, "no token"});
  Start();
  const absl::Status done = running_.get();
  EXPECT_TRUE(absl::IsUnauthenticated(done));
  EXPECT_THAT(std::string(done.message()), HasSubstr("check the token"));
}

TEST_F(RolloutWorkerTest, AGraderThatRefusesItEndsItAndCostsTheGroupNothing) {
  grader_.Fail(absl::PermissionDeniedError("role read"));
  coordinator_.Add(Work(0));
  Start();
  EXPECT_TRUE(absl::IsPermissionDenied(running_.get()));
  ASSERT_THAT(coordinator_.seen().given_back, SizeIs(1));
  EXPECT_EQ(coordinator_.seen().given_back[0].reason(), "CANCELLED");
}

TEST_F(RolloutWorkerTest, AGradeThatTheInfrastructureLostGivesTheGroupBack) {
  grader_.Fail(absl::UnavailableError("no grader"));
  coordinator_.Add(Work(0));
  Start();
  EXPECT_TRUE(coordinator_.Await([](const Seen& seen) { return seen.given_back.size() == 1; }));
  EXPECT_EQ(coordinator_.seen().given_back[0].reason(), "INFRA_LOST");
  grader_.Fail(absl::OkStatus());
  coordinator_.Add(Work(1));
  EXPECT_TRUE(AwaitFinished(1));
}

TEST_F(RolloutWorkerTest, FinishesWhatIsInFlightWhenAskedToEndAndTakesNothingMore) {
  grader_.Hold(true);
  coordinator_.Add(Work(0));
  Start();
  ASSERT_TRUE(grader_.AwaitAsked(1));
  stop_.request_stop();
  coordinator_.Add(Work(1));  // to a call that waits already, it may be
  const int heartbeats = coordinator_.seen().calls["Heartbeat"];
  EXPECT_TRUE(coordinator_.Await([&](const Seen& seen) { return seen.calls.at("Heartbeat") >= heartbeats + 2; }))
      << "they go on in the drain";
  ASSERT_TRUE(coordinator_.Await([](const Seen& seen) { return seen.num_polls == 0; }));
  coordinator_.Add(Work(2));
  grader_.Hold(false);
  EXPECT_TRUE(running_.get().ok());
  const Seen seen = coordinator_.seen();
  ASSERT_THAT(seen.finished, SizeIs(1));
  EXPECT_EQ(seen.finished[0].index(), 0);
  EXPECT_EQ(seen.num_open, 0) << "what came too late was given back";
  EXPECT_EQ(seen.num_pending + static_cast<int>(seen.given_back.size()), 2);
  EXPECT_GE(seen.num_pending, 1);
}

TEST_F(RolloutWorkerTest, GivesBackWhatTheDrainIsTooShortFor) {
  config_.drain_s = 0;
  grader_.Hold(true);
  coordinator_.Add(Work(0));
  coordinator_.Add(Work(1));
  Start();
  ASSERT_TRUE(grader_.AwaitAsked(2));
  stop_.request_stop();
  EXPECT_TRUE(coordinator_.Await([](const Seen& seen) { return seen.num_open == 0; }));
  grader_.Hold(false);
  EXPECT_TRUE(running_.get().ok());
  EXPECT_THAT(coordinator_.seen().finished, IsEmpty());
  for (const v1::AbandonGroupRequest& request : coordinator_.seen().given_back)
    EXPECT_EQ(request.reason(), "CANCELLED");
}

TEST_F(RolloutWorkerTest, AGradeThatOutlastsTheDrainIsNobodysLoss) {
  config_.drain_s = 1;
  config_.grade_threads = 1;  // the second sample is graded in the drain
  grader_.Hold(true);
  coordinator_.Add(Work(0));
  Start();
  ASSERT_TRUE(grader_.AwaitAsked(1));
  stop_.request_stop();
  EXPECT_TRUE(coordinator_.Await([](const Seen& seen) { return seen.given_back.size() == 1; }));
  grader_.Hold(false);
  EXPECT_TRUE(running_.get().ok());
  EXPECT_EQ(coordinator_.seen().given_back[0].reason(), "CANCELLED");
}

TEST_F(RolloutWorkerTest, RunsOverTwoBaseModelsAreSampledEachWithItsOwn) {
  for (int i = 0; i < 2; ++i) coordinator_.Add(Work(i));
  for (int i = 0; i < 2; ++i) coordinator_.Add(Work(10 + i, 1));
  for (int i = 2; i < 4; ++i) coordinator_.Add(Work(i));
  Start();
  ASSERT_TRUE(AwaitFinished(6));
  EXPECT_TRUE(Stop().ok());
  std::map<int64_t, std::string> got = Samples();
  EXPECT_THAT(coordinator_.seen().given_back, IsEmpty());
  for (const auto& [index, text] : got) EXPECT_EQ(text, SampledAlone(index, index < 10 ? 0 : 1)) << index;
}

TEST_F(RolloutWorkerTest, ARunOverOtherWeightsIsRefusedByNameAndTheNextServed) {
  FakeCoordinator::Work other = Work(0);
  other.model_fingerprint = *WeightsFingerprint(models_->paths[1]);
  FakeCoordinator::Work fits = Work(1, 1);
  fits.model_fingerprint = other.model_fingerprint;
  coordinator_.Add(other);
  coordinator_.Add(fits);
  Start();
  ASSERT_TRUE(AwaitFinished(1));
  ASSERT_THAT(coordinator_.seen().given_back, SizeIs(1));
  const v1::AbandonGroupRequest request = coordinator_.seen().given_back[0];
  EXPECT_EQ(request.reason(), "WRONG_BASE_MODEL");
  for (const std::string& part :
       {models_->paths[0].string(), *WeightsFingerprint(models_->paths[0]), "expected " + other.model_fingerprint}) {
    EXPECT_THAT(request.detail(), HasSubstr(part));
  }
}

struct UnfitCase {
  std::string name;
  std::function<void(FakeCoordinator::Work&)> spoil;
  std::string want_reason;
};
class UnfitRunTest : public RolloutWorkerTest, public ::testing::WithParamInterface<UnfitCase> {};

TEST_P(UnfitRunTest, IsGivenBackAndTheWorkerGoesOn) {
  FakeCoordinator::Work unfit = Work(0);
  unfit.run_id = "unfit";
  if (GetParam().name == "NoAdapter") unfit.adapter = coordinator_.Publish("unfit", "no adapter");
  if (GetParam().name == "AdapterOfAnotherShape") unfit.adapter = coordinator_.Publish("unfit", models_->other_shape);
  GetParam().spoil(unfit);
  coordinator_.Add(unfit);
  coordinator_.Add(Work(1));
  Start();
  ASSERT_TRUE(AwaitFinished(1));
  ASSERT_TRUE(coordinator_.Await([](const Seen& seen) { return seen.given_back.size() == 1; }));
  EXPECT_EQ(coordinator_.seen().given_back[0].reason(), GetParam().want_reason)
      << coordinator_.seen().given_back[0].detail();
}

INSTANTIATE_TEST_SUITE_P(
    Cases, UnfitRunTest,
    ::testing::ValuesIn(std::vector<UnfitCase>{
        {"NoModelThere", [](auto& work) { work.config_yaml = "model: {path: /is/not/there}\n"; }, "WRONG_BASE_MODEL"},
        {"AdapterOfAnotherShape", [](auto&) {}, "WRONG_BASE_MODEL"},
        {"NoAdapter", [](auto&) {}, "INFRA_LOST"},
        {"NoMode", [](auto& work) { work.group.clear_mode(); }, "INFRA_LOST"},
        {"TokenOutsideTheVocabulary", [](auto& work) { work.group.add_prompt_ids(1 << 20); }, "INFRA_LOST"}}),
    [](const auto& c) { return c.param.name; });

}  // namespace
}  // namespace evilmoe
