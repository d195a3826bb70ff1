#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "common/yaml_reader.h"
#include "proto/security/call_limits.h"

namespace evilmoe {

// How a server is protected. A Unix socket is by its permission (0600) and needs none of this.
struct ServerSecurity {
  std::filesystem::path certificate;  // tls.certificate, PEM, the server's own first; empty: plain
  std::filesystem::path key;          // tls.key, PEM, of `certificate`
  std::filesystem::path client_ca;    // tls.client_ca, PEM; set: every client shows a certificate of one of these
  std::filesystem::path tokens;       // token_table.h; empty: no token is asked for
  bool insecure = false;              // true: plain TCP beyond loopback is not refused
};

// Where and how a server listens: part of each server's config file.
struct ListenConfig {
  std::vector<std::string> addresses;  // "unix:/path" or "host:port", each once
  ServerSecurity security;
  CallLimits limits;

  // Makes its paths relative to `base`.
  void ResolvePaths(const std::filesystem::path& base);
};

// Reads `listen` (a list, or one address), `tls`, `tokens`, `insecure` and `limits` from the top of a config file, of
// which `config` holds the defaults. Beside wrong shapes it is a problem when
//   - a TCP address that other machines reach lacks TLS or tokens, unless `insecure` is true;
//   - tokens would cross the network in plain.
void ReadListenConfig(const YamlReader& reader, YamlSection root, ListenConfig& config);

// The same two problems for other addresses of the config field `field`, where a server listens under the same security.
void CheckReach(YamlSection root, const std::string& field, const std::vector<std::string>& addresses,
                const ServerSecurity& security);

}  // namespace evilmoe
