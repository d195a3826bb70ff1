#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "proto/security/channel_security.h"
#include "tests/fakes/fake_clock.h"
#include "tests/unit/proto_security/certificates_kit.h"
#include "tests/unit/proto_security/guarded_coordinator_service.h"

namespace evilmoe {

// A real server on loopback, TLS and tokens as each test wants them, out of files that scripts/make_certificates made.
class SecureFixture : public ::testing::Test {
 protected:
  void SetUp() override { MakeCertificates(folder_ / "c"); }
  void TearDown() override { StopServing(); }
  // Every call is over then, and its reactor gone.
  void StopServing() {
    if (server_) server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
    server_.reset();
  }

  // False: `done` was still false after a long time.
  static bool AwaitTrue(const std::function<bool()>& done) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    Mutex mu;
    while (!done()) {
      if (std::chrono::steady_clock::now() >= end) return false;
      const MutexLock lock(mu);
      mu.AwaitFor(absl::Milliseconds(50), [] { return false; });
    }
    return true;
  }

  std::filesystem::path File(const std::string& name) const { return folder_ / "c" / name; }
  ServerSecurity Tls() const { return {.certificate = File("server.pem"), .key = File("server.key")}; }
  ServerSecurity Mutual() const {
    ServerSecurity security = Tls();
    security.client_ca = File("ca.pem");
    return security;
  }
  ServerSecurity MutualWithTokens() const {
    ServerSecurity security = Mutual();
    security.tokens = File("tokens.yaml");
    return security;
  }
  // Of a client with everything, and the token of `role`.
  ChannelSecurity Client(const std::string& role) const {
    return {.ca = File("ca.pem"), .certificate = File("client.pem"), .key = File("client.key"),
            .token = File(role + ".token")};
  }

  // The guard's clock stands still unless the test moves it.
  void Guard(const std::filesystem::path& tokens, const CallLimits& limits = {}) {
    auto guard = CallGuard::Create({.tokens = tokens, .limits = limits, .role_of = CoordinatorRole}, clock_, nullptr,
                                   nullptr);
    ASSERT_TRUE(guard.ok()) << guard.status();
    guard_ = *std::move(guard);
  }
  void Listen(const ServerSecurity& security, grpc::Service& service, const CallLimits& limits = {}) {
    auto listening = StartListening({.listen = {.addresses = {"127.0.0.1:0"}, .security = security, .limits = limits},
                                     .reload_interval = absl::Seconds(1)},
                                    {&service}, RealClock().Now());
    ASSERT_TRUE(listening.ok()) << listening.status();
    server_ = std::move(listening->server);
    address_ = absl::StrCat("127.0.0.1:", listening->ports.at(0));
  }
  void Serve(const ServerSecurity& security, const CallLimits& limits = {}) {
    StopServing();
    Guard(security.tokens, limits);
    service_ = std::make_unique<GuardedCoordinator>(*guard_);
    Listen(security, *service_, limits);
  }

  const ScratchFolder folder_;
  FakeClock clock_;
  std::unique_ptr<CallGuard> guard_;
  std::unique_ptr<GuardedCoordinator> service_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
};

}  // namespace evilmoe
