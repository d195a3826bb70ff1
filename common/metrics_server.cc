#include "common/metrics_server.h"

#include <civetweb.h>
#include <prometheus/text_serializer.h>

#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"

namespace evilmoe {
namespace {

constexpr char kMetricsType[] = "text/plain; version=0.0.4; charset=utf-8";
constexpr char kPlainType[] = "text/plain; charset=utf-8";
// A connection a request: two scrapers and a probe at once. A silent client is dropped after ten seconds.
constexpr char kThreads[] = "3";
constexpr char kTimeoutMs[] = "10000";

int Answer(mg_connection* connection, int code, const char* type, const std::string& body) {
  mg_printf(connection,
            "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n", code,
            mg_get_response_code_text(connection, code), type, body.size());
  mg_write(connection, body.data(), body.size());
  return code;
}

}  // namespace

class MetricsServer::Impl {
 public:
  Impl(std::shared_ptr<prometheus::Registry> registry, Health health)
      : registry_(std::move(registry)), health_(std::move(health)) {}
  ~Impl() {
    if (context_ != nullptr) mg_stop(context_);  // waits for its threads
  }

  // False: cannot listen.
  bool Listen(const std::string& address) {
    const char* options[] = {"listening_ports", address.c_str(), "num_threads", kThreads,
                             "request_timeout_ms", kTimeoutMs, nullptr};
    const mg_callbacks callbacks{};
    context_ = mg_start(&callbacks, this, options);
    if (context_ == nullptr) return false;
    mg_set_request_handler(context_, "/metrics$", &ServeMetrics, this);
    mg_set_request_handler(context_, "/healthz$", &ServeHealth, this);
    return true;
  }

  int port() const {
    mg_server_port ports[4];
    return mg_get_server_ports(context_, 4, ports) > 0 ? ports[0].port : 0;
  }

 private:
  static int ServeMetrics(mg_connection* connection, void* self) {
    std::ostringstream text;
    prometheus::TextSerializer().Serialize(text, static_cast<Impl*>(self)->registry_->Collect());
    return Answer(connection, 200, kMetricsType, text.str());
  }
  static int ServeHealth(mg_connection* connection, void* self) {
    const Health& health = static_cast<Impl*>(self)->health_;
    const absl::Status status = health ? health() : absl::OkStatus();
    if (status.ok()) return Answer(connection, 200, kPlainType, "ok\n");
    return Answer(connection, 503, kPlainType, absl::StrCat(status.message(), "\n"));
  }

  const std::shared_ptr<prometheus::Registry> registry_;
  const Health health_;
  mg_context* context_ = nullptr;
};

absl::StatusOr<std::unique_ptr<MetricsServer>> MetricsServer::Start(const std::string& address,
                                                                    std::shared_ptr<prometheus::Registry> registry,
                                                                    Health health) {
  std::unique_ptr<MetricsServer> server(new MetricsServer());
  if (address.empty()) return server;
  server->impl_ = std::make_unique<Impl>(std::move(registry), std::move(health));
  if (!server->impl_->Listen(address)) {
    server->impl_.reset();
    return absl::UnavailableError(absl::StrCat("metrics: cannot listen on ", address, ", expected a free address"));
  }
  server->port_ = server->impl_->port();
  return server;
}

MetricsServer::MetricsServer() = default;
MetricsServer::~MetricsServer() = default;

}  // namespace evilmoe
