#include "proto/security/channel_security.h"

#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "common/status_macros.h"
#include "proto/security/address.h"
#include "proto/security/certificate_files.h"
#include "proto/security/token_source.h"

namespace evilmoe {

void ReadChannelSecurity(YamlSection root, const std::vector<DialledAddress>& dialled, ChannelSecurity& security) {
  YamlSection section = root.Section("security");
  section.Field("ca", &security.ca);
  section.Field("certificate", &security.certificate);
  section.Field("key", &security.key);
  section.Field("token", &security.token);
  section.Field("server_name", &security.server_name);
  for (const DialledAddress& one : dialled) {
    const absl::Status status = CheckChannelSecurity(one.address, security);
    if (!status.ok()) root.Problem(one.field, std::string(status.message()));
  }
}

absl::Status CheckChannelSecurity(const std::string& address, const ChannelSecurity& security) {
  if (security.certificate.empty() != security.key.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "security: ", security.key.empty() ? "certificate without key" : "key without certificate", ", expected both"));
  }
  if (security.ca.empty() && !security.certificate.empty()) {
    return absl::InvalidArgumentError("security: certificate without ca, expected the ca of the server's certificate");
  }
  const bool plain = security.ca.empty() && !address.starts_with("unix:");
  if (plain && !security.token.empty() && !IsLoopbackAddress(address)) {
    return absl::FailedPreconditionError(
        absl::StrCat("the token would cross the network to ", ShowYamlValue(address),
                     " in plain, expected security.ca (TLS), a Unix socket or 127.0.0.1"));
  }
  return absl::OkStatus();
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
