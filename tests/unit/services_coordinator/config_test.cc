#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/security/address.h"
#include "services/coordinator/coordinator_config.h"

namespace evilmoe {
namespace {

TEST(CoordinatorConfig, ReadsAFileAndResolvesItsPaths) {
  const auto config = ParseCoordinatorConfig("listen: unix:/s/c.sock\ndatabase: d/store.db\nlease_timeout_s: 10\n",
                                             "c.yaml", "/base");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->database, "/base/d/store.db");
  EXPECT_EQ(config->log, "");
  EXPECT_EQ(config->lease_timeout_s, 10);
  EXPECT_EQ(UnixSocketPath(config->listen.addresses.at(0)), "/s/c.sock");
}

struct BadCase {
  std::string name;
  std::string yaml;
  std::string want;
};
class BadConfigTest : public ::testing::TestWithParam<BadCase> {};

TEST_P(BadConfigTest, IsRefusedWithItsField) {
  const auto config = ParseCoordinatorConfig(GetParam().yaml, "c.yaml", "/base");
  EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(config.status().message()), ::testing::HasSubstr(GetParam().want));
}

INSTANTIATE_TEST_SUITE_P(Cases, BadConfigTest, ::testing::ValuesIn(std::vector<BadCase>{
    {"Nothing", "", "listen: missing"},
    {"EveryInterface", "listen: 0.0.0.0:80\ndatabase: d", "other machines reach 0.0.0.0:80"},
    {"NotAPort", "listen: 127.0.0.1:99999\ndatabase: d", "listen: bad value"},
    {"RelativeSocket", "listen: unix:c.sock\ndatabase: d", "listen: bad value"},
    {"LongSocket", "listen: unix:/" + std::string(200, 'x') + "\ndatabase: d", "at most 107 bytes"},
    {"NoDatabase", "listen: 127.0.0.1:0", "database: missing"},
    {"ZeroTimeout", "listen: 127.0.0.1:0\ndatabase: d\nlease_timeout_s: 0", "lease_timeout_s: out of range"},
    {"NoMetricsPort", "listen: 127.0.0.1:0\ndatabase: d\nmetrics_listen: 0.0.0.0", "metrics_listen: bad value"},
    {"PageBeyondLoopback", "listen: 127.0.0.1:0\ndatabase: d\npage_listen: 0.0.0.0:80", "other machines reach 0.0.0.0:80"},
    {"NoPagePort", "listen: 127.0.0.1:0\ndatabase: d\npage_listen: everywhere", "page_listen: bad value"},
    {"Unknown", "listen: 127.0.0.1:0\ndatabase: d\nlisten_at: 3", "listen_at: unknown key"}}),
    [](const auto& c) { return c.param.name; });

}  // namespace
}  // namespace evilmoe
