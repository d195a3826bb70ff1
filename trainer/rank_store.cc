#include "trainer/rank_store.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "policy/torch_guard.h"

namespace evilmoe {
namespace {

constexpr char kLoopback[] = "127.0.0.1";

struct Listener {
  int fd = -1;
  uint16_t port = 0;
};

// TCPStore by itself listens on every interface, so it is given a socket that does not.
absl::StatusOr<Listener> ListenOnLoopback() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  auto* raw = reinterpret_cast<sockaddr*>(&address);
  if (fd < 0 || bind(fd, raw, length) != 0 || listen(fd, SOMAXCONN) != 0 || getsockname(fd, raw, &length) != 0) {
    const std::string why = std::strerror(errno);
    if (fd >= 0) close(fd);
    return absl::UnavailableError(absl::StrCat("rank store: no port of ", kLoopback, " to listen on: ", why));
  }
  return Listener{fd, ntohs(address.sin_port)};
}

absl::Status Unavailable(const absl::Status& status) {
  return status.ok() ? status : absl::UnavailableError(status.message());
}

}  // namespace

absl::StatusOr<ServedStore> ServeRankStore() {
  EVILMOE_ASSIGN_OR_RETURN(const Listener listener, ListenOnLoopback());
  absl::StatusOr<RankStore> store = TorchGuard("rank store", [&]() -> RankStore {
    c10d::TCPStoreOptions options;
    options.isServer = true;
    options.port = listener.port;
    options.masterListenFd = listener.fd;  // whose owner is the store from here on
    options.waitWorkers = false;
    return c10::make_intrusive<c10d::TCPStore>(kLoopback, options);
  });
  EVILMOE_RETURN_IF_ERROR(Unavailable(store.status()));
  return ServedStore{*std::move(store), listener.port};
}

absl::StatusOr<RankStore> ConnectRankStore(uint16_t port, absl::Duration timeout) {
  absl::StatusOr<RankStore> store = TorchGuard("rank store", [&]() -> RankStore {
    c10d::TCPStoreOptions options;
    options.port = port;
    options.waitWorkers = false;
    options.timeout = absl::ToChronoMilliseconds(timeout);
    return c10::make_intrusive<c10d::TCPStore>(kLoopback, options);
  });
  EVILMOE_RETURN_IF_ERROR(Unavailable(store.status()));
  return store;
}

}  // namespace evilmoe
