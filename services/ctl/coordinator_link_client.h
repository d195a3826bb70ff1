#pragma once

#include <memory>
#include <string>

#include "services/ctl/coordinator_link.h"

namespace evilmoe {

// A link over gRPC without TLS, for "unix:/path" and loopback addresses. Dials at the first call. Thread-safe.
std::unique_ptr<CoordinatorLink> ConnectCoordinator(const std::string& address);

}  // namespace evilmoe
