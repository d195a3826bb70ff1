#include "services/coordinator/listening_service.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "proto/grpc_library.h"
#include "services/coordinator/coordinator_config.h"

namespace evilmoe {
namespace {

constexpr int kMaxMessageBytes = 256 << 20;
constexpr int kMaxThreads = 512;  // a pending long poll holds one

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

}  // namespace

absl::StatusOr<std::unique_ptr<grpc::Server>> StartListening(const std::string& address, grpc::Service& service) {
  const std::string path = UnixSocketPath(address);
  if (!path.empty()) EVILMOE_RETURN_IF_ERROR(RemoveStaleSocket(path));
  KeepGrpcLibrary();
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&service);
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder.SetMaxSendMessageSize(kMaxMessageBytes);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.SetResourceQuota(grpc::ResourceQuota("coordinator").SetMaxThreads(kMaxThreads));
  const mode_t old_mask = umask(0177);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  umask(old_mask);
  if (server == nullptr || port == 0) return absl::UnavailableError(absl::StrCat("listen: cannot listen at ", address));
  return server;
}

}  // namespace evilmoe
