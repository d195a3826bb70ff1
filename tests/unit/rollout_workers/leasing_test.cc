// What is done between a lease and its first token: base model, adapter, acknowledgement.
#include "rollout_workers/leasing.h"

#include <gmock/gmock.h>

#include <atomic>

#include "absl/strings/str_cat.h"
#include "common/hash.h"
#include "rollout_workers/call_outcome.h"
#include "tests/unit/rollout_workers/leases_fixture.h"

namespace evilmoe {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Seen = FakeCoordinator::Seen;

constexpr absl::Duration kMinute = absl::Minutes(1);

std::string ConfigOver(const std::string& model) { return absl::StrCat("model: {path: ", model, "}\n"); }

class LeasingTest : public LeasesTest {
 protected:
  LeasingTest()
      : adapters_({.folder = folder_ / "cache"}, logger_),
        base_models_([this](const std::filesystem::path& folder) -> absl::StatusOr<std::string> {
          ++num_hashed_;
          if (folder == "/none") return absl::NotFoundError("/none/model.safetensors: No such file or directory");
          return "print of " + folder.string();
        }),
        leasing_({client_, session_, in_flight_, outbox_, adapters_, base_models_, metrics_, clock_, logger_}) {}
  ~LeasingTest() override {
    stop_.request_stop();
    threads_.clear();
  }

  void StartLeasing() {
    ServeAndBegin();
    Start([this](const std::stop_token& stop) { leasing_.Loop(stop); });
  }
  FakeCoordinator::Work Work(const std::string& run_id, const std::string& model, const std::string& fingerprint) {
    FakeCoordinator::Work work = LeasesTest::Work();
    work.run_id = run_id;
    work.config_yaml = ConfigOver(model);
    work.model_fingerprint = fingerprint;
    return work;
  }
  std::optional<LeasedGroups> Next(const std::vector<std::string>& held = {}) {
    leasing_.Want(held);
    return leasing_.Take(kMinute);
  }

