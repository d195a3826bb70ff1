#include "proto/security/listen_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace evilmoe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kTls[] = "tls: {certificate: s.pem, key: s.key}\n";
constexpr char kTokens[] = "tokens: t.yaml\n";

absl::Status Read(const std::string& yaml, ListenConfig& config) {
  YamlReader reader(yaml, "s.yaml");
  ReadListenConfig(reader, reader.Root(), config);
  return reader.Finish();
}

TEST(ListenConfig, ReadsEverything) {
  ListenConfig config{.limits = {.message_mib = 256}};
  const absl::Status status = Read(
      "listen: [unix:/s, 0.0.0.0:7000]\n"
      "tls: {certificate: s.pem, key: s.key, client_ca: /ca.pem}\n"
      "tokens: t.yaml\nlimits: {calls_per_second: 7, concurrent_calls: 9}\n", config);
  ASSERT_TRUE(status.ok()) << status;
  config.ResolvePaths("/base");
  EXPECT_THAT(config.addresses, ElementsAre("unix:/s", "0.0.0.0:7000"));
  EXPECT_EQ(config.security.certificate, "/base/s.pem");
  EXPECT_EQ(config.security.key, "/base/s.key");
  EXPECT_EQ(config.security.client_ca, "/ca.pem");
  EXPECT_EQ(config.security.tokens, "/base/t.yaml");
  EXPECT_FALSE(config.security.insecure);
  EXPECT_EQ(config.limits.message_mib, 256);
  EXPECT_EQ(config.limits.calls_per_second, 7);
  EXPECT_EQ(config.limits.concurrent_calls, 9);
}

TEST(ListenConfig, OneAddressNeedsNoList) {
  ListenConfig config;
  ASSERT_TRUE(Read("listen: unix:/s\n", config).ok());
  EXPECT_THAT(config.addresses, ElementsAre("unix:/s"));
}

struct ListenCase {
  std::string name, yaml;
  std::string want;  // part of the refusal; empty = fine
};
class ListenConfigTest : public ::testing::TestWithParam<ListenCase> {};

TEST_P(ListenConfigTest, IsJudged) {
  ListenConfig config;
  const absl::Status status = Read(GetParam().yaml, config);
  EXPECT_EQ(status.ok(), GetParam().want.empty()) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().want));
}

INSTANTIATE_TEST_SUITE_P(Cases, ListenConfigTest, ::testing::ValuesIn(std::vector<ListenCase>{
    {"Nothing", "", "listen: missing"},
    {"NoAddress", "listen: []", "listen: empty"},
    {"BadOne", "listen: nowhere", "listen: bad value, got \"nowhere\""},
    {"BadInAList", "listen: [unix:/s, nowhere]", "listen: bad value, got \"nowhere\""},
    {"Twice", "listen: [unix:/s, unix:/s]", "stands twice"},
    {"Number", "listen: 80", "listen: wrong type"},
    {"Loopback", "listen: [127.0.0.1:1, localhost:2]", ""},
    {"LoopbackWithTokens", std::string("listen: 127.0.0.1:1\n") + kTokens, ""},
    {"OpenPlain", "listen: 0.0.0.0:1",
     "other machines reach 0.0.0.0:1, so it needs TLS and tokens; missing: tls.certificate, tls.key, tokens. Set them"},
    {"OpenBehindAUnixOne", "listen: [unix:/s, \"[::]:1\"]", "other machines reach [::]:1"},
    {"OpenName", "listen: 127.0.0.1.example.org:1", "other machines reach"},
    {"OpenWithTlsAlone", std::string("listen: 0.0.0.0:1\n") + kTls, "missing: tokens. Set them"},
    {"OpenWithTokensAlone", std::string("listen: 0.0.0.0:1\n") + kTokens, "missing: tls.certificate, tls.key. Set"},
    {"OpenWithBoth", std::string("listen: 0.0.0.0:1\n") + kTls + kTokens, ""},
    {"Insecure", "listen: 0.0.0.0:1\ninsecure: true", ""},
    {"InsecureWithTokens", std::string("listen: 0.0.0.0:1\ninsecure: true\n") + kTokens, "tokens: they would cross"},
    {"NoKey", "listen: unix:/s\ntls: {certificate: s.pem}", "tls.key: missing"},
    {"NoCertificate", "listen: unix:/s\ntls: {client_ca: c.pem}", "tls.certificate: missing"},
    {"UnknownKey", "listen: unix:/s\ntls: {cert: s.pem}", "tls.cert: unknown key"},
    {"NoCalls", "listen: unix:/s\nlimits: {calls_per_second: 0}", "limits.calls_per_second: out of range"},
    {"HugeMessages", "listen: unix:/s\nlimits: {message_mib: 2048}", "limits.message_mib: out of range"}}),
    [](const auto& c) { return c.param.name; });

}  // namespace
}  // namespace evilmoe
