#include "tests/unit/services_coordinator/cutting_proxy.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "common/status_macros.h"

namespace evilmoe {
namespace {

constexpr std::string_view kReadyAndIdle("Z\0\0\0\5I", 6);  // the server's last word outside a transaction

sockaddr_un AddressOf(const std::filesystem::path& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  EVILMOE_CHECK(path.string().size() < sizeof(address.sun_path));
  std::memcpy(address.sun_path, path.c_str(), path.string().size());
  return address;
}

bool SendAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

}  // namespace

CuttingProxy::CuttingProxy(std::filesystem::path server_socket) : server_socket_(std::move(server_socket)) {
  std::string pattern = (std::filesystem::temp_directory_path() / "proxy_XXXXXX").string();
  folder_ = mkdtemp(pattern.data());
  listener_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_un address = AddressOf(folder_ / ".s.PGSQL.5432");
  EVILMOE_CHECK(bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);
  EVILMOE_CHECK(listen(listener_, 16) == 0);
  EVILMOE_CHECK(pipe(stop_pipe_) == 0);
  thread_ = std::thread([this] { Run(); });
}

CuttingProxy::~CuttingProxy() {
  close(stop_pipe_[1]);
  thread_.join();
  close(stop_pipe_[0]);
  close(listener_);
  std::filesystem::remove_all(folder_);
}

void CuttingProxy::Accept() {
  Link link{.client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC),
            .server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  const sockaddr_un address = AddressOf(server_socket_);
  if (connect(link.server, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) {
    links_.push_back(std::move(link));
    return;
  }
  close(link.client);
  close(link.server);
}

bool CuttingProxy::Pass(Link& link, bool from_client) {
  char buffer[65536];
  const ssize_t size = recv(from_client ? link.client : link.server, buffer, sizeof(buffer), 0);
  if (size <= 0) return false;
  const std::string_view bytes(buffer, static_cast<size_t>(size));
  if (from_client && cut_ == Cut::kNextRequest) {
    cut_ = Cut::kNothing;
    ++num_cuts_;
    return false;
  }
  if (link.silent) return true;
  const Cut cut = cut_;
  if (!from_client && (cut == Cut::kNextAnswer || cut == Cut::kNextAnswerSilently)) {
    link.held += bytes;
    if (!link.held.ends_with(kReadyAndIdle)) return true;
    cut_ = Cut::kNothing;
    ++num_cuts_;
    link.silent = cut == Cut::kNextAnswerSilently;
    return link.silent;
  }
  return SendAll(from_client ? link.server : link.client, bytes);
}

void CuttingProxy::Run() {
  while (true) {
    std::vector<pollfd> polled = {{.fd = stop_pipe_[0], .events = POLLIN, .revents = 0},
                                  {.fd = listener_, .events = POLLIN, .revents = 0}};
    for (const Link& link : links_) {
      polled.push_back({.fd = link.client, .events = POLLIN, .revents = 0});
      polled.push_back({.fd = link.server, .events = POLLIN, .revents = 0});
    }
    poll(polled.data(), polled.size(), -1);
    if (polled[0].revents != 0) break;
    for (size_t i = links_.size(); i-- > 0;) {
      const bool open = (polled[2 + 2 * i].revents == 0 || Pass(links_[i], true)) &&
                        (polled[3 + 2 * i].revents == 0 || Pass(links_[i], false));
      if (open) continue;
      close(links_[i].client);
      close(links_[i].server);
      links_.erase(links_.begin() + static_cast<std::ptrdiff_t>(i));
    }
    if (polled[1].revents != 0) Accept();
  }
  for (const Link& link : links_) {
    close(link.client);
    close(link.server);
  }
}

}  // namespace evilmoe