  std::atomic<int> num_hashed_ = 0;
  AdapterCache adapters_;
  BaseModelCheck base_models_;
  Leasing leasing_;
};

TEST_F(LeasingTest, AGroupComesWithModelAndAcknowledgedAdapter) {
  StartLeasing();
  coordinator_.Add(Work("R", "/m", "print of /m"));
  const std::optional<LeasedGroups> groups = Next();
  ASSERT_TRUE(groups.has_value());
  EXPECT_EQ(groups->model.folder, "/m");
  EXPECT_TRUE(groups->adapter == bytes_);
  EXPECT_THAT(coordinator_.seen().acknowledged, ElementsAre(Sha256Hex(bytes_)));
  EXPECT_EQ(metrics_.adapter_bytes_sent.Value(), bytes_.size());
  EXPECT_THAT(in_flight_.LeaseIds(), SizeIs(1));
}

TEST_F(LeasingTest, NothingIsLeasedThatIsNotWanted) {
  StartLeasing();
  for (int i = 0; i < 3; ++i) coordinator_.Add(Work("R", "/m", ""));
  ASSERT_TRUE(Next().has_value());
  EXPECT_FALSE(leasing_.Take(absl::Milliseconds(50)).has_value());
  EXPECT_EQ(coordinator_.seen().num_pending, 2);
}

TEST_F(LeasingTest, AnAdapterThatIsHeldIsNotFetchedAndOneOfAnotherWorkersIsReadFromTheFolder) {
  StartLeasing();
  for (int i = 0; i < 3; ++i) coordinator_.Add(Work("R", "/m", ""));
  EXPECT_TRUE(Next()->adapter == bytes_);
  EXPECT_EQ(Next({Sha256Hex(bytes_)})->adapter, "");
  EXPECT_TRUE(Next()->adapter == bytes_);  // as a second worker would
  EXPECT_EQ(coordinator_.seen().calls["FetchAdapter"], 1);
  EXPECT_EQ(metrics_.adapter_bytes_cached.Value(), bytes_.size());
}

// Inside a call's retries, and over calls: the first two break within one, then the coordinator is away for longer.
TEST_F(LeasingTest, ABrokenTransferGoesOnWhereItBroke) {
  StartLeasing();
  coordinator_.BreakTransfers({1024, 2048});
  coordinator_.Add(Work("R", "/m", ""));
  EXPECT_TRUE(Next()->adapter == bytes_);
  EXPECT_THAT(coordinator_.seen().fetch_offsets, ElementsAre(0, 1024, 3072));
  EXPECT_EQ(metrics_.adapter_bytes_sent.Value(), bytes_.size());
}

TEST_F(LeasingTest, ACoordinatorThatVanishesInTheMiddleIsWaitedFor) {
  StartLeasing();
  coordinator_.Refuse("FetchAdapter", {grpc::StatusCode::UNAVAILABLE, "not now"});
  coordinator_.Add(Work("R", "/m", ""));
  leasing_.Want({});
  EXPECT_TRUE(coordinator_.Await([](const Seen& seen) { return seen.calls.contains("FetchAdapter"); }));
  coordinator_.Vanish();
  coordinator_.Refuse("FetchAdapter", grpc::Status::OK);
  coordinator_.Serve();
  const std::optional<LeasedGroups> groups = leasing_.Take(kMinute);
  ASSERT_TRUE(groups.has_value());
  EXPECT_TRUE(groups->adapter == bytes_);
}

TEST_F(LeasingTest, ARunOverAnotherBaseModelIsGivenBackByNameAndOthersGoOn) {
  StartLeasing();
  coordinator_.Add(Work("R", "/m", "another print"));
  coordinator_.Add(Work("R", "/m", "another print"));
  coordinator_.Add(Work("S", "/none", "print of something"));
  coordinator_.Add(Work("T", "/m", "print of /m"));
  coordinator_.Add(Work("U", "/m", "print of /m"));
  EXPECT_EQ(Next()->response.run_id(), "T");
  EXPECT_EQ(Next()->response.run_id(), "U");
  ASSERT_TRUE(outbox_.AwaitEmpty(kMinute));
  const std::vector<v1::AbandonGroupRequest> given_back = coordinator_.seen().given_back;
  ASSERT_THAT(given_back, SizeIs(3));
  for (const v1::AbandonGroupRequest& request : given_back) EXPECT_EQ(request.reason(), "WRONG_BASE_MODEL");
  EXPECT_THAT(given_back[0].detail(),
              AllOf(HasSubstr("/m"), HasSubstr("print of /m"), HasSubstr("expected another print")));
  EXPECT_EQ(given_back[1].detail(), given_back[0].detail());
  EXPECT_THAT(given_back[2].detail(), HasSubstr("/none/model.safetensors"));
  EXPECT_EQ(num_hashed_, 2) << "a folder once";
}

TEST_F(LeasingTest, AConfigThatThisProgramCannotReadIsAnotherWorkersTask) {
  StartLeasing();
  FakeCoordinator::Work odd = Work("R", "/m", "");
  odd.config_yaml = "name: without a model\n";
  coordinator_.Add(odd);
  coordinator_.Add(Work("S", "/m", ""));
  EXPECT_EQ(Next()->response.run_id(), "S");
  ASSERT_TRUE(outbox_.AwaitEmpty(kMinute));
  EXPECT_EQ(coordinator_.seen().given_back.at(0).reason(), "WRONG_BASE_MODEL");
}

TEST_F(LeasingTest, AnAdapterThatIsGoneCostsTheGroupAndNotTheWorker) {
  StartLeasing();
  FakeCoordinator::Work lost = Work("R", "/m", "");
  lost.adapter = coordinator_.Publish("R", "other bytes");
  coordinator_.Unpublish(lost.adapter);
  coordinator_.Add(lost);
  coordinator_.Add(Work("R", "/m", ""));
  EXPECT_TRUE(Next()->adapter == bytes_);
  ASSERT_TRUE(outbox_.AwaitEmpty(kMinute));
  EXPECT_EQ(coordinator_.seen().given_back.at(0).reason(), "INFRA_LOST");
}

TEST_F(LeasingTest, ATokenThatIsRefusedEndsTheLoop) {
  coordinator_.Refuse("LeaseGroups", {grpc::StatusCode::PERMISSION_DENIED, "role read"});
  StartLeasing();
  leasing_.Want({});
  threads_.back().join();  // by itself
  EXPECT_EQ(coordinator_.seen().calls["LeaseGroups"], 1);
  EXPECT_TRUE(absl::IsPermissionDenied(session_.failure()));
}

TEST_F(LeasingTest, ATokenThatMayNotFetchEndsTheLoopAndCostsTheGroupNothing) {
  coordinator_.Refuse("FetchAdapter", {grpc::StatusCode::UNAUTHENTICATED, "expired"});
  StartLeasing();
  coordinator_.Add(Work("R", "/m", ""));
  leasing_.Want({});
  threads_.back().join();  // by itself
  EXPECT_TRUE(absl::IsUnauthenticated(session_.failure()));
  ASSERT_TRUE(outbox_.AwaitEmpty(kMinute));
  EXPECT_EQ(coordinator_.seen().given_back.at(0).reason(), "CANCELLED");
}

TEST_F(LeasingTest, AGroupThatIsGrantedAfterTheStopIsGivenBack) {
  StartLeasing();
  leasing_.Want({});
  EXPECT_TRUE(coordinator_.Await([](const Seen& seen) { return seen.num_polls == 1; }));
  threads_.back().request_stop();
  EXPECT_FALSE(leasing_.AwaitEnd(absl::ZeroDuration())) << "its call is not cut short";
  coordinator_.Add(Work("R", "/m", ""));
  EXPECT_TRUE(leasing_.AwaitEnd(kMinute));
  EXPECT_TRUE(outbox_.AwaitEmpty(kMinute));
  EXPECT_EQ(coordinator_.seen().given_back.at(0).reason(), "CANCELLED");
  EXPECT_EQ(coordinator_.seen().num_open, 0);
  EXPECT_EQ(coordinator_.seen().calls["FetchAdapter"], 0);
}

TEST_F(LeasingTest, EndsSoonWhereNothingComes) {
  StartLeasing();
  leasing_.Want({});
  EXPECT_TRUE(coordinator_.Await([](const Seen& seen) { return seen.num_polls == 1; }));
  threads_.back().request_stop();
  EXPECT_TRUE(leasing_.AwaitEnd(kMinute));
  EXPECT_EQ(coordinator_.seen().calls["LeaseGroups"], 1);
}

TEST(CallOutcome, SaysWhatAWorkerDoesNext) {
  using Code = absl::StatusCode;
  const std::map<Code, CallOutcome> want = {{Code::kOk, CallOutcome::kOk},
                                            {Code::kUnavailable, CallOutcome::kLater},
                                            {Code::kDeadlineExceeded, CallOutcome::kLater},
                                            {Code::kResourceExhausted, CallOutcome::kLater},
                                            {Code::kInternal, CallOutcome::kLater},
                                            {Code::kUnknown, CallOutcome::kLater},
                                            {Code::kCancelled, CallOutcome::kLater},
                                            {Code::kAborted, CallOutcome::kTaken},
                                            {Code::kFailedPrecondition, CallOutcome::kUnknown},
                                            {Code::kInvalidArgument, CallOutcome::kRefused},
                                            {Code::kNotFound, CallOutcome::kRefused},
                                            {Code::kDataLoss, CallOutcome::kRefused},
                                            {Code::kUnauthenticated, CallOutcome::kForbidden},
                                            {Code::kPermissionDenied, CallOutcome::kForbidden},
                                            {Code::kUnimplemented, CallOutcome::kForbidden}};
  for (const auto& [code, outcome] : want)
    EXPECT_EQ(OutcomeOf(absl::Status(code, "")), outcome) << absl::Status(code, "");
}

}  // namespace
}  // namespace evilmoe
