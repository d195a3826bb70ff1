#include "proto/security/channel_security.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/clock.h"
#include "common/file.h"
#include "tests/unit/proto_security/certificates_kit.h"

namespace evilmoe {
namespace {

using ::testing::HasSubstr;
using Code = absl::StatusCode;

struct ChannelCase {
  std::string name, address;
  ChannelSecurity security;
  Code want_code;
  std::string want_text;
};
class ChannelSecurityTest : public ::testing::TestWithParam<ChannelCase> {};

TEST_P(ChannelSecurityTest, IsJudgedWithItsAddress) {
  const absl::Status status = CheckChannelSecurity(GetParam().address, GetParam().security);
  EXPECT_EQ(status.code(), GetParam().want_code) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().want_text));
}

INSTANTIATE_TEST_SUITE_P(Cases, ChannelSecurityTest, ::testing::ValuesIn(std::vector<ChannelCase>{
    {"PlainWithoutToken", "c.example:1", {}, Code::kOk, ""},
    {"TokenOverUnix", "unix:/c", {.token = "t"}, Code::kOk, ""},
    {"TokenOverLoopback", "127.0.0.1:1", {.token = "t"}, Code::kOk, ""},
    {"TokenOverTls", "c.example:1", {.ca = "ca", .token = "t"}, Code::kOk, ""},
    {"Mutual", "c.example:1", {.ca = "ca", .certificate = "c", .key = "k"}, Code::kOk, ""},
    {"TokenInPlain", "c.example:1", {.token = "t"}, Code::kFailedPrecondition, "in plain, expected security.ca"},
    {"TokenInPlainToAName", "127.0.0.1.example.org:1", {.token = "t"}, Code::kFailedPrecondition, "in plain"},
    {"TokenInPlainByScheme", "dns:///localhost:1", {.token = "t"}, Code::kFailedPrecondition, "in plain"},
    {"NoKey", "c:1", {.ca = "ca", .certificate = "c"}, Code::kInvalidArgument, "security.key: missing"},
    {"NoCertificate", "c:1", {.ca = "ca", .key = "k"}, Code::kInvalidArgument, "security.certificate: missing"},
    {"NoCa", "c:1", {.certificate = "c", .key = "k"}, Code::kInvalidArgument, "security.ca: missing"}}),
    [](const auto& c) { return c.param.name; });

TEST(ReadChannelSecurity, ReadsTheSectionAndBlamesTheAddress) {
  YamlReader reader("coordinator: c.example:1\nsecurity: {token: w.token}\n", "t.yaml");
  YamlSection root = reader.Root();
  std::string coordinator;
  ChannelSecurity security;
  root.Field("coordinator", &coordinator);
  ReadChannelSecurity(root, {{"coordinator", coordinator}}, security);
  EXPECT_EQ(security.token, "w.token");
  EXPECT_THAT(std::string(reader.Finish().message()),
              HasSubstr("t.yaml:1:14: coordinator: the token would cross the network to \"c.example:1\" in plain"));
}

TEST(CheckChannelFiles, TellsWhichFileIsWrong) {
  const ScratchFolder folder;
  MakeCertificates(folder / "c");
  const absl::Time now = RealClock().Now();
  const ChannelSecurity good = {.ca = folder / "c/ca.pem",
                                .certificate = folder / "c/client.pem",
                                .key = folder / "c/client.key",
                                .token = folder / "c/worker.token"};
  EXPECT_TRUE(CheckChannelFiles(good, now).ok()) << CheckChannelFiles(good, now);
  EXPECT_TRUE(CheckChannelFiles({}, now).ok());
  ChannelSecurity bad = good;
  bad.ca = folder / "absent.pem";
  EXPECT_EQ(CheckChannelFiles(bad, now).code(), Code::kNotFound);
  bad = good;
  bad.token = folder / "absent.token";
  EXPECT_EQ(CheckChannelFiles(bad, now).code(), Code::kNotFound);
  const absl::Status expired = CheckChannelFiles(good, now + absl::Hours(24 * 400));
  EXPECT_EQ(expired.code(), Code::kFailedPrecondition);
  EXPECT_THAT(std::string(expired.message()), HasSubstr("security.certificate: "));
}

}  // namespace
}  // namespace evilmoe
