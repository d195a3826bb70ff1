#pragma once

#include <memory>

#include "services/ctl/coordinator_link.h"
#include "services/ctl/endpoint.h"

namespace evilmoe {

// A link over gRPC. Dials at the first call. Thread-safe.
std::unique_ptr<CoordinatorLink> ConnectCoordinator(const Endpoint& endpoint);

}  // namespace evilmoe
