// Checks of doctor_checks.h about the coordinator and what it is shown.

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "common/file.h"
#include "common/shown_text.h"
#include "services/ctl/certificate.h"
#include "services/ctl/doctor_checks.h"

namespace evilmoe {
namespace {

namespace fs = std::filesystem;
using State = DoctorCheck::State;

constexpr absl::Duration kSoon = absl::Hours(24 * 14);
constexpr size_t kMaxFileBytes = size_t{1} << 20;

// Whether others than the owner may read the file.
bool IsOpen(const std::string& file) {
  std::error_code error;
  const fs::perms perms = fs::status(file, error).permissions();
  return !error && (perms & (fs::perms::group_read | fs::perms::others_read)) != fs::perms::none;
}

DoctorCheck CheckToken(const std::string& file) {
  const absl::StatusOr<std::string> token = ReadFile(file, kMaxFileBytes);
  if (!token.ok()) return {"token", State::kFailed, std::string(token.status().message()), "name a file with --token-file"};
  if (absl::StripAsciiWhitespace(*token).empty()) {
    return {"token", State::kFailed, absl::StrCat(file, ": empty"), "ask whoever runs the coordinator for a token"};
  }
  if (IsOpen(file)) {
    return {"token", State::kWarning, absl::StrCat(file, ": others can read it"), absl::StrCat("chmod 600 ", file)};
  }
  return {"token", State::kOk, file, ""};
}

DoctorCheck CheckCertificateFile(const char* name, const std::string& file, absl::Time now) {
  const absl::StatusOr<std::string> pem = ReadFile(file, kMaxFileBytes);
  if (!pem.ok()) return {name, State::kFailed, std::string(pem.status().message()), "name a PEM file"};
  const absl::StatusOr<CertificateInfo> info = ReadCertificates(*pem);
  if (!info.ok()) {
    return {name, State::kFailed, absl::StrCat(file, ": ", std::string(info.status().message())), "name a PEM file"};
  }
  const int64_t days = (info->not_after - now) / absl::Hours(24);
  const std::string what = absl::StrCat(ShownLine(info->subject), " in ", file);
  const std::string end = absl::FormatTime("%Y-%m-%d", info->not_after, absl::UTCTimeZone());
  if (info->not_after <= now) {
    return {name, State::kFailed, absl::StrCat(what, ": ended on ", end), "get a new one"};
  }
  if (info->not_before > now) return {name, State::kFailed, absl::StrCat(what, ": not valid yet"), "look at the clock"};
  if (info->not_after - now < kSoon) {
    return {name, State::kWarning, absl::StrCat(what, ": ends on ", end, ", in ", days, " days"), "get a new one"};
  }
  return {name, State::kOk, absl::StrCat(what, ": until ", end, ", ", days, " days"), ""};
}

DoctorCheck CheckKey(const std::string& file) {
  const absl::StatusOr<std::string> key = ReadFile(file, kMaxFileBytes);
  if (!key.ok()) return {"key", State::kFailed, std::string(key.status().message()), "name a file with --key"};
  if (!absl::StrContains(*key, "PRIVATE KEY-----")) {
    return {"key", State::kFailed, absl::StrCat(file, ": no private key in PEM"), "name a PEM file"};
  }
  if (IsOpen(file)) {
    return {"key", State::kWarning, absl::StrCat(file, ": others can read it"), absl::StrCat("chmod 600 ", file)};
  }
  return {"key", State::kOk, file, ""};
}

DoctorCheck Unreached(const Endpoint& endpoint, const absl::Status& status) {
  const char* todo = "see that it runs and serves that address; over TCP with TLS name --ca";
  if (absl::IsUnauthenticated(status)) todo = "name the token with --token-file; see that the coordinator knows it";
  if (absl::IsPermissionDenied(status)) todo = "ask for a token with role read at least";
  return {"endpoint", State::kFailed, absl::StrCat(endpoint.address, ": ", ShownLine(std::string(status.message()))), todo};
}

}  // namespace

std::vector<DoctorCheck> CheckCoordinator(const Endpoint& endpoint, const absl::StatusOr<CoordinatorInfo>& info,
                                          const std::string& version) {
  if (!info.ok()) return {Unreached(endpoint, info.status())};
  const auto count = [&](const char* kind) {
    return std::count_if(info->workers.begin(), info->workers.end(),
                         [&](const WorkerInfo& worker) { return worker.kind == kind; });
  };
  const auto workers = count("rollout"), trainers = count("trainer");
  std::vector<DoctorCheck> checks;
  checks.push_back({"endpoint", State::kOk, absl::StrCat(endpoint.address, ", version ", info->version), ""});
  if (!info->version.empty() && info->version != version) {
    checks[0].state = State::kWarning;
    checks[0].todo = absl::StrCat("evilmoe-ctl is version ", version, ": use the same");
  }
  checks.push_back({"store", State::kOk, info->store, ""});
  checks.push_back({"workers", State::kOk,
                    absl::StrFormat("%d rollout workers, %d trainers at work, %d groups wait, %d are leased, %d%s slots used",
                                    workers, trainers, info->groups_waiting, info->groups_leased, info->slots_used,
                                    info->slots_total == 0 ? "" : absl::StrCat(" of ", info->slots_total)),
                    ""});
  if (workers == 0) {  // of trainers only those that have a run are known
    checks.back().state = State::kWarning;
    checks.back().todo = "start evilmoe-rollout: runs wait without one";
  }
  return checks;
}

std::vector<DoctorCheck> CheckCredentials(const Endpoint& endpoint, absl::Time now) {
  std::vector<DoctorCheck> checks;
  if (!endpoint.token_file.empty()) checks.push_back(CheckToken(endpoint.token_file));
  if (!endpoint.ca.empty()) checks.push_back(CheckCertificateFile("ca", endpoint.ca, now));
  if (!endpoint.certificate.empty()) checks.push_back(CheckCertificateFile("certificate", endpoint.certificate, now));
  if (!endpoint.key.empty()) checks.push_back(CheckKey(endpoint.key));
  return checks;
}

}  // namespace evilmoe
