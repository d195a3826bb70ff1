// What is no honest client, at the socket of the real program: it lives on and answers the next honest call.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <functional>
#include <random>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "tests/unit/services_coordinator/process_fixture.h"

namespace evilmoe {
namespace {

using ::testing::HasSubstr;
using Code = absl::StatusCode;

constexpr char kPreface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// A frame of HTTP/2: RFC 9113, section 4.1. `length` = what it says it has.
std::string Frame(uint32_t length, uint8_t type, uint8_t flags, uint32_t stream, const std::string& payload) {
  std::string frame;
  for (const int shift : {16, 8, 0}) frame += static_cast<char>(length >> shift);
  frame += static_cast<char>(type);
  frame += static_cast<char>(flags);
  for (const int shift : {24, 16, 8, 0}) frame += static_cast<char>(stream >> shift);
  return frame + payload;
}
std::string Frame(uint8_t type, uint8_t flags, uint32_t stream, const std::string& payload) {
  return Frame(static_cast<uint32_t>(payload.size()), type, flags, stream, payload);
}
enum FrameType : uint8_t {
  kData,
  kHeaders,
  kPriority,
  kReset,
  kSettings,
  kPush,
  kPing,
  kGoAway,
  kWindow,
  kContinuation
};
constexpr uint8_t kEndStream = 1, kEndHeaders = 4;

// A header without compression: RFC 7541, section 6.2.2.
std::string Header(const std::string& name, const std::string& value) {
  return std::string(1, '\0') + static_cast<char>(name.size()) + name + static_cast<char>(value.size()) + value;
}
std::string CallHeaders(const std::string& method) {
  return Header(":method", "POST") + Header(":scheme", "http") + Header(":path", method) + Header(":authority", "x") +
         Header("content-type", "application/grpc") + Header("te", "trailers");
}
// A gRPC message that says it has `length` bytes.
std::string Message(uint32_t length, const std::string& bytes) {
  std::string message(1, '\0');
  for (const int shift : {24, 16, 8, 0}) message += static_cast<char>(length >> shift);
  return message + bytes;
}
std::string Opened() { return kPreface + Frame(kSettings, 0, 0, ""); }
std::string Call(const std::string& method, const std::string& data) {
  return Opened() + Frame(kHeaders, kEndHeaders, 1, CallHeaders("/evilmoe.v1.CoordinatorService/" + method)) +
         Frame(kData, kEndStream, 1, data);
}

class HostileBytesTest : public ProcessFixture {
 protected:
  // Sends what it takes of `bytes`, reads what comes for a moment, hangs up.
  void Send(const std::string& bytes) {
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const timeval timeout{.tv_sec = 0, .tv_usec = 20'000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = (folder_ / "c.sock").string();
    path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    ASSERT_EQ(connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0) << "it serves no more";
    for (size_t at = 0; at < bytes.size();) {
      const ssize_t sent = send(fd, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
      if (sent <= 0) break;  // it has hung up, or reads no more
      at += static_cast<size_t>(sent);
    }
    char buffer[4096];
    while (recv(fd, buffer, sizeof buffer, 0) > 0) {
    }
    close(fd);
  }
  // It is the process that was started, and it answers.
  void ExpectAlive(const std::string& after) {
    const auto honest = Client(absl::ZeroDuration());
    const auto runs = honest->ListRuns({});
    EXPECT_TRUE(runs.ok()) << after << ": " << runs.status();
    EXPECT_EQ(kill(pid_, 0), 0) << after;
    int status = 0;
    ASSERT_EQ(waitpid(pid_, &status, WNOHANG), 0) << after << ": it has ended: " << DescribeExit(status);
  }
  int NumDescriptors() const {
    int count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(absl::StrCat("/proc/", pid_, "/fd"))) {
      count += entry.path().empty() ? 0 : 1;
    }
    return count;
  }
};

struct Hostile {
  std::string name, bytes;
};
std::vector<Hostile> HostileCases() {
  const std::string headers = CallHeaders("/evilmoe.v1.CoordinatorService/ListRuns");
  std::string many_streams = Opened(), resets = Opened(), continued = Opened() + Frame(kHeaders, 0, 1, headers);
  std::string settings = Opened(), pings = Opened();
  for (uint32_t i = 0; i < 2000; ++i) {
    many_streams += Frame(kHeaders, kEndHeaders, 2 * i + 1, headers);
    resets += Frame(kHeaders, kEndHeaders, 2 * i + 1, headers) + Frame(kReset, 0, 2 * i + 1, std::string(4, '\0'));
    continued += Frame(kContinuation, 0, 1, Header("x", "y"));
    settings += Frame(kSettings, 0, 0, std::string("\0\4\0\0\xff\xff", 6));
    pings += Frame(kPing, 0, 0, std::string(8, 'p'));
  }
  return {{"Nothing", ""},
          {"HttpOne", "GET / HTTP/1.1\r\nHost: x\r\n\r\n"},
          {"Tls", std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11)},
          {"HalfAPreface", std::string(kPreface).substr(0, 10)},
          {"PrefaceAlone", kPreface},
          {"NoSettings", kPreface + Frame(kData, 0, 1, "x")},
          {"HugeFrame", Opened() + Frame(0xffffff, kData, 0, 1, "x")},
          {"TruncatedFrame", Opened() + Frame(100, kHeaders, kEndHeaders, 1, "x")},
          {"UnknownFrame", Opened() + Frame(200, 0xee, 0xff, 0x7fffffff, std::string(200, 'x'))},
          {"EvenStream", Opened() + Frame(kHeaders, kEndHeaders, 2, headers)},
          {"BadCompression", Opened() + Frame(kHeaders, kEndHeaders, 1, std::string(64, '\xff'))},
          {"HugeHeader", Opened() + Frame(kHeaders, kEndHeaders, 1, std::string("\0\x7f\xff\xff\xff\xff\x0f", 7))},
          {"LongHeaders", Opened() + Frame(kHeaders, 0, 1, headers) +
                              Frame(kContinuation, kEndHeaders, 1, Header("x", std::string(100, 'y')))},
          {"WindowOverflow",
           Opened() + Frame(kWindow, 0, 0, "\x7f\xff\xff\xff") + Frame(kWindow, 0, 0, "\x7f\xff\xff\xff")},
          {"ManyStreams", many_streams},
          {"ResetsAtOnce", resets},
          {"Continued", continued},
          {"ManySettings", settings},
          {"ManyPings", pings},
          {"HugeMessage", Call("ListRuns", Message(0xffffffff, "x"))},
          {"LargeMessage", Call("OpenBatch", Message(256 << 20, "x"))},
          {"TruncatedMessage", Call("SubmitRun", Message(1000, "x"))},
          {"HalfAPrefix", Call("SubmitRun", std::string("\0\0", 2))},
          {"SaidToBeCompressed", Call("ListRuns", std::string("\1\0\0\0\1x", 6))},
          {"NoMessage", Call("GetRun", "")},
          {"TwoMessages", Call("GetRun", Message(0, "") + Message(0, ""))},
          {"WrongMethod", Call("Nothing", Message(0, ""))},
          {"WrongPath", Call("../../etc/passwd", Message(0, ""))},
          {"NoMessageOfThatKind", Call("CompleteGroup", Message(4, "\xff\xff\xff\xff"))}};
}

TEST_F(HostileBytesTest, EachIsAnsweredOrCutOffAndTheNextHonestCallIsServed) {
  Start();
  for (const Hostile& hostile : HostileCases()) {
    Send(hostile.bytes);
    ExpectAlive(hostile.name);
  }
}

TEST_F(HostileBytesTest, RandomBytesBehindARightBeginning) {
  Start();
  std::mt19937 random(20261130);
  const auto noise = [&](size_t size) {
    std::string bytes(size, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    return bytes;
  };
  const char* methods[] = {"SubmitRun", "OpenBatch", "CompleteGroup", "PublishAdapter", "ReadRunFile", "RecordEvent"};
  for (int round = 0; round < 120; ++round) {
    const std::string bytes = noise(random() % 300);
    const std::string method = methods[random() % std::size(methods)];
    switch (round % 4) {
      case 0: Send(bytes); break;
      case 1: Send(Opened() + bytes); break;
      case 2:
        Send(Opened() +
             Frame(static_cast<uint8_t>(random() % 10), static_cast<uint8_t>(random()), random() % 5, bytes));
        break;
      default: Send(Call(method, Message(static_cast<uint32_t>(bytes.size()), bytes))); break;
    }
    if (round % 20 == 0) ExpectAlive(absl::StrCat("round ", round));
  }
  ExpectAlive("all rounds");
}

TEST_F(HostileBytesTest, ConnectionsThatSayNothingKeepNobodyOut) {
  Start();
  const int before = NumDescriptors();
  std::vector<int> silent;
  for (int i = 0; i < 200; ++i) {
    silent.push_back(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    (folder_ / "c.sock").string().copy(address.sun_path, sizeof(address.sun_path) - 1);
    ASSERT_EQ(connect(silent.back(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0) << i;
    if (i % 20 == 0) ExpectAlive("silent ones");  // which have been taken in then
  }
  ExpectAlive("200 silent connections");
  EXPECT_GE(NumDescriptors(), before + 180);
  for (const int fd : silent) close(fd);
  for (int i = 0; i < 100 && NumDescriptors() > before + 20; ++i) ExpectAlive("they have hung up");
  EXPECT_LE(NumDescriptors(), before + 20) << "their descriptors are free again";
}

TEST_F(HostileBytesTest, BeyondLoopbackItServesInsecurelyOnlyWhenToldTo) {
  const int refused = WaitForEnd(Launch(Address() + ", 0.0.0.0:0"));
  EXPECT_TRUE(WIFEXITED(refused) && WEXITSTATUS(refused) == 2) << DescribeExit(refused);
  EXPECT_THAT(ReadFile(folder_ / "output").value_or(""),
              HasSubstr("other machines reach 0.0.0.0:0, so it needs TLS and tokens"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "store.db")) << "refused before all else";
  Start(", 0.0.0.0:0", "insecure: true\n");
  ExpectAlive("insecure: true");
  EXPECT_THAT(ReadFile(folder_ / "c.log").value_or(""), HasSubstr("no_roots"));
}

}  // namespace
}  // namespace evilmoe
