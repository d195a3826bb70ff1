#include "proto/security/address.h"

#include <arpa/inet.h>

#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"

namespace evilmoe {
namespace {

constexpr size_t kMaxSocketPath = 107;

// The host of "host:port", without the brackets of an IPv6 address.
std::optional<std::string> HostOf(std::string_view address) {
  const size_t colon = address.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const std::string digits(address.substr(colon + 1));
  int port = -1;
  if (digits.empty() || !absl::ascii_isdigit(static_cast<unsigned char>(digits[0]))) return std::nullopt;
  if (!absl::SimpleAtoi(digits, &port) || port > 65535) return std::nullopt;
  std::string host(address.substr(0, colon));
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
    in6_addr ignored{};
    return inet_pton(AF_INET6, host.c_str(), &ignored) == 1 ? std::optional(host) : std::nullopt;
  }
  if (host.empty() || host == "unix") return std::nullopt;
  for (const char c : host) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) && c != '.' && c != '-' && c != '_') return std::nullopt;
  }
  return host;
}

}  // namespace

std::string UnixSocketPath(std::string_view address) {
  return address.starts_with("unix:") ? std::string(address.substr(5)) : std::string();
}

bool IsUnixAddress(std::string_view address) {
  const std::string path = UnixSocketPath(address);
  return path.size() > 1 && path.size() <= kMaxSocketPath && path[0] == '/';
}

bool IsTcpAddress(std::string_view address) { return HostOf(address).has_value(); }

bool IsLoopbackAddress(std::string_view address) {
  const std::optional<std::string> host = HostOf(address);
  if (!host) return false;
  in_addr v4{};  // a name may begin with "127." too
  if (inet_pton(AF_INET, host->c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
  return *host == "localhost" || *host == "::1";
}

}  // namespace evilmoe
