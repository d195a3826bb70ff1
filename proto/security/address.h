#pragma once

#include <string>
#include <string_view>

namespace evilmoe {

// Where a service listens or is dialled, as config files write it: "unix:/path" or "host:port".

inline constexpr char kAddressShape[] = "unix:/path (absolute, at most 107 bytes) or host:port";

// The path behind "unix:", or "".
std::string UnixSocketPath(std::string_view address);
// "unix:/path": absolute, at most 107 bytes of path.
bool IsUnixAddress(std::string_view address);
// "name:port", "1.2.3.4:port" or "[::1]:port", the port in [0, 65535].
bool IsTcpAddress(std::string_view address);
// A TCP address that other machines do not reach: of 127.0.0.0/8, [::1] or localhost.
bool IsLoopbackAddress(std::string_view address);

}  // namespace evilmoe
