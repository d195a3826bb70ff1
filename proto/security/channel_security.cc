#include "proto/security/channel_security.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "common/status_macros.h"
#include "proto/security/address.h"
#include "proto/security/certificate_files.h"
#include "proto/security/token_source.h"

namespace evilmoe {

namespace {

struct Problem {
  const char* field;  // of the section
  const char* text;
};

std::optional<Problem> ProblemOf(const ChannelSecurity& security) {
  if (security.key.empty() && !security.certificate.empty()) {
    return Problem{"key", "missing, expected the file with the key of security.certificate"};
  }
  if (security.certificate.empty() && !security.key.empty()) {
    return Problem{"certificate", "missing, expected the file with the certificate of security.key"};
  }
  if (security.ca.empty() && !security.certificate.empty()) {
    return Problem{"ca", "missing, expected the file with the CA of the server's certificate"};
  }
  return std::nullopt;
}

absl::Status CheckReach(const std::string& address, const ChannelSecurity& security) {
  const bool plain = security.ca.empty() && !address.starts_with("unix:");
  if (!plain || security.token.empty() || IsLoopbackAddress(address)) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("the token would cross the network to ", ShowYamlValue(address),
                   " in plain, expected security.ca (TLS), a Unix socket or 127.0.0.1"));
}

}  // namespace

void ReadChannelSecurity(YamlSection root, const std::vector<DialledAddress>& dialled, ChannelSecurity& security) {
  YamlSection section = root.Section("security");
  section.Field("ca", &security.ca);
  section.Field("certificate", &security.certificate);
  section.Field("key", &security.key);
  section.Field("token", &security.token);
  section.Field("server_name", &security.server_name);
  if (const std::optional<Problem> problem = ProblemOf(security)) section.Problem(problem->field, problem->text);
  for (const DialledAddress& one : dialled) {
    const absl::Status status = CheckReach(one.address, security);
    if (!status.ok()) root.Problem(one.field, std::string(status.message()));
  }
}

absl::Status CheckChannelSecurity(const std::string& address, const ChannelSecurity& security) {
  if (const std::optional<Problem> problem = ProblemOf(security)) {
    return absl::InvalidArgumentError(absl::StrCat("security.", problem->field, ": ", problem->text));
  }
  return CheckReach(address, security);
}

absl::Status CheckChannelFiles(const ChannelSecurity& security, absl::Time now) {
  if (!security.ca.empty()) {
    EVILMOE_RETURN_IF_ERROR(Annotate(CheckAuthorities(security.ca), "security.ca"));
  }
  if (!security.certificate.empty()) {
    EVILMOE_RETURN_IF_ERROR(
        Annotate(CheckCertificate(security.certificate, security.key, now), "security.certificate"));
  }
  if (security.token.empty()) return absl::OkStatus();
  const RealClock clock;
  return Annotate(TokenSource::Open(security.token, clock).status(), "security");
}

}  // namespace evilmoe
