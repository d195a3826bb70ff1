#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "prometheus/registry.h"

namespace evilmoe {

// Serves a registry over HTTP at /metrics for as long as it lives.
class MetricsServer {
 public:
  // `address`: "127.0.0.1:0" takes any free port; empty serves nothing (port 0). Unavailable: cannot listen there.
  static absl::StatusOr<std::unique_ptr<MetricsServer>> Start(const std::string& address,
                                                              std::shared_ptr<prometheus::Registry> registry);
  ~MetricsServer();

  int port() const { return port_; }

 private:
  class Impl;
  MetricsServer() = default;
  int port_ = 0;
  std::unique_ptr<Impl> impl_;
};

}  // namespace evilmoe
