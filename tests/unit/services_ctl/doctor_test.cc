#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "services/ctl/certificate.h"
#include "services/ctl/doctor_checks.h"

namespace evilmoe {
namespace {

using State = DoctorCheck::State;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// CN = evilmoe-test, valid from 2026-01-01 to 2026-03-01 (openssl ca -selfsign).
constexpr char kCertificate[] = R"(-----BEGIN CERTIFICATE-----
MIIBFTCBvAIBATAKBggqhkjOPQQDAjAXMRUwEwYDVQQDDAxldmlsbW9lLXRlc3Qw
HhcNMjYwMTAxMDAwMDAwWhcNMjYwMzAxMDAwMDAwWjAXMRUwEwYDVQQDDAxldmls
bW9lLXRlc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQ9JBWtGXCAS8py2anE
ylNlP0a0ZP7i2yQJMGpGq7DUmXxbtt60jSh8c1yN6fDT4Ps8JH4mV63oZudJPym5
72rAMAoGCCqGSM49BAMCA0gAMEUCIQCxM2M2GwG1He9iZqKwcQ5bW3tJUggprnD7
FrriMHIoDgIgZAvDldywqkwpum+oLa2TEoRf0sAM+vWhOI6QFaDDAt0=
-----END CERTIFICATE-----
)";

nlohmann::json Json(const char* text) { return nlohmann::json::parse(text); }

struct SandboxCase {
  const char* name;
  const char* report;
  State want;
  const char* says;
};
class SandboxReportTest : public ::testing::TestWithParam<SandboxCase> {};

TEST_P(SandboxReportTest, IsJudged) {
  const DoctorCheck check = CheckSandboxReport(Json(GetParam().report));
  EXPECT_EQ(check.state, GetParam().want);
  EXPECT_THAT(check.what + " " + check.todo, HasSubstr(GetParam().says));
}

INSTANTIATE_TEST_SUITE_P(
    Cases, SandboxReportTest,
    ::testing::Values(
        SandboxCase{"Best", R"({"tier": "A", "cgroup": "v2", "notes": [], "cases": [{"name": "x", "ok": true}]})",
                    State::kOk, "tier A, cgroup v2, 1 attacks held off"},
        SandboxCase{"Less", R"({"tier": "B", "cgroup": "none", "notes": ["no userns"], "cases": [{"name": "x", "ok": true}]})",
                    State::kWarning, "no better because no userns"},
        SandboxCase{"Broken",
                    R"({"tier": "A", "cases": [{"name": "fork", "ok": false, "verdict": "PASS", "expected": "CRASH"}]})",
                    State::kFailed, "fork got PASS, expected CRASH"},
        SandboxCase{"Silent", R"({"tier": "A", "cases": []})", State::kFailed, "said nothing"},
        SandboxCase{"NoReport", "{}", State::kFailed, "said nothing"}),
    [](const auto& c) { return c.param.name; });

TEST(CheckDevices, TellsTheGpusAndNccl) {
  std::vector<DoctorCheck> checks = CheckDevices(Json(R"({"torch": "2.13.0", "cuda_build": false, "gpus": [], "nccl": null})"));
  ASSERT_THAT(checks, SizeIs(2));
  EXPECT_EQ(checks[0].what, "LibTorch 2.13.0, CPU alone");
  EXPECT_EQ(checks[0].state, State::kOk);
  EXPECT_EQ(checks[1].what, "none; ranks on CPUs use Gloo");
  checks = CheckDevices(Json(R"({"torch": "2", "cuda_build": true, "gpus": [
      {"index": 0, "name": "H200", "memory_bytes": 150323855360}, {"name": "H200", "memory_bytes": 150323855360}], "nccl": "2.27"})"));
  EXPECT_EQ(checks[0].what, "LibTorch 2, H200 140 GiB; H200 140 GiB");
  EXPECT_EQ(checks[1].what, "version 2.27");
  checks = CheckDevices(Json(R"({"torch": "2", "cuda_build": true, "gpus": [], "nccl": "2.27"})"));
  EXPECT_EQ(checks[0].state, State::kWarning);
  checks = CheckDevices(Json(R"({"torch": "2", "gpus": [{}, {}]})"));
  EXPECT_EQ(checks[1].state, State::kFailed);
  checks = CheckDevices(absl::NotFoundError("evilmoe-trainer: not found"));
  ASSERT_THAT(checks, SizeIs(1));
  EXPECT_EQ(checks[0].state, State::kFailed);
}

