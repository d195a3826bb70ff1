#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "prometheus/registry.h"

namespace evilmoe {

// Serves a registry over HTTP at /metrics, and at /healthz whether the process is well, for as long as it lives.
class MetricsServer {
 public:
  // Asked for each /healthz, on a thread of the server: OK = 200 "ok", else 503 with the status' message.
  using Health = std::function<absl::Status()>;

  // `address`: "127.0.0.1:0" takes any free port; empty serves nothing (port 0). Without `health` a process that
  // answers is well. Unavailable: cannot listen there.
  static absl::StatusOr<std::unique_ptr<MetricsServer>> Start(const std::string& address,
                                                              std::shared_ptr<prometheus::Registry> registry,
                                                              Health health = nullptr);
  ~MetricsServer();

  int port() const { return port_; }

 private:
  class Impl;
  MetricsServer();
  int port_ = 0;
  std::unique_ptr<Impl> impl_;
};

}  // namespace evilmoe
