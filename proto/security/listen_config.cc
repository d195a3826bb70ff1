#include "proto/security/listen_config.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "proto/security/address.h"

namespace evilmoe {
namespace {

void ReadAddresses(const YamlReader& reader, YamlSection root, std::vector<std::string>& addresses) {
  if (reader.Peek("listen").has_value()) {
    std::string one;
    root.Field("listen", &one)
        .Required(kAddressShape)
        .Check(IsUnixAddress(one) || IsTcpAddress(one), kAddressShape);
    addresses = {one};
    return;
  }
  root.Field("listen", &addresses).Required(absl::StrCat("a list of ", kAddressShape));
  for (const std::string& address : addresses) {
    if (IsUnixAddress(address) || IsTcpAddress(address)) continue;
    root.Problem("listen",
                 absl::StrCat("bad value, got ", ShowYamlValue(address), ", expected ", kAddressShape));
  }
  if (std::set(addresses.begin(), addresses.end()).size() < addresses.size()) {
    root.Problem("listen", "an address stands twice, expected each once");
  }
}

void ReadTls(YamlSection tls, ServerSecurity& security) {
  tls.Field("certificate", &security.certificate);
  tls.Field("key", &security.key);
  tls.Field("client_ca", &security.client_ca);
  if (!security.certificate.empty() && security.key.empty()) {
    tls.Problem("key", "missing, expected the file with the key of tls.certificate");
  }
  if (security.certificate.empty() && !(security.key.empty() && security.client_ca.empty())) {
    tls.Problem("certificate", "missing, expected the file with the server's certificate");
  }
}

}  // namespace

void CheckReach(YamlSection root, const std::string& field, const std::vector<std::string>& addresses,
                const ServerSecurity& security) {
  std::vector<std::string> missing;
  if (security.certificate.empty()) missing.insert(missing.end(), {"tls.certificate", "tls.key"});
  if (security.tokens.empty()) missing.push_back("tokens");
  const auto reached = std::ranges::find_if(addresses, [](const std::string& address) {
    return IsTcpAddress(address) && !IsLoopbackAddress(address);
  });
  if (reached == addresses.end()) return;
  if (!missing.empty() && !security.insecure) {
    root.Problem(field,
                 absl::StrCat("other machines reach ", *reached, ", so it needs TLS and tokens; missing: ",
                              absl::StrJoin(missing, ", "), ". Set them (scripts/make_certificates makes all), listen "
                              "at 127.0.0.1 or a Unix socket, or set insecure: true if you trust every machine of "
                              "that network"));
  }
  if (security.insecure && security.certificate.empty() && !security.tokens.empty()) {
    root.Problem("tokens", absl::StrCat("they would cross the network to ", *reached,
                                        " in plain, expected tls.certificate and tls.key beside them"));
  }
}

void ListenConfig::ResolvePaths(const std::filesystem::path& base) {
  for (std::filesystem::path* path : {&security.certificate, &security.key, &security.client_ca, &security.tokens}) {
    if (!path->empty()) *path = base / *path;
  }
}

void ReadListenConfig(const YamlReader& reader, YamlSection root, ListenConfig& config) {
  ReadAddresses(reader, root, config.addresses);
  ReadTls(root.Section("tls"), config.security);
  root.Field("tokens", &config.security.tokens);
  root.Field("insecure", &config.security.insecure);
  YamlSection limits = root.Section("limits");
  limits.Field("message_mib", &config.limits.message_mib).Range(1, 1024);
  limits.Field("calls_per_second", &config.limits.calls_per_second).Range(1, 1'000'000);
  limits.Field("concurrent_calls", &config.limits.concurrent_calls).Range(1, 1'000'000);
  CheckReach(root, "listen", config.addresses, config.security);
}

}  // namespace evilmoe
