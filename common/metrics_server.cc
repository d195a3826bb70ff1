#include "common/metrics_server.h"

#include <prometheus/exposer.h>

#include "absl/strings/str_cat.h"

namespace evilmoe {

class MetricsServer::Impl {
 public:
  explicit Impl(const std::string& address) : exposer(address, /*num_threads=*/1) {}
  prometheus::Exposer exposer;
};

absl::StatusOr<std::unique_ptr<MetricsServer>> MetricsServer::Start(const std::string& address,
                                                                    std::shared_ptr<prometheus::Registry> registry) {
  std::unique_ptr<MetricsServer> server(new MetricsServer());
  if (address.empty()) return server;
  try {  // the library's edge: civetweb says with an exception that it cannot listen
    server->impl_ = std::make_unique<Impl>(address);
    server->impl_->exposer.RegisterCollectable(registry);
    server->port_ = server->impl_->exposer.GetListeningPorts().front();
  } catch (const std::exception& e) {
    return absl::UnavailableError(absl::StrCat("metrics: cannot listen on ", address, ": ", e.what()));
  }
  return server;
}

MetricsServer::~MetricsServer() = default;

}  // namespace evilmoe
