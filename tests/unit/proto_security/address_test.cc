#include "proto/security/address.h"

#include <gtest/gtest.h>

namespace evilmoe {
namespace {

struct AddressCase {
  std::string name, address;
  bool is_unix, is_tcp, is_loopback;
};
class AddressTest : public ::testing::TestWithParam<AddressCase> {};

TEST_P(AddressTest, IsWhatItIs) {
  EXPECT_EQ(IsUnixAddress(GetParam().address), GetParam().is_unix);
  EXPECT_EQ(IsTcpAddress(GetParam().address), GetParam().is_tcp);
  EXPECT_EQ(IsLoopbackAddress(GetParam().address), GetParam().is_loopback);
}

INSTANTIATE_TEST_SUITE_P(Cases, AddressTest, ::testing::ValuesIn(std::vector<AddressCase>{
    {"Unix", "unix:/run/c.sock", true, false, false},
    {"RelativeUnix", "unix:c.sock", false, false, false},
    {"UnixWithoutPath", "unix:/", false, false, false},
    {"LongUnix", "unix:/" + std::string(107, 'x'), false, false, false},
    {"UnixPort", "unix:80", false, false, false},
    {"Loopback", "127.0.0.1:0", false, true, true},
    {"LoopbackNet", "127.9.8.7:80", false, true, true},
    {"Localhost", "localhost:80", false, true, true},
    {"Loopback6", "[::1]:80", false, true, true},
    {"NameLikeLoopback", "127.0.0.1.example.org:80", false, true, false},
    {"NameLikeLocalhost", "localhost.example.org:80", false, true, false},
    {"Everything", "0.0.0.0:80", false, true, false},
    {"Everything6", "[::]:80", false, true, false},
    {"Mapped", "[::ffff:127.0.0.1]:80", false, true, false},
    {"Name", "coordinator:65535", false, true, false},
    {"PortTooLarge", "127.0.0.1:65536", false, false, false},
    {"NegativePort", "127.0.0.1:-1", false, false, false},
    {"SpacedPort", "127.0.0.1: 1", false, false, false},
    {"NoPort", "127.0.0.1:", false, false, false},
    {"NoHost", ":80", false, false, false},
    {"BareV6", "::1:80", false, false, false},
    {"NotV6", "[zz]:80", false, false, false},
    {"Scheme", "dns:///localhost:80", false, false, false},
    {"Nothing", "", false, false, false}}),
    [](const auto& c) { return c.param.name; });

TEST(UnixSocketPath, IsBehindTheScheme) {
  EXPECT_EQ(UnixSocketPath("unix:/a/b"), "/a/b");
  EXPECT_EQ(UnixSocketPath("127.0.0.1:1"), "");
}

}  // namespace
}  // namespace evilmoe
