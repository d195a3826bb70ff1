#include "proto/security/certificate_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/clock.h"
#include "common/file.h"
#include "tests/unit/proto_security/certificates_kit.h"

namespace evilmoe {
namespace {

using ::testing::HasSubstr;
using Code = absl::StatusCode;

class CertificateFilesTest : public ::testing::Test {
 protected:
  void SetUp() override { MakeCertificates(folder_ / "c", {"--days", "30"}); }
  absl::Status Check(const std::string& certificate, const std::string& key, absl::Time now) {
    return CheckCertificate(folder_ / "c" / certificate, folder_ / "c" / key, now);
  }
  void Expect(const absl::Status& status, Code code, const std::string& text) {
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(text));
  }
  const ScratchFolder folder_;
  // When the certificates were made, within a day: the files say when that was.
  const absl::Time made_ = RealClock().Now();
};

TEST_F(CertificateFilesTest, TellsWhatIsWrong) {
  EXPECT_TRUE(Check("server.pem", "server.key", made_ + absl::Hours(1)).ok());
  EXPECT_TRUE(CheckAuthorities(folder_ / "c/ca.pem").ok());
  Expect(Check("server.pem", "server.key", made_ + absl::Hours(24 * 31)), Code::kFailedPrecondition, "expired at 2");
  Expect(Check("server.pem", "server.key", made_ - absl::Hours(24)), Code::kFailedPrecondition, "valid from 2");
  Expect(Check("server.pem", "client.key", made_), Code::kInvalidArgument, "not the key of");
  Expect(Check("tokens.yaml", "server.key", made_), Code::kInvalidArgument, "no certificate");
  Expect(Check("server.pem", "tokens.yaml", made_), Code::kInvalidArgument, "no key");
  Expect(Check("absent.pem", "server.key", made_), Code::kNotFound, "absent.pem");
  Expect(Check("server.pem", "absent.key", made_), Code::kNotFound, "absent.key");
  Expect(CheckAuthorities(folder_ / "c/ca.key"), Code::kInvalidArgument, "no certificate");
}

TEST_F(CertificateFilesTest, MadeAgainKeepsCaAndTokensAndRenewsTheRest) {
  const auto read = [&](const std::string& name) { return ReadFile(folder_ / "c" / name).value(); };
  const std::string ca = read("ca.pem"), server = read("server.pem"), tokens = read("tokens.yaml");
  MakeCertificates(folder_ / "c");
  EXPECT_EQ(read("ca.pem"), ca);
  EXPECT_EQ(read("tokens.yaml"), tokens);
  EXPECT_NE(read("server.pem"), server);
  EXPECT_TRUE(Check("server.pem", "server.key", made_ + absl::Hours(24 * 300)).ok());
  for (const char* name : {"ca.key", "server.key", "client.key", "worker.token"}) {
    EXPECT_EQ(std::filesystem::status(folder_ / "c" / name).permissions(),
              std::filesystem::perms::owner_read | std::filesystem::perms::owner_write)
        << name;
  }
}

}  // namespace
}  // namespace evilmoe
