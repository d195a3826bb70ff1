#include "proto/security/call_guard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/hash.h"
#include "tests/fakes/fake_clock.h"
#include "tests/unit/proto_security/certificates_kit.h"

namespace evilmoe {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Code = absl::StatusCode;

constexpr char kRemote[] = "ipv4:10.0.0.1:4711";

std::string TokensFile(const std::vector<std::string>& roles) {  // a token of role R is "R-token", its name "R-name"
  std::string text;
  for (const std::string& role : roles) {
    const std::string sha256 = Sha256Hex(role + "-token");
    absl::StrAppend(&text, "- {name: ", role, "-name, role: ", role, ", sha256: \"", sha256, "\"}\n");
  }
  return text.empty() ? "[]" : text;
}

class CallGuardTest : public ::testing::Test {
 protected:
  void SetUp() override { Write(TokensFile({"read", "submit", "admin", "worker"})); }

  void Write(const std::string& text) { ASSERT_TRUE(WriteFileAtomic(folder_ / "tokens.yaml", text).ok()); }
  std::string Log() { return ReadFile(folder_ / "log").value_or(""); }
  void Start(const CallLimits& limits = {}, bool with_tokens = true) {
    auto guard = CallGuard::Create({.tokens = with_tokens ? folder_ / "tokens.yaml" : std::filesystem::path(),
                                    .limits = limits,
                                    .role_of = CoordinatorRole},
                                   clock_, &logger_, &metrics_);
    ASSERT_TRUE(guard.ok()) << guard.status();
    guard_ = *std::move(guard);
  }
  absl::Status Call(const std::string& role, std::string_view method, const std::string& peer = kRemote) {
    const std::string header = absl::StrCat("Bearer ", role, "-token");
    return guard_->Admit({.peer = peer, .authorization = header}, method).status();
  }
  double Refused(CallRefusal reason) { return metrics_.refused[static_cast<size_t>(reason)]->Value(); }

  const ScratchFolder folder_;
  FakeClock clock_;
  prometheus::Registry registry_;
  CallGuardMetrics metrics_{registry_, "coordinator"};
  Logger logger_ = Logger::Open(folder_ / "log", "test", clock_).value();
  std::unique_ptr<CallGuard> guard_;
};

struct RoleCase {
  std::string name, role, method;
  Code want;
};
class CallRoleTest : public CallGuardTest, public ::testing::WithParamInterface<RoleCase> {};

TEST_P(CallRoleTest, DecidesWhatItsHolderMayCall) {
  Start();
  const absl::Status status = Call(GetParam().role, GetParam().method);
  EXPECT_EQ(status.code(), GetParam().want) << status;
}

INSTANTIATE_TEST_SUITE_P(Cases, CallRoleTest, ::testing::ValuesIn(std::vector<RoleCase>{
    {"ReadReads", "read", "ListRuns", Code::kOk},
    {"ReadSubmits", "read", "SubmitRun", Code::kPermissionDenied},
    {"ReadWorks", "read", "LeaseGroups", Code::kPermissionDenied},
    {"SubmitReads", "submit", "ReadRunFile", Code::kOk},
    {"SubmitSubmits", "submit", "RetryRun", Code::kOk},
    {"SubmitWorks", "submit", "FinishJob", Code::kPermissionDenied},
    {"WorkerWorks", "worker", "CompleteGroup", Code::kOk},
    {"WorkerReads", "worker", "GetRun", Code::kPermissionDenied},
    {"WorkerSubmits", "worker", "CancelRun", Code::kPermissionDenied},
    {"AdminSubmits", "admin", "SubmitRun", Code::kOk},
    {"AdminWorks", "admin", "AcquireJob", Code::kOk},
    {"UnknownCallByReader", "read", "NewCall", Code::kPermissionDenied},
    {"UnknownToken", "unknown", "ListRuns", Code::kUnauthenticated}}),
    [](const auto& c) { return c.param.name; });

TEST_F(CallGuardTest, SaysWhoLacksWhatAndNeverTheToken) {
  Start();
  const std::string denied(Call("worker", "GetRun").message());
  EXPECT_EQ(denied, "GetRun: token worker-name has role worker, expected read; use a token of that role");
  const std::string unknown(Call("stolen", "GetRun").message());
  EXPECT_THAT(unknown, HasSubstr("GetRun: the token is not known here"));
  EXPECT_THAT(unknown, Not(HasSubstr("stolen")));
  EXPECT_EQ(Refused(CallRefusal::kPermissionDenied), 1);
  EXPECT_EQ(Refused(CallRefusal::kUnauthenticated), 1);
}

struct HeaderCase {
  std::string name;
  std::optional<std::string> header;
  bool ambiguous;
  Code want;
};
class HeaderTest : public CallGuardTest, public ::testing::WithParamInterface<HeaderCase> {};

TEST_P(HeaderTest, IsTakenOrNot) {
  Start();
  Caller caller{.peer = "ipv6:%5B::1%5D:1", .ambiguous = GetParam().ambiguous};
  if (GetParam().header) caller.authorization = *GetParam().header;
  EXPECT_EQ(guard_->Admit(caller, "ListRuns").status().code(), GetParam().want);
}

INSTANTIATE_TEST_SUITE_P(Cases, HeaderTest, ::testing::ValuesIn(std::vector<HeaderCase>{
    {"Good", "Bearer read-token", false, Code::kOk},
    {"SchemeInLowerCase", "bearer read-token", false, Code::kOk},
    {"None", std::nullopt, false, Code::kUnauthenticated},
    {"Twice", "Bearer read-token", true, Code::kUnauthenticated},
    {"Empty", "", false, Code::kUnauthenticated},
    {"SchemeAlone", "Bearer ", false, Code::kUnauthenticated},
    {"OtherScheme", "Basic read-token", false, Code::kUnauthenticated},
    {"NoScheme", "read-token", false, Code::kUnauthenticated},
    {"TheHash", "Bearer " + Sha256Hex("read-token"), false, Code::kUnauthenticated},
    {"SpaceBehind", "Bearer read-token ", false, Code::kUnauthenticated}}),
    [](const auto& c) { return c.param.name; });

TEST_F(CallGuardTest, AUnixSocketNeedsNoToken) {
  Start();
  EXPECT_TRUE(guard_->Admit({.peer = "unix:"}, "SubmitRun").ok());
  EXPECT_EQ(guard_->Admit({.peer = "ipv4:127.0.0.1:1"}, "SubmitRun").status().code(), Code::kUnauthenticated);
}

TEST_F(CallGuardTest, WithoutAFileNobodyNeedsAToken) {
  Start({}, /*with_tokens=*/false);
  EXPECT_TRUE(guard_->Admit({.peer = kRemote}, "SubmitRun").ok());
}

TEST_F(CallGuardTest, ReadsItsTokensAgainWhenTheyChange) {
  Start();
  EXPECT_TRUE(Call("read", "ListRuns").ok());
  Write(TokensFile({"submit"}));
  EXPECT_TRUE(Call("read", "ListRuns").ok()) << "looked at less than a second ago";
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(Call("read", "ListRuns").code(), Code::kUnauthenticated);
  EXPECT_TRUE(Call("submit", "ListRuns").ok());
  EXPECT_EQ(Log(), "");
}

TEST_F(CallGuardTest, KeepsTheLastGoodTokensAndSaysSoOnce) {
  Start();
  Write("- {name: broken}");
  for (int i = 0; i < 3; ++i) {
    clock_.Advance(absl::Seconds(1));
    EXPECT_TRUE(Call("read", "ListRuns").ok());
  }
  const std::string log = Log();
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 1) << log;
  EXPECT_THAT(log, HasSubstr("tokens_unreadable"));
  Write("[]");
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(Call("read", "ListRuns").code(), Code::kUnauthenticated);
}

