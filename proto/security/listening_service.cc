#include "proto/security/listening_service.h"

#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "proto/grpc_library.h"
#include "proto/security/address.h"
#include "proto/security/certificate_files.h"

namespace evilmoe {
namespace {

constexpr int kHandshakeTimeoutMs = 10'000;  // gRPC's own is two minutes, which strangers could hold sockets for

bool HasListener(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), std::min(path.size(), sizeof(address.sun_path) - 1));
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return false;
  const bool alive = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 || errno == EAGAIN;
  close(fd);
  return alive;
}

absl::Status RemoveStaleSocket(const std::string& path) {
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::symlink_status(path, error);
  if (!std::filesystem::exists(status)) return absl::OkStatus();
  if (!std::filesystem::is_socket(status)) {
    return absl::FailedPreconditionError(absl::StrCat("listen: ", path, " is no socket; give a path that is free"));
  }
  if (HasListener(path)) {
    return absl::FailedPreconditionError(absl::StrCat("listen: another process serves ", path, "; stop it first"));
  }
  std::filesystem::remove(path, error);
  if (error) return absl::UnavailableError(absl::StrCat("listen: cannot remove ", path, ": ", error.message()));
  return absl::OkStatus();
}

absl::Status CheckFiles(const ServerSecurity& security, absl::Time now) {
  if (security.certificate.empty()) return absl::OkStatus();
  EVILMOE_RETURN_IF_ERROR(Annotate(CheckCertificate(security.certificate, security.key, now), "tls.certificate"));
  if (security.client_ca.empty()) return absl::OkStatus();
  return Annotate(CheckAuthorities(security.client_ca), "tls.client_ca");
}

std::shared_ptr<grpc::ServerCredentials> TcpCredentials(const ServerSecurity& security, absl::Duration interval) {
  if (security.certificate.empty()) return grpc::InsecureServerCredentials();
  const auto seconds = static_cast<unsigned>(std::max(int64_t{1}, absl::ToInt64Seconds(interval)));
  grpc::experimental::TlsServerCredentialsOptions options(
      std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(
          security.key.string(), security.certificate.string(), security.client_ca.string(), seconds));
  options.watch_identity_key_cert_pairs();
  if (!security.client_ca.empty()) {
    options.watch_root_certs();
    options.set_cert_request_type(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  }
  return grpc::experimental::TlsServerCredentials(options);
}

void SetLimits(grpc::ServerBuilder& builder, const ListeningOptions& options) {
  const CallLimits& limits = options.listen.limits;
  builder.SetMaxReceiveMessageSize(limits.message_mib << 20);
  builder.SetMaxSendMessageSize(limits.message_mib << 20);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, limits.concurrent_calls);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeTimeoutMs);
  if (options.max_threads > 0) {
    builder.SetResourceQuota(grpc::ResourceQuota("server").SetMaxThreads(options.max_threads));
  }
}

}  // namespace

absl::StatusOr<ListeningServer> StartListening(const ListeningOptions& options,
                                               const std::vector<grpc::Service*>& services, absl::Time now) {
  const std::vector<std::string>& addresses = options.listen.addresses;
  EVILMOE_RETURN_IF_ERROR(CheckFiles(options.listen.security, now));
  for (const std::string& address : addresses) {
    const std::string path = UnixSocketPath(address);
    if (!path.empty()) EVILMOE_RETURN_IF_ERROR(RemoveStaleSocket(path));
  }
  KeepGrpcLibrary();
  grpc::ServerBuilder builder;
  ListeningServer listening{.server = nullptr, .ports = std::vector<int>(addresses.size())};
  const auto tcp = TcpCredentials(options.listen.security, options.reload_interval);
  for (size_t i = 0; i < addresses.size(); ++i) {
    const bool is_unix = !UnixSocketPath(addresses[i]).empty();
    builder.AddListeningPort(addresses[i], is_unix ? grpc::InsecureServerCredentials() : tcp, &listening.ports[i]);
  }
  for (grpc::Service* service : services) builder.RegisterService(service);
  SetLimits(builder, options);
  const mode_t old_mask = umask(0177);
  listening.server = builder.BuildAndStart();
  umask(old_mask);
  if (listening.server != nullptr) return listening;
  const auto failed = std::ranges::find(listening.ports, 0);
  const std::string where =
      failed == listening.ports.end() ? "" : absl::StrCat(" at ", addresses[failed - listening.ports.begin()]);
  return absl::UnavailableError(
      absl::StrCat("listen: cannot listen", where, ", expected a free address of this machine"));
}

}  // namespace evilmoe
