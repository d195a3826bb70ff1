#include "services/ctl/global_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "common/file.h"

namespace evilmoe {
namespace {

using ::testing::HasSubstr;

TEST(ParseCtlConfig, ReadsTheOptionsByTheirNames) {
  const absl::StatusOr<GivenOptions> given = ParseCtlConfig(
      "endpoint: host:7000\ntoken-file: token\nca: /etc/ca.pem\ncertificate: c.pem\nkey: k.pem\noutput: json\n"
      "no-color: true\n",
      "ctl.yaml", "/home/me/.config/evilmoe");
  ASSERT_TRUE(given.ok()) << given.status();
  EXPECT_EQ(given->endpoint, "host:7000");
  EXPECT_EQ(given->token_file, "/home/me/.config/evilmoe/token");
  EXPECT_EQ(given->ca, "/etc/ca.pem");
  EXPECT_EQ(given->output, "json");
  EXPECT_EQ(given->no_color, true);
}

TEST(ParseCtlConfig, IsStrict) {
  const absl::Status status =
      ParseCtlConfig("endpoints: x\ntoken_file: t\noutput: xml\nno-color: 1\n", "ctl.yaml", "/").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  const std::string text(status.message());
  EXPECT_THAT(text, HasSubstr("ctl.yaml:1:1: endpoints: unknown key, did you mean endpoint?"));
  EXPECT_THAT(text, HasSubstr("token_file: unknown key, did you mean token-file?"));
  EXPECT_THAT(text, HasSubstr("output: unknown value, got \"xml\", expected table or json"));
  EXPECT_THAT(text, HasSubstr("no-color"));
}

TEST(ReadCtlConfig, LooksWhereXdgSays) {
  const std::filesystem::path folder = std::filesystem::path(::testing::TempDir()) / "ctl_config_test";
  std::filesystem::create_directories(folder / "evilmoe");
  ASSERT_EQ(setenv("XDG_CONFIG_HOME", folder.c_str(), 1), 0);
  EXPECT_EQ(CtlConfigFile(), folder / "evilmoe" / "ctl.yaml");
  EXPECT_EQ(ReadCtlConfig()->endpoint, std::nullopt) << "no file, nothing given";
  ASSERT_TRUE(WriteFileAtomic(folder / "evilmoe" / "ctl.yaml", "endpoint: unix:/x\n").ok());
  EXPECT_EQ(ReadCtlConfig()->endpoint, "unix:/x");
  ASSERT_EQ(unsetenv("XDG_CONFIG_HOME"), 0);
  ASSERT_EQ(setenv("HOME", "/home/me", 1), 0);
  EXPECT_EQ(CtlConfigFile(), "/home/me/.config/evilmoe/ctl.yaml");
  std::filesystem::remove_all(folder);
}

TEST(ResolveOptions, TheCommandLineComesFirst) {
  GivenOptions file;
  file.endpoint = "one:1";
  file.token_file = "token";
  file.output = "json";
  file.no_color = true;
  EXPECT_EQ(ResolveOptions({}, file)->endpoint.address, "one:1");
  EXPECT_EQ(ResolveOptions({}, file)->endpoint.token_file, "token");
  EXPECT_TRUE(ResolveOptions({}, file)->json);
  EXPECT_FALSE(ResolveOptions({}, file)->color);
  GivenOptions words;
  words.output = "table";
  words.token_file = "other";
  EXPECT_FALSE(ResolveOptions(words, file)->json);
  EXPECT_EQ(ResolveOptions(words, file)->endpoint.token_file, "other");
}

TEST(ResolveOptions, AnotherEndpointIsNotShownTheFilesToken) {
  GivenOptions file;
  file.endpoint = "one:1";
  file.token_file = "token";
  GivenOptions words;
  words.endpoint = "two:2";
  EXPECT_EQ(ResolveOptions(words, file)->endpoint.token_file, "");
  words.endpoint = "one:1";
  EXPECT_EQ(ResolveOptions(words, file)->endpoint.token_file, "token");
  words.endpoint = "";
  EXPECT_EQ(ResolveOptions(words, file)->endpoint.address, "") << "none, though the file names one";
}

TEST(ResolveOptions, ACertificateNeedsItsKey) {
  GivenOptions words;
  words.certificate = "c.pem";
  EXPECT_EQ(ResolveOptions(words, {}).status().code(), absl::StatusCode::kInvalidArgument);
  words.key = "k.pem";
  EXPECT_TRUE(ResolveOptions(words, {}).ok());
}

}  // namespace
}  // namespace evilmoe
