// What a server lets in and what it refuses, over real connections.
#include <google/protobuf/descriptor.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <chrono>
#include <cstdlib>
#include <set>
#include <thread>

#include "common/file.h"
#include "proto/grpc_status.h"
#include "proto/security/secure_channel_client.h"
#include "tests/unit/proto_security/secure_fixture.h"

namespace evilmoe {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Code = absl::StatusCode;
using Stub = v1::CoordinatorService::Stub;

grpc::ChannelArguments OwnConnection() {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return arguments;
}

void SetDeadline(grpc::ClientContext& context) {
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
}

absl::Status ListRuns(const std::shared_ptr<grpc::Channel>& channel, const std::string& sweep = "") {
  grpc::ClientContext context;
  SetDeadline(context);
  v1::ListRunsRequest request;
  request.set_sweep(sweep);
  v1::ListRunsResponse response;
  return FromGrpcStatus(v1::CoordinatorService::NewStub(channel)->ListRuns(&context, request, &response));
}

class SecureRpcTest : public SecureFixture {
 protected:
  std::shared_ptr<grpc::Channel> Channel(const ChannelSecurity& security) {
    const auto channel = OpenChannel(address_, security, OwnConnection());
    EXPECT_TRUE(channel.ok()) << channel.status();
    return channel.value();
  }
  absl::Status Call(const ChannelSecurity& security) { return ExplainConnection(ListRuns(Channel(security))); }
  // With whatever certificate; OpenChannel() would not take all.
  absl::Status CallWithCertificate(const std::filesystem::path& certificate, const std::filesystem::path& key) {
    grpc::experimental::TlsChannelCredentialsOptions options;
    options.set_certificate_provider(std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(
        key.string(), certificate.string(), File("ca.pem").string(), 10));
    options.watch_root_certs();
    options.watch_identity_key_cert_pairs();
    return ListRuns(grpc::CreateCustomChannel(address_, grpc::experimental::TlsCredentials(options), OwnConnection()));
  }
  // Replaces the server's certificate and key by those in `folder`.
  void Replace(const std::filesystem::path& folder) {
    for (const char* name : {"server.key", "server.pem"}) {
      ASSERT_TRUE(WriteFileAtomic(File(name), ReadFile(folder / name).value()).ok());
    }
  }
  // Calls until the answer has `code`; its text.
  std::string AwaitCode(const ChannelSecurity& security, Code code) {
    absl::Status status;
    EXPECT_TRUE(AwaitTrue([&] {
      status = Call(security);
      return status.code() == code;
    })) << status;
    return std::string(status.message());
  }
};

TEST_F(SecureRpcTest, WhoHasCertificateAndTokenIsLetIn) {
  Serve(MutualWithTokens());
  EXPECT_EQ(Call(Client("read")), absl::OkStatus());
  EXPECT_EQ(Call(Client("admin")), absl::OkStatus());
}

TEST_F(SecureRpcTest, TlsWithoutClientCertificates) {
  Serve(Tls());
  EXPECT_EQ(Call({.ca = File("ca.pem")}), absl::OkStatus());
}

TEST_F(SecureRpcTest, NoTokenAWrongTokenAndAWrongRole) {
  Serve(MutualWithTokens());
  ChannelSecurity client = Client("read");
  client.token.clear();
  EXPECT_EQ(Call(client).code(), Code::kUnauthenticated);
  ASSERT_TRUE(WriteFileAtomic(folder_ / "wrong", "not-a-token-of-this-server").ok());
  client.token = folder_ / "wrong";
  EXPECT_EQ(Call(client).code(), Code::kUnauthenticated);
  const absl::Status denied = Call(Client("worker"));
  EXPECT_EQ(denied.code(), Code::kPermissionDenied);
  EXPECT_THAT(std::string(denied.message()), HasSubstr("token worker has role worker, expected read"));
}

TEST_F(SecureRpcTest, ClientsWithoutAGoodCertificateGetNoConnection) {
  Serve(Mutual());
  MakeCertificates(folder_ / "foreign");
  const absl::Status none = Call({.ca = File("ca.pem")});
  EXPECT_EQ(none.code(), Code::kUnavailable);
  EXPECT_THAT(std::string(none.message()), HasSubstr("another client certificate"));
  EXPECT_EQ(CallWithCertificate(folder_ / "foreign/client.pem", folder_ / "foreign/client.key").code(),
            Code::kUnavailable);
  EXPECT_EQ(CallWithCertificate(File("server.pem"), File("server.key")).code(), Code::kUnavailable)
      << "a server's certificate is none for clients";
  EXPECT_EQ(CallWithCertificate(File("client.pem"), File("client.key")), absl::OkStatus());
}

TEST_F(SecureRpcTest, AnExpiredClientCertificateIsRefusedByBothSides) {
  Serve(Mutual());
  MakeCertificates(File("."), {"--days", "-1"});
  EXPECT_EQ(CallWithCertificate(File("client.pem"), File("client.key")).code(), Code::kUnavailable);
  const auto channel = OpenChannel(address_, Client("read"), OwnConnection());
  EXPECT_EQ(channel.status().code(), Code::kFailedPrecondition);
  EXPECT_THAT(std::string(channel.status().message()), HasSubstr("expired at"));
}

TEST_F(SecureRpcTest, AReplacedCertificateServesTheNextConnectionAndAnExpiredOneIsRefused) {
  MakeCertificates(File("."), {"--days", "365"});
  Serve(Tls());
  const ChannelSecurity client = {.ca = File("ca.pem")};
  ASSERT_EQ(Call(client), absl::OkStatus());
  std::filesystem::copy(File("."), folder_ / "expired");
  std::filesystem::copy(File("."), folder_ / "good");
  MakeCertificates(folder_ / "expired", {"--days", "-1"});  // of the same CA
  Replace(folder_ / "expired");
  EXPECT_THAT(AwaitCode(client, Code::kUnavailable), HasSubstr("has expired"));
  Replace(folder_ / "good");
  EXPECT_THAT(AwaitCode(client, Code::kOk), IsEmpty());
}

TEST_F(SecureRpcTest, AServerDoesNotStartWithAnExpiredCertificate) {
  MakeCertificates(File("."), {"--days", "-1"});
  Guard({});
  GuardedCoordinator service(*guard_);
  const auto listening = StartListening({.listen = {.addresses = {"127.0.0.1:0"}, .security = Tls()}}, {&service},
                                        RealClock().Now());
  EXPECT_EQ(listening.status().code(), Code::kFailedPrecondition);
  EXPECT_THAT(std::string(listening.status().message()), HasSubstr("tls.certificate: "));
}

TEST_F(SecureRpcTest, AServerThatIsNotOfTheCaOrHasAnotherNameIsNotBelieved) {
  Serve(Tls());
  MakeCertificates(folder_ / "foreign");
  const absl::Status foreign = Call({.ca = folder_ / "foreign/ca.pem"});
  EXPECT_EQ(foreign.code(), Code::kUnavailable);
  EXPECT_THAT(std::string(foreign.message()), HasSubstr("not of security.ca"));
  const absl::Status other = Call({.ca = File("ca.pem"), .server_name = "elsewhere.example"});
  EXPECT_EQ(other.code(), Code::kUnavailable);
  EXPECT_THAT(std::string(other.message()), HasSubstr("does not name the host"));
  EXPECT_EQ(Call({.ca = File("ca.pem"), .server_name = "localhost"}), absl::OkStatus());
}

TEST_F(SecureRpcTest, PlainAndTlsDoNotMeet) {
  Serve(Tls());
  const absl::Status plain = Call({});
  EXPECT_EQ(plain.code(), Code::kUnavailable);
  EXPECT_THAT(std::string(plain.message()), HasSubstr("it may want TLS"));
  Serve({});
  const absl::Status tls = Call({.ca = File("ca.pem")});
  EXPECT_EQ(tls.code(), Code::kUnavailable);
  EXPECT_THAT(std::string(tls.message()), HasSubstr("does not speak TLS"));
  EXPECT_EQ(Call({}), absl::OkStatus());
}

TEST_F(SecureRpcTest, ATokenOverPlainLoopback) {
  Serve({.tokens = File("tokens.yaml")});
  EXPECT_EQ(Call({.token = File("read.token")}), absl::OkStatus());
  EXPECT_EQ(Call({}).code(), Code::kUnauthenticated);
}

TEST_F(SecureRpcTest, ATokenInPlainGoesThroughNoProxy) {
  Serve({.tokens = File("tokens.yaml")});
  setenv("http_proxy", "http://127.0.0.1:1", 1);  // nobody listens there
  const absl::Status status = Call({.token = File("read.token")});
  unsetenv("http_proxy");
  EXPECT_EQ(status, absl::OkStatus());
}

TEST_F(SecureRpcTest, AUnixSocketAsksForNoToken) {
  Guard(File("tokens.yaml"));
  GuardedCoordinator service(*guard_);
  const std::string path = (folder_ / "s").string();
  const auto listening =
      StartListening({.listen = {.addresses = {"unix:" + path, "127.0.0.1:0"}, .security = MutualWithTokens()}},
                     {&service}, RealClock().Now());
  ASSERT_TRUE(listening.ok()) << listening.status();
  address_ = "unix:" + path;
  EXPECT_EQ(Call({}), absl::OkStatus());
  EXPECT_EQ(Call({.token = File("worker.token")}), absl::OkStatus());
  EXPECT_EQ(std::filesystem::status(path).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  address_ = absl::StrCat("127.0.0.1:", listening->ports.at(1));
  EXPECT_EQ(Call(Client("worker")).code(), Code::kPermissionDenied);
  listening->server->Shutdown(std::chrono::system_clock::now());
}

TEST_F(SecureRpcTest, AnAddressThatIsTakenIsNamed) {
  Serve({});
  GuardedCoordinator other(*guard_);
  const auto second = StartListening({.listen = {.addresses = {"127.0.0.1:0", address_}}}, {&other}, RealClock().Now());
  EXPECT_EQ(second.status().code(), Code::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(address_));
}

TEST_F(SecureRpcTest, AMessageThatIsTooLarge) {
  Serve({}, {.message_mib = 1});
  const auto channel = Channel({});
  EXPECT_EQ(ListRuns(channel, std::string((1 << 20) - 100, 'x')), absl::OkStatus());
  const absl::Status refused = ListRuns(channel, std::string(1 << 20, 'x'));
  EXPECT_EQ(refused.code(), Code::kResourceExhausted);
  EXPECT_FALSE(IsTooManyCalls(refused));
  EXPECT_EQ(ListRuns(channel), absl::OkStatus()) << "the connection lives on";
}

TEST_F(SecureRpcTest, TooManyCallsASecond) {
  Serve({}, {.calls_per_second = 2});
  const auto channel = Channel({});
  EXPECT_EQ(ListRuns(channel), absl::OkStatus());
  EXPECT_EQ(ListRuns(channel), absl::OkStatus());
  EXPECT_TRUE(IsTooManyCalls(ListRuns(channel)));
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(ListRuns(channel), absl::OkStatus());
}

TEST_F(SecureRpcTest, TooManyCallsAtOnce) {
  Guard({}, {.concurrent_calls = 2});
  WaitingCoordinator waiting(*guard_);
  Listen({}, waiting);
  const auto stub = v1::CoordinatorService::NewStub(Channel({}));
  const auto lease = [&] {
    grpc::ClientContext context;
    SetDeadline(context);
    v1::LeaseGroupsResponse response;
    return FromGrpcStatus(stub->LeaseGroups(&context, {}, &response));
  };
  std::vector<absl::Status> statuses(2);
  {
    std::vector<std::jthread> callers;
    for (absl::Status& status : statuses) callers.emplace_back([&] { status = lease(); });
    ASSERT_TRUE(waiting.AwaitWaiting(2));
    EXPECT_TRUE(IsTooManyCalls(lease()));
    waiting.LetGo();
  }
  EXPECT_THAT(statuses, ::testing::Each(absl::OkStatus()));
  StopServing();
  EXPECT_EQ(guard_->calls_in_flight(), 0);
}

TEST(CoordinatorRole, EveryCallHasTheRoleOfItsComment) {
  const std::set<std::string> read = {"GetRun", "ListRuns", "ListEvents", "GetStatus", "ReadRunFile", "ListRunFiles"};
  const std::set<std::string> submit = {"SubmitRun", "SubmitJob", "CancelRun", "PauseRun", "ResumeRun", "RetryRun"};
  const auto* service =
      google::protobuf::DescriptorPool::generated_pool()->FindServiceByName("evilmoe.v1.CoordinatorService");
  ASSERT_NE(service, nullptr);
  size_t num_listed = 0;
  for (int i = 0; i < service->method_count(); ++i) {
    const std::string name = service->method(i)->name();
    const Role want = read.contains(name) ? Role::kRead : submit.contains(name) ? Role::kSubmit : Role::kWorker;
    EXPECT_EQ(CoordinatorRole(name), want) << name;
    num_listed += want == Role::kWorker ? 0 : 1;
  }
  EXPECT_EQ(num_listed, read.size() + submit.size());
}

}  // namespace
}  // namespace evilmoe
