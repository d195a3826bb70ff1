#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/yaml_reader.h"

namespace evilmoe {

// How a client protects its channels. Plain where `ca` is empty, and always over a Unix socket.
struct ChannelSecurity {
  std::filesystem::path ca;           // PEM: whose certificates of servers are believed; set: TLS
  std::filesystem::path certificate;  // PEM, the client's own first; set: shown to servers (mTLS)
  std::filesystem::path key;          // PEM, of `certificate`
  std::filesystem::path token;        // file with the token; empty: none is shown
  std::string server_name;            // expected in the server's certificate in place of the host that is dialled
};

// A server that a client dials: the name of the config field, and the address in it.
struct DialledAddress {
  std::string field;
  std::string address;
};

// Reads the section `security` (ca, certificate, key, token, server_name) from the top of a config file that has read
// `dialled` before. What CheckChannelSecurity() refuses is a problem of the section, or of the address.
void ReadChannelSecurity(YamlSection root, const std::vector<DialledAddress>& dialled, ChannelSecurity& security);

// FailedPrecondition: a token would cross the network in plain: `address` is neither a Unix socket nor loopback, and
// there is no ca. InvalidArgument: certificate, key and ca do not go together.
absl::Status CheckChannelSecurity(const std::string& address, const ChannelSecurity& security);

// Whether the files are there and what they should be, a certificate valid at `now`, so that a mistake is told before
// the first call. NotFound, InvalidArgument, FailedPrecondition (certificate_files.h, token_source.h).
absl::Status CheckChannelFiles(const ChannelSecurity& security, absl::Time now);

}  // namespace evilmoe
