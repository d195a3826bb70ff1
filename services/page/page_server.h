#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/logger.h"
#include "proto/security/call_guard_metrics.h"
#include "proto/security/listen_config.h"
#include "services/page/run_source.h"

namespace evilmoe {

struct PageServerOptions {
  std::string listen;               // "host:port"; port 0 = any free one; empty = no page
  // Beyond loopback with a certificate: HTTPS; client_ca: only for who shows a certificate of it. On loopback plain.
  ServerSecurity security;
  std::vector<std::string> hosts;   // page_guard.h
  int max_streams = 48;             // [1, 1000], a thread each
  absl::Duration patience = absl::Seconds(10);  // a reader that takes nothing for so long is dropped
};

// The page and its data over HTTP, for as long as it lives: what a browser needs, and no more. Never answers another
// site's scripts, and asks for tokens where there are some (page_guard.h).
class PageServer {
 public:
  // Unavailable: cannot listen there. NotFound, InvalidArgument, FailedPrecondition: certificate or tokens
  // (certificate_files.h, call_guard.h). References must outlive it; `metrics` may be null.
  static absl::StatusOr<std::unique_ptr<PageServer>> Start(const PageServerOptions& options, RunSource& source,
                                                           const Clock& clock, Logger& logger,
                                                           CallGuardMetrics* metrics = nullptr);
  // Ends streams, and waits for what is being answered. `source` should answer at once by then.
  ~PageServer();

  int port() const { return port_; }  // 0 = no page

 private:
  class Impl;
  PageServer();
  int port_ = 0;
  std::unique_ptr<Impl> impl_;
};

}  // namespace evilmoe