TEST(CheckVerification, ShowsHowFarSamplerAndTrainerAreApart) {
  const DoctorCheck good = CheckVerification(Json(R"({"ok": true, "checks": [
      {"name": "w = 0, gradient of Q", "ok": true, "checked": "norm", "figure": 0, "limit": 0},
      {"name": "sampler, quarantine on", "ok": true, "checked": "log-probabilities", "figure": 2.5e-6, "limit": 1e-4}]})"));
  EXPECT_EQ(good.state, State::kOk);
  EXPECT_EQ(good.what, "all 2 checks of verify hold; sampler and trainer differ by 2.5e-06 at most");
  const DoctorCheck bad = CheckVerification(Json(R"({"ok": false, "checks": [
      {"name": "sampler, quarantine on", "ok": false, "problem": "far apart"}, {"name": "pin", "ok": true}]})"));
  EXPECT_EQ(bad.state, State::kFailed);
  EXPECT_EQ(bad.what, "sampler, quarantine on far apart");
  EXPECT_EQ(CheckVerification(Json("{}")).state, State::kFailed);
  EXPECT_EQ(CheckVerification(absl::DeadlineExceededError("late")).what, "late");
}

TEST(CheckCoordinator, TellsStoreWorkersAndVersion) {
  CoordinatorInfo info;
  info.version = "0.1.0";
  info.store = "sqlite (WAL, synchronous=FULL)";
  info.workers = {{.worker_id = "w", .kind = "rollout"}, {.worker_id = "t", .kind = "trainer"}};
  std::vector<DoctorCheck> checks = CheckCoordinator({.address = "h:1"}, info, "0.1.0");
  ASSERT_THAT(checks, SizeIs(3));
  EXPECT_EQ(checks[0].state, State::kOk);
  EXPECT_EQ(checks[1].what, "sqlite (WAL, synchronous=FULL)");
  EXPECT_EQ(checks[2].what, "1 rollout workers, 1 trainers at work, 0 groups wait, 0 are leased, 0 slots used");
  info.workers.erase(info.workers.begin());
  info.slots_total = 4;
  info.version = "0.2.0";
  checks = CheckCoordinator({.address = "h:1"}, info, "0.1.0");
  EXPECT_EQ(checks[0].state, State::kWarning);
  EXPECT_THAT(checks[2].what, HasSubstr("0 of 4 slots used"));
  EXPECT_THAT(checks[2].todo, HasSubstr("evilmoe-rollout"));
}

struct UnreachedCase {
  const char* name;
  absl::Status status;
  const char* todo;
};
class UnreachedTest : public ::testing::TestWithParam<UnreachedCase> {};
TEST_P(UnreachedTest, SaysWhatToDo) {
  const std::vector<DoctorCheck> checks = CheckCoordinator({.address = "h:1"}, GetParam().status, "0.1.0");
  ASSERT_THAT(checks, SizeIs(1));
  EXPECT_EQ(checks[0].state, State::kFailed);
  EXPECT_THAT(checks[0].todo, HasSubstr(GetParam().todo));
}
INSTANTIATE_TEST_SUITE_P(
    Cases, UnreachedTest,
    ::testing::Values(UnreachedCase{"Gone", absl::UnavailableError("refused"), "see that it runs"},
                      UnreachedCase{"NoToken", absl::UnauthenticatedError("no token"), "--token-file"},
                      UnreachedCase{"WrongRole", absl::PermissionDeniedError("role"), "role read"}),
    [](const auto& c) { return c.param.name; });

class DoctorFilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(::testing::TempDir()) /
              (std::string("doctor_") + ::testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string Write(const std::string& name, const std::string& bytes, bool open = false) {
    const std::filesystem::path path = folder_ / name;
    EXPECT_TRUE(WriteFileAtomic(path, bytes).ok());
    using std::filesystem::perms;
    std::filesystem::permissions(path, perms::owner_read | perms::owner_write | (open ? perms::others_read : perms::none));
    return path.string();
  }
  std::vector<State> States(const Endpoint& endpoint, const char* date) {
    std::string error;
    absl::Time now;
    EXPECT_TRUE(absl::ParseTime("%Y-%m-%d", date, &now, &error)) << error;
    std::vector<State> states;
    for (const DoctorCheck& check : CheckCredentials(endpoint, now)) states.push_back(check.state);
    return states;
  }
  std::filesystem::path folder_;
};

