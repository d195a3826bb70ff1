// The coordinator's service behind its guard, over real connections: who may call what, and limits.
#include <google/protobuf/descriptor.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <map>
#include <random>
#include <thread>

#include "common/file.h"
#include "tests/unit/services_coordinator/rpc_guard_fixture.h"

namespace evilmoe {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Code = absl::StatusCode;

const google::protobuf::ServiceDescriptor& Service() { return *v1::Run::descriptor()->file()->service(0); }

// docs/security.md's table, and what a request without any field gets from whoever may send it.
struct MethodRow {
  Role role;
  Code empty;
};
const std::map<std::string, MethodRow> kMethods = {{"SubmitRun", {Role::kSubmit, Code::kInvalidArgument}},
                                                   {"SubmitJob", {Role::kSubmit, Code::kInvalidArgument}},
                                                   {"GetRun", {Role::kRead, Code::kNotFound}},
                                                   {"ListRuns", {Role::kRead, Code::kOk}},
                                                   {"ListEvents", {Role::kRead, Code::kNotFound}},
                                                   {"GetStatus", {Role::kRead, Code::kOk}},
                                                   {"ReadRunFile", {Role::kRead, Code::kNotFound}},
                                                   {"ListRunFiles", {Role::kRead, Code::kNotFound}},
                                                   {"CancelRun", {Role::kSubmit, Code::kNotFound}},
                                                   {"PauseRun", {Role::kSubmit, Code::kNotFound}},
                                                   {"ResumeRun", {Role::kSubmit, Code::kNotFound}},
                                                   {"RetryRun", {Role::kSubmit, Code::kNotFound}},
                                                   {"AcquireJob", {Role::kWorker, Code::kInvalidArgument}},
                                                   {"HeartbeatJob", {Role::kWorker, Code::kInvalidArgument}},
                                                   {"ReleaseJob", {Role::kWorker, Code::kInvalidArgument}},
                                                   {"BeginJob", {Role::kWorker, Code::kInvalidArgument}},
                                                   {"PublishAdapter", {Role::kWorker, Code::kInvalidArgument}},
                                                   {"OpenBatch", {Role::kWorker, Code::kInvalidArgument}},
                                                   {"FetchGroups", {Role::kWorker, Code::kInvalidArgument}},
                                                   {"CloseBatch", {Role::kWorker, Code::kInvalidArgument}},
                                                   {"RecordEvent", {Role::kWorker, Code::kInvalidArgument}},
                                                   {"FinishJob", {Role::kWorker, Code::kInvalidArgument}},
                                                   {"Heartbeat", {Role::kWorker, Code::kInvalidArgument}},
                                                   {"LeaseGroups", {Role::kWorker, Code::kInvalidArgument}},
                                                   {"FetchAdapter", {Role::kWorker, Code::kInvalidArgument}},
                                                   {"AcknowledgeAdapter", {Role::kWorker, Code::kInvalidArgument}},
                                                   {"CompleteGroup", {Role::kWorker, Code::kInvalidArgument}},
                                                   {"AbandonGroup", {Role::kWorker, Code::kInvalidArgument}}};

bool MayCall(const std::string& token, Role need) {
  if (token == "admin") return true;
  if (token == "worker") return need == Role::kWorker;
  return need == Role::kRead || (token == "submit" && need == Role::kSubmit);
}

TEST_F(RpcGuardTest, EveryMethodAnswersEveryRoleAsTheTableSays) {
  ServeCoordinator(MutualWithTokens());
  ASSERT_EQ(Service().method_count(), std::ssize(kMethods));
  for (const std::string token : {"read", "submit", "worker", "admin"}) {
    const auto channel = Channel(Client(token));
    for (int i = 0; i < Service().method_count(); ++i) {
      const std::string method = Service().method(i)->name();
      SCOPED_TRACE(token + " calls " + method);
      const MethodRow row = kMethods.at(method);
      const absl::Status status = RawCall(channel, MethodPath(method), "").status;
      EXPECT_EQ(status.code(), MayCall(token, row.role) ? row.empty : Code::kPermissionDenied) << status;
    }
  }
  EXPECT_EQ(guard_->calls_in_flight(), 0);
}

TEST_F(RpcGuardTest, NoMethodAnswersWithoutAKnownToken) {
  ServeCoordinator(MutualWithTokens());
  ASSERT_TRUE(WriteFileAtomic(folder_ / "wrong.token", std::string(64, 'f')).ok());
  for (const fs::path& token :
       {fs::path(), folder_ / "wrong.token", File("tokens.yaml").replace_filename("ca.token")}) {
    ChannelSecurity client = Client("read");
    if (token.filename() == "ca.token") {  // the hash in place of the token that it is of
      const std::string table = ReadFile(File("tokens.yaml")).value();
      const size_t at = table.find("sha256: ") + 8;
      ASSERT_TRUE(WriteFileAtomic(token, table.substr(at, 64)).ok());
    }
    client.token = token;
    const auto channel = Channel(client);
    for (int i = 0; i < Service().method_count(); ++i) {
      const absl::Status status = RawCall(channel, MethodPath(Service().method(i)->name()), "").status;
      EXPECT_EQ(status.code(), Code::kUnauthenticated) << Service().method(i)->name() << " " << token << ": " << status;
    }
  }
}

TEST_F(RpcGuardTest, ClientsThatTlsRefusesGetNoConnection) {
  MakeCertificates(folder_ / "expired");
  ServeCoordinator(MutualWithTokens());
  EXPECT_EQ(Call(Client("read"), "ListRuns"), absl::OkStatus());
  EXPECT_EQ(Call({}, "ListRuns").code(), Code::kUnavailable) << "plain";
  EXPECT_EQ(Call({.ca = File("ca.pem"), .token = File("read.token")}, "ListRuns").code(), Code::kUnavailable)
      << "no certificate";
  fs::copy(File("."), folder_ / "old");
  MakeCertificates(folder_ / "old", {"--days", "-1"});  // of the same CA
  grpc::experimental::TlsChannelCredentialsOptions options;
  options.set_certificate_provider(std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(
      (folder_ / "old/client.key").string(), (folder_ / "old/client.pem").string(), File("ca.pem").string(), 10));
  options.watch_root_certs();
  options.watch_identity_key_cert_pairs();
  const auto expired = grpc::CreateCustomChannel(address_, grpc::experimental::TlsCredentials(options), {});
  EXPECT_EQ(RawCall(expired, MethodPath("ListRuns"), "").status.code(), Code::kUnavailable) << "expired";
  EXPECT_EQ(Call(Client("read"), "ListRuns"), absl::OkStatus()) << "the others are served on";
}

// Sends bytes to a loopback port, reads what comes for a moment, hangs up.
void SendToPort(int port, const std::string& bytes) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const timeval timeout{.tv_sec = 0, .tv_usec = 20'000};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  ASSERT_EQ(connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  (void)send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  char buffer[4096];
  while (recv(fd, buffer, sizeof buffer, 0) > 0) {
  }
  close(fd);
}

TEST_F(RpcGuardTest, BytesThatAreNoTls) {
  ServeCoordinator(MutualWithTokens());
  const int port = std::stoi(address_.substr(address_.rfind(':') + 1));
  std::mt19937 random(9);
  for (int round = 0; round < 40; ++round) {
    std::string bytes(random() % 400, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    const std::string hello("\x16\x03\x01\x01\x00\x01\x00\x00\xfc\x03\x03", 11);  // of a handshake that never comes
    SendToPort(port, round % 2 == 0 ? bytes : hello + bytes);
  }
  SendToPort(port, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  EXPECT_EQ(Call(Client("read"), "ListRuns"), absl::OkStatus());
}

TEST_F(RpcGuardTest, AMessageThatIsTooLargeIsRefusedForEveryMethod) {
  ServeCoordinator({}, {.message_mib = 1});
  const auto channel = Channel({});
  const std::string large(size_t{2} << 20, '\x0a');
  for (int i = 0; i < Service().method_count(); ++i) {
    const std::string method = Service().method(i)->name();
    EXPECT_EQ(RawCall(channel, MethodPath(method), large).status.code(), Code::kResourceExhausted) << method;
  }
  EXPECT_EQ(RawCall(channel, MethodPath("ListRuns"), "").status, absl::OkStatus()) << "the connection lives on";
}

TEST_F(RpcGuardTest, BytesThatAreNoMessage) {
  ServeCoordinator({});
  const auto channel = Channel({});
  std::mt19937 random(8);
  std::map<Code, int> codes;
  for (int i = 0; i < Service().method_count(); ++i) {
    const std::string method = Service().method(i)->name();
    EXPECT_FALSE(RawCall(channel, MethodPath(method), "\xff\xff\xff").status.ok()) << method;
    for (int round = 0; round < 12; ++round) {
      std::string bytes(random() % 64, '\0');
      for (char& c : bytes) c = static_cast<char>(random());
      const absl::Status status = RawCall(channel, MethodPath(method), bytes).status;
      ++codes[status.code()];
      EXPECT_NE(status.code(), Code::kUnavailable) << method << ": " << status;
      EXPECT_NE(status.code(), Code::kDeadlineExceeded) << method << ": " << status;
    }
  }
  EXPECT_GT(codes[Code::kInternal], 0) << "gRPC's own word for bytes that are no message";
  for (const char* method : {"", "/", "/evilmoe.v1.CoordinatorService/Nothing", "/evilmoe.v2.CoordinatorService/GetRun",
                             "/../GetRun", "/evilmoe.v1.CoordinatorService/getrun"}) {
    EXPECT_EQ(RawCall(channel, method, "").status.code(), Code::kUnimplemented) << method;
  }
  EXPECT_EQ(RawCall(channel, MethodPath("ListRuns"), "").status, absl::OkStatus());
  EXPECT_EQ(guard_->calls_in_flight(), 0);
}

TEST_F(RpcGuardTest, CallsASecondCountForEachToken) {
  ServeCoordinator(MutualWithTokens(), {.calls_per_second = 3});
  const auto channel = Channel(Client("read"));
  for (const char* method : {"ListRuns", "GetStatus", "Heartbeat"})
    Send(channel, method, v1::GetStatusRequest()).IgnoreError();
  const absl::Status fourth = RawCall(channel, MethodPath("ListRuns"), "").status;
  EXPECT_TRUE(IsTooManyCalls(fourth)) << fourth;
  EXPECT_TRUE(IsTooManyCalls(Call(Client("read"), "ListRuns"))) << "another connection, the same token";
  EXPECT_EQ(Call(Client("submit"), "ListRuns"), absl::OkStatus());
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(RawCall(channel, MethodPath("ListRuns"), "").status, absl::OkStatus());
}

TEST_F(RpcGuardTest, LongPollsCountAmongTheCallsAtOnce) {
  ServeCoordinator({}, {.concurrent_calls = 3});
  v1::HeartbeatRequest heartbeat;
  heartbeat.set_worker_id("w");
  ASSERT_EQ(Send(Channel({}), "Heartbeat", heartbeat), absl::OkStatus());
  v1::LeaseGroupsRequest lease;
  lease.set_worker_id("w");
  lease.set_max_groups(1);
  lease.set_wait_ms(30000);
  std::vector<absl::Status> statuses(3);
  {
    std::vector<std::jthread> waiting;
    for (absl::Status& status : statuses) {
      waiting.emplace_back([&, channel = Channel({})] { status = Send(channel, "LeaseGroups", lease); });
    }
    ASSERT_TRUE(AwaitTrue([&] { return guard_->calls_in_flight() == 3; }));
    EXPECT_TRUE(IsTooManyCalls(Call({}, "ListRuns")));
    EXPECT_TRUE(IsTooManyCalls(Call({}, "ListRunFiles"))) << "a call that holds a thread";
    core_->Stop();
  }
  for (const absl::Status& status : statuses) EXPECT_EQ(status.code(), Code::kUnavailable) << status;
  EXPECT_TRUE(AwaitTrue([&] { return guard_->calls_in_flight() == 0; }));
}

}  // namespace
}  // namespace evilmoe