TEST_F(CallGuardTest, TooManyCallsASecondAreCountedByToken) {
  Start({.calls_per_second = 2});
  EXPECT_TRUE(Call("read", "ListRuns", "ipv4:10.0.0.1:1").ok());
  EXPECT_TRUE(Call("read", "ListRuns", "ipv4:10.0.0.2:1").ok());
  const absl::Status refused = Call("read", "ListRuns", "ipv4:10.0.0.3:1");
  EXPECT_TRUE(IsTooManyCalls(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("from token read-name"));
  EXPECT_TRUE(Call("worker", "Heartbeat", "ipv4:10.0.0.1:1").ok()) << "has its own";
  clock_.Advance(absl::Milliseconds(500));
  EXPECT_TRUE(Call("read", "ListRuns").ok());
  EXPECT_EQ(Refused(CallRefusal::kRate), 1);
}

TEST_F(CallGuardTest, TooManyGuessesOfOneHostAreCountedTogether) {
  Start({.calls_per_second = 2});
  EXPECT_EQ(Call("a", "ListRuns", "ipv4:10.0.0.1:1").code(), Code::kUnauthenticated);
  EXPECT_EQ(Call("b", "ListRuns", "ipv4:10.0.0.1:2").code(), Code::kUnauthenticated);
  EXPECT_TRUE(IsTooManyCalls(Call("c", "ListRuns", "ipv4:10.0.0.1:3")));
  EXPECT_EQ(Call("c", "ListRuns", "ipv4:10.0.0.2:1").code(), Code::kUnauthenticated);
  EXPECT_TRUE(Call("read", "ListRuns", "ipv4:10.0.0.1:1").ok()) << "who has a token is not kept out by others' guesses";
}

TEST_F(CallGuardTest, TooManyCallsAtOnceWaitForAPermitToComeBack) {
  Start({.concurrent_calls = 2});
  const Caller local{.peer = "unix:"};
  absl::StatusOr<CallPermit> first = guard_->Admit(local, "ListRuns");
  const absl::StatusOr<CallPermit> second = guard_->Admit(local, "ListRuns");
  ASSERT_TRUE(first.ok() && second.ok());
  const absl::Status refused = guard_->Admit(local, "ListRuns").status();
  EXPECT_TRUE(IsTooManyCalls(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("2 are being answered"));
  EXPECT_EQ(Refused(CallRefusal::kConcurrency), 1);
  *first = CallPermit();
  EXPECT_TRUE(guard_->Admit(local, "ListRuns").ok());
  EXPECT_EQ(guard_->calls_in_flight(), 1);
}

TEST_F(CallGuardTest, StartsWithGoodTokensOrNotAtAll) {
  const auto create = [&] {
    return CallGuard::Create({.tokens = folder_ / "tokens.yaml", .role_of = CoordinatorRole}, clock_, nullptr, nullptr)
        .status();
  };
  Write("nonsense: true");
  EXPECT_EQ(create().code(), Code::kInvalidArgument);
  EXPECT_THAT(std::string(create().message()), HasSubstr("tokens.yaml:1:1: expected a list"));
  Write("[]");
  EXPECT_TRUE(create().ok());
  std::filesystem::permissions(folder_ / "tokens.yaml", std::filesystem::perms::others_write,
                               std::filesystem::perm_options::add);
  EXPECT_EQ(create().code(), Code::kFailedPrecondition);
  std::filesystem::remove(folder_ / "tokens.yaml");
  EXPECT_EQ(create().code(), Code::kNotFound);
}

}  // namespace
}  // namespace evilmoe