TEST_F(DoctorFilesTest, CredentialsAreLookedAt) {
  const Endpoint good = {.token_file = Write("token", "secret\n"),
                         .ca = Write("ca.pem", kCertificate),
                         .certificate = Write("c.pem", kCertificate),
                         .key = Write("k.pem", "-----BEGIN PRIVATE KEY-----\n")};
  EXPECT_THAT(States(good, "2026-01-15"), ElementsAre(State::kOk, State::kOk, State::kOk, State::kOk));
  EXPECT_THAT(States(good, "2026-02-25"), ElementsAre(State::kOk, State::kWarning, State::kWarning, State::kOk));
  EXPECT_THAT(States(good, "2026-03-02"), ElementsAre(State::kOk, State::kFailed, State::kFailed, State::kOk));
  EXPECT_THAT(States(good, "2025-12-31"), ElementsAre(State::kOk, State::kFailed, State::kFailed, State::kOk));
  const Endpoint bad = {.token_file = Write("empty", " \n"),
                        .ca = Write("ca", "no certificate"),
                        .certificate = folder_ / "nowhere",
                        .key = Write("key", "no key")};
  EXPECT_THAT(States(bad, "2026-01-15"), ElementsAre(State::kFailed, State::kFailed, State::kFailed, State::kFailed));
  const Endpoint open = {.token_file = Write("open", "secret", true),
                         .key = Write("open.pem", "-----BEGIN PRIVATE KEY-----\n", true)};
  EXPECT_THAT(States(open, "2026-01-15"), ElementsAre(State::kWarning, State::kWarning));
  EXPECT_THAT(States({}, "2026-01-15"), IsEmpty());
}

TEST_F(DoctorFilesTest, CertificatesEndWithTheFirstOfThem) {
  const absl::StatusOr<CertificateInfo> info = ReadCertificates(absl::StrCat(kCertificate, kCertificate));
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->subject, "CN = evilmoe-test");
  EXPECT_EQ(absl::FormatTime("%Y-%m-%d", info->not_after, absl::UTCTimeZone()), "2026-03-01");
  for (const char* text : {"", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}) {
    EXPECT_EQ(ReadCertificates(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
  EXPECT_FALSE(ReadCertificates(absl::StrCat(kCertificate, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")).ok());
}

TEST_F(DoctorFilesTest, ARunFileAndItsModelAreLookedAt) {
  const std::filesystem::path nano = EVILMOE_SOURCE_DIR "/examples/nano";
  std::vector<DoctorCheck> checks = CheckRunFile(nano / "run.yaml");
  ASSERT_THAT(checks, SizeIs(2));
  EXPECT_EQ(checks[0].state, State::kOk) << checks[0].what;
  EXPECT_EQ(checks[1].state, State::kOk) << checks[1].what;
  EXPECT_EQ(CheckRunFile(folder_ / "nowhere.yaml")[0].state, State::kFailed);
  std::filesystem::copy(nano, folder_ / "nano", std::filesystem::copy_options::recursive);
  Write("nano/model/model.safetensors", "version https://git-lfs.github.com/spec/v1\n");
  checks = CheckRunFile(folder_ / "nano/run.yaml");
  EXPECT_EQ(checks[1].state, State::kFailed);
  EXPECT_THAT(checks[1].todo, HasSubstr("Git LFS"));
  Write("nano/run.yaml", "steps: 0\nmodel: {path: nothing}\n");
  checks = CheckRunFile(folder_ / "nano/run.yaml");
  EXPECT_GE(checks.size(), 2u) << "a line a problem";
  for (const DoctorCheck& check : checks) EXPECT_EQ(check.state, State::kFailed);
}

TEST_F(DoctorFilesTest, TheHomeMayNotBeThereYet) {
  EXPECT_NE(CheckHome(folder_ / "runs/deeper").state, State::kFailed);
  EXPECT_EQ(CheckSockets().state, State::kOk);
}

TEST(DoctorText, HasALineAndWhatToDo) {
  EXPECT_EQ(DoctorText({"disk", State::kWarning, "2 GB free", "free some"}, false),
            "warn  disk             2 GB free\n                       -> free some\n");
  const nlohmann::ordered_json json = DoctorJson({{"disk", State::kWarning, "w", "t"}, {"ports", State::kFailed, "x", ""}});
  EXPECT_EQ(json["ok"], false);
  EXPECT_EQ(json["checks"][0]["state"], "warn");
  EXPECT_EQ(DoctorJson({{"disk", State::kWarning, "w", "t"}})["ok"], true) << "a warning fails nothing";
}

}  // namespace
}  // namespace evilmoe
