#include "tests/unit/grader_sandbox/grader_service_fixture.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "grader_sandbox/grader_translation.h"
#include "tests/unit/grader_sandbox/sandbox_test_kit.h"

namespace evilmoe {
namespace {

int NumEntries(const char* folder) {
  int num = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder)) ++num;
  return num;
}

// Parent of every process that can be seen. A process may end while we look.
std::map<int, int> Parents() {
  std::map<int, int> parents;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    int pid = 0;
    if (!absl::SimpleAtoi(entry.path().filename().string(), &pid)) continue;
    std::ifstream file(entry.path() / "stat");
    std::string stat;
    if (!std::getline(file, stat)) continue;
    const size_t name_end = stat.rfind(')');  // the name may hold anything
    char state = 0;
    int parent = 0;
    if (name_end == std::string::npos) continue;
    if (std::sscanf(stat.c_str() + name_end + 1, " %c %d", &state, &parent) == 2) parents[pid] = parent;
  }
  return parents;
}

bool IsBelow(const std::map<int, int>& parents, int pid, int ancestor) {
  for (auto at = parents.find(pid); at != parents.end(); at = parents.find(at->second)) {
    if (at->second == ancestor) return true;
  }
  return false;
}

}  // namespace

bool AwaitTrue(const std::function<bool()>& done, absl::Duration timeout) {
  const auto end = std::chrono::steady_clock::now() + absl::ToChronoMilliseconds(timeout);
  Mutex mu;
  while (!done()) {
    if (std::chrono::steady_clock::now() >= end) return false;
    const MutexLock lock(mu);
    mu.AwaitFor(absl::Milliseconds(5), [] { return false; });
  }
  return true;
}

Holdings CurrentHoldings() {
  const std::map<int, int> parents = Parents();
  const auto below = [&](const auto& process) { return IsBelow(parents, process.first, getpid()); };
  return {.descriptors = NumEntries("/proc/self/fd"),
          .processes = static_cast<int>(std::count_if(parents.begin(), parents.end(), below)),
          .threads = NumEntries("/proc/self/task")};
}

StreamClient::StreamClient(GraderStub& stub) {
  context_.set_deadline(std::chrono::system_clock::now() + std::chrono::minutes(1));
  stream_ = stub.GradeStream(&context_);
}

StreamClient::~StreamClient() {
  if (finished_) return;
  context_.TryCancel();
  Finish();
}

bool StreamClient::Send(uint64_t id, const v1::GradeRequest& request) {
  v1::GradeStreamRequest message;
  message.set_id(id);
  *message.mutable_request() = request;
  return stream_->Write(message);
}

std::optional<v1::GradeStreamResponse> StreamClient::Read() {
  v1::GradeStreamResponse response;
  all_read_ = all_read_ || !stream_->Read(&response);
  if (all_read_) return std::nullopt;
  return response;
}

grpc::Status StreamClient::Finish() {
  finished_ = true;
  while (Read().has_value()) {
  }
  return stream_->Finish();
}

void GraderServiceFixture::SetUp() {
  folder_ = ::testing::TempDir() + "/evilmoe_grader_XXXXXX";
  ASSERT_NE(mkdtemp(folder_.data()), nullptr);
  address_ = absl::StrCat("unix:", folder_, "/grader.sock");
  Start({.slots = 2});
}

void GraderServiceFixture::TearDown() {
  listening_.reset();
  grader_.reset();
  std::filesystem::remove_all(folder_);
}

void GraderServiceFixture::Start(const LocalGraderOptions& options) {
  listening_.reset();
  grader_.reset();
  options_ = options;
  grader_ = std::make_unique<LocalGrader>(options, TestHost(), comparer_, clock_, &metrics_);
  const auto on_check = [this](bool ok) { metrics_.self_check_ok.Set(ok ? 1 : 0); };
  absl::StatusOr<std::unique_ptr<ListeningGrader>> listening =
      ListeningGrader::Start({.addresses = {address_}}, *grader_, clock_, nullptr, nullptr, on_check);
  ASSERT_TRUE(listening.ok()) << listening.status();
  listening_ = *std::move(listening);
}

void GraderServiceFixture::WarmUp() {
  const auto stub = NewStub();
  StreamClient stream(*stub);
  for (int slot = 0; slot < options_.slots; ++slot) ASSERT_TRUE(stream.Send(slot, Sleeps("0.5")));
  stream.SendDone();
  while (const auto answer = stream.Read()) EXPECT_EQ(answer->code(), 0) << answer->message();
  EXPECT_TRUE(stream.Finish().ok());
  EXPECT_TRUE(AwaitRunning(0));
}

std::shared_ptr<grpc::Channel> GraderServiceFixture::Connect() const {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // else two clients of one process share a connection
  return grpc::CreateCustomChannel(address_, grpc::InsecureChannelCredentials(), arguments);
}

v1::HealthResponse GraderServiceFixture::Health() {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::minutes(1));
  v1::HealthResponse health;
  const grpc::Status status = NewStub()->Health(&context, {}, &health);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return health;
}

bool GraderServiceFixture::AwaitRunning(int num) {
  return AwaitTrue([&] { return grader_->pool().num_running() == num; });
}

void GraderServiceFixture::ExpectQuickAnswer() {
  const auto stub = NewStub();
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(kLongWall / 4));
  v1::GradeResponse response;
  const grpc::Status status = stub->Grade(&context, Right(), &response);
  EXPECT_TRUE(status.ok()) << status.error_code() << " " << status.error_message();
  EXPECT_TRUE(response.facts().gt_correct());
}

void GraderServiceFixture::ExpectNoMoreThan(const Holdings& before) {
  EXPECT_TRUE(AwaitRunning(0));
  EXPECT_EQ(grader_->pool().num_waiting(), 0);
  EXPECT_TRUE(AwaitTrue([&] { return CurrentHoldings().descriptors <= before.descriptors; }))
      << CurrentHoldings().descriptors << " descriptors, before " << before.descriptors;
  EXPECT_TRUE(AwaitTrue([&] { return CurrentHoldings().processes <= before.processes; }))
      << CurrentHoldings().processes << " processes, before " << before.processes;
}

v1::GradeRequest RequestFor(const std::string& code) {
  return ToProto(GradeTask{.problem = AddOne(), .response = absl::StrCat("```python\n", code, "\n```")});
}

v1::GradeRequest Right() { return RequestFor(Method("return x + 1")); }

v1::GradeRequest Sleeps(const std::string& seconds) {
  return RequestFor("import time\ntime.sleep(" + seconds + ")\n" + Method("return x + 1"));
}

v1::GradeRequest Hangs() { return Sleeps("1000"); }

}  // namespace evilmoe
