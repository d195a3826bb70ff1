// The coordinator's client with certificates and tokens.
#include <thread>

#include "common/file.h"
#include "proto/coordinator_client.h"
#include "tests/unit/proto_security/secure_fixture.h"

namespace evilmoe {
namespace {

using ::testing::HasSubstr;
using Code = absl::StatusCode;

class SecureClientTest : public SecureFixture {
 protected:
  std::unique_ptr<CoordinatorClient> Connect(const ChannelSecurity& security,
                                             absl::Duration budget = absl::ZeroDuration()) const {
    return std::make_unique<CoordinatorClient>(
        CoordinatorClientOptions{.address = address_, .retry_budget = budget, .security = security});
  }
};

TEST_F(SecureClientTest, EachRoleMakesItsCalls) {
  Serve(MutualWithTokens());
  EXPECT_TRUE(Connect(Client("read"))->ListRuns({}).ok());
  EXPECT_EQ(Connect(Client("read"))->SubmitRun({}).status().code(), Code::kPermissionDenied);
  EXPECT_TRUE(Connect(Client("submit"))->SubmitRun({}).ok());
  EXPECT_TRUE(Connect(Client("worker"))->Heartbeat({}).ok());
  EXPECT_EQ(Connect(Client("worker"))->ListRuns({}).status().code(), Code::kPermissionDenied);
}

TEST_F(SecureClientTest, WhatNoChannelCanHaveIsToldAtOnce) {
  address_ = "coordinator.example:7000";
  ChannelSecurity security = Client("read");
  security.ca = folder_ / "absent.pem";
  const absl::Status absent = Connect(security, absl::Hours(1))->ListRuns({}).status();
  EXPECT_EQ(absent.code(), Code::kNotFound);
  EXPECT_THAT(std::string(absent.message()), HasSubstr("coordinator coordinator.example:7000: security.ca"));
  const absl::Status plain = Connect({.token = File("read.token")}, absl::Hours(1))->ListRuns({}).status();
  EXPECT_EQ(plain.code(), Code::kFailedPrecondition);
  EXPECT_THAT(std::string(plain.message()), HasSubstr("in plain"));
}

TEST_F(SecureClientTest, ATokenThatIsReplacedIsShownAtItsNextCalls) {
  Serve(MutualWithTokens());
  const std::filesystem::path token = folder_ / "token";
  ASSERT_TRUE(WriteFileAtomic(token, "revoked").ok());
  ChannelSecurity security = Client("read");
  security.token = token;
  const auto client = Connect(security);
  EXPECT_EQ(client->ListRuns({}).status().code(), Code::kUnauthenticated);
  ASSERT_TRUE(WriteFileAtomic(token, ReadFile(File("read.token")).value()).ok());
  EXPECT_TRUE(AwaitTrue([&] { return client->ListRuns({}).ok(); }));
}

TEST_F(SecureClientTest, TooManyCallsAreTriedAgain) {
  Serve({}, {.calls_per_second = 1});
  ASSERT_TRUE(Connect({})->ListRuns({}).ok());
  const absl::Status refused = Connect({})->ListRuns({}).status();
  EXPECT_EQ(refused.code(), Code::kResourceExhausted);
  absl::Status status;
  std::jthread caller([&] { status = Connect({}, absl::Seconds(30))->ListRuns({}).status(); });
  clock_.Advance(absl::Seconds(1));  // before its first try or after
  caller.join();
  EXPECT_EQ(status, absl::OkStatus());
}

}  // namespace
}  // namespace evilmoe
