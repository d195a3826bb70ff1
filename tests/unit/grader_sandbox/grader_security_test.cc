// The grader behind mTLS and tokens.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "grader_sandbox/grader_client.h"
#include "proto/security/secure_channel_client.h"
#include "tests/unit/grader_sandbox/grader_service_fixture.h"
#include "tests/unit/grader_sandbox/sandbox_test_kit.h"
#include "tests/unit/proto_security/certificates_kit.h"

namespace evilmoe {
namespace {

using ::testing::HasSubstr;
using Code = absl::StatusCode;

class GraderSecurityTest : public GraderServiceFixture {
 protected:
  void SetUp() override {
    GraderServiceFixture::SetUp();
    MakeCertificates(files_ / "c");
    ListenConfig listen{.addresses = {"127.0.0.1:0"},
                        .security = {.certificate = File("server.pem"),
                                     .key = File("server.key"),
                                     .client_ca = File("ca.pem"),
                                     .tokens = File("tokens.yaml")}};
    auto listening = ListeningGrader::Start(listen, *grader_, clock_, nullptr, &refusals_);
    ASSERT_TRUE(listening.ok()) << listening.status();
    listening_ = *std::move(listening);
    address_ = absl::StrCat("127.0.0.1:", listening_->ports().at(0));
  }
  std::filesystem::path File(const std::string& name) const { return files_ / "c" / name; }
  ChannelSecurity Client(const std::string& role) const {
    return {.ca = File("ca.pem"),
            .certificate = File("client.pem"),
            .key = File("client.key"),
            .token = role.empty() ? std::filesystem::path() : File(role + ".token")};
  }
  // The status of each call of the service.
  std::vector<grpc::StatusCode> CallAll(const std::string& role) {
    const auto channel = OpenChannel(address_, Client(role), {});
    EXPECT_TRUE(channel.ok()) << channel.status();
    const auto stub = v1::GraderService::NewStub(*channel);
    std::vector<grpc::StatusCode> codes;
    const auto call = [&](auto&& method) {
      grpc::ClientContext context;
      context.set_deadline(std::chrono::system_clock::now() + std::chrono::minutes(2));
      codes.push_back(method(context).error_code());
    };
    v1::GradeResponse graded;
    v1::HealthResponse health;
    v1::SelfCheckResponse checked;
    call([&](auto& context) { return stub->Grade(&context, Right(), &graded); });
    call([&](auto& context) { return stub->Health(&context, {}, &health); });
    call([&](auto& context) { return stub->SelfCheck(&context, {}, &checked); });
    StreamClient stream(*stub);
    stream.SendDone();
    codes.push_back(stream.Finish().error_code());
    return codes;
  }

  const ScratchFolder files_;
  CallGuardMetrics refusals_{registry_, "grader"};
};

TEST_F(GraderSecurityTest, EveryCallNeedsTheTokenOfAWorker) {
  using grpc::StatusCode;
  EXPECT_EQ(CallAll(""), std::vector(4, StatusCode::UNAUTHENTICATED));
  EXPECT_EQ(CallAll("submit"), std::vector(4, StatusCode::PERMISSION_DENIED));
  EXPECT_EQ(CallAll("worker"), std::vector(4, StatusCode::OK));
  EXPECT_EQ(refusals_.refused[static_cast<size_t>(CallRefusal::kUnauthenticated)]->Value(), 4);
  EXPECT_EQ(refusals_.refused[static_cast<size_t>(CallRefusal::kPermissionDenied)]->Value(), 4);
}

TEST_F(GraderSecurityTest, ItsClientShowsCertificateAndToken) {
  const GradeTask task{.problem = AddOne(), .response = absl::StrCat("```python\n", Method("return x + 1"), "\n```")};
  const absl::Time deadline = clock_.Now() + absl::Minutes(1);
  GraderClient worker(address_, clock_, Client("worker"));
  const auto graded = worker.Grade(task, deadline);
  ASSERT_TRUE(graded.ok()) << graded.status();
  EXPECT_TRUE(graded->facts.gt_correct);
  GraderClient reader(address_, clock_, Client("read"));
  EXPECT_EQ(reader.Grade(task, deadline).status().code(), Code::kPermissionDenied);
  ChannelSecurity broken = Client("worker");
  broken.token = File("absent.token");
  GraderClient unusable(address_, clock_, broken);
  const absl::Status told = unusable.Grade(task, deadline).status();
  EXPECT_EQ(told.code(), Code::kNotFound);
  EXPECT_THAT(std::string(told.message()), HasSubstr("absent.token"));
}

}  // namespace
}  // namespace evilmoe
