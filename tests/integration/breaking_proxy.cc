#include "tests/integration/breaking_proxy.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/time/clock.h"
#include "common/status_macros.h"

namespace evilmoe {
namespace {

constexpr size_t kMaxWaiting = size_t{8} << 20;  // a flow with more is not read from

sockaddr_un AddressOf(const std::filesystem::path& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  EVILMOE_CHECK(path.string().size() < sizeof(address.sun_path));
  std::memcpy(address.sun_path, path.c_str(), path.string().size());
  return address;
}

int NewSocket() { return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); }

}  // namespace

BreakingProxy::BreakingProxy(std::filesystem::path socket, std::filesystem::path server) : server_(std::move(server)) {
  listener_ = NewSocket();
  const sockaddr_un address = AddressOf(socket);
  EVILMOE_CHECK(bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);
  EVILMOE_CHECK(listen(listener_, 64) == 0);
  EVILMOE_CHECK(pipe2(wake_, O_CLOEXEC | O_NONBLOCK) == 0);
  thread_ = std::thread([this] { Run(); });
}

BreakingProxy::~BreakingProxy() {
  stopping_ = true;
  EVILMOE_CHECK(write(wake_[1], "x", 1) == 1);
  thread_.join();
  for (const int fd : {listener_, wake_[0], wake_[1]}) close(fd);
}

void BreakingProxy::Cut() {
  cut_ = true;
  // A pipe that is full wakes the thread as well.
  if (write(wake_[1], "x", 1) != 1) EVILMOE_CHECK(errno == EAGAIN);
}

void BreakingProxy::Accept() {
  const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (client < 0) return;
  const int server = NewSocket();
  const sockaddr_un address = AddressOf(server_);
  if (refuse_ || connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    close(client);
    close(server);
    return;
  }
  links_.push_back({.up = {.from = client, .to = server}, .down = {.from = server, .to = client}});
}

bool BreakingProxy::Take(Flow& flow) const {
  char buffer[65536];
  const ssize_t size = recv(flow.from, buffer, sizeof(buffer), 0);
  if (size < 0) return errno == EAGAIN || errno == EINTR;
  if (size == 0) return false;
  const absl::Time due = absl::Now() + absl::Milliseconds(delay_ms_.load());
  flow.waiting.emplace_back(due, std::string(buffer, static_cast<size_t>(size)));
  flow.waiting_bytes += static_cast<size_t>(size);
  return true;
}

bool BreakingProxy::Send(Flow& flow, absl::Time now) {
  while (!flow.waiting.empty() && flow.waiting.front().first <= now) {
    const std::string& bytes = flow.waiting.front().second;
    const ssize_t sent = send(flow.to, bytes.data() + flow.sent, bytes.size() - flow.sent, MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN || errno == EINTR;
    flow.sent += static_cast<size_t>(sent);
    flow.waiting_bytes -= static_cast<size_t>(sent);
    if (flow.sent < bytes.size()) continue;
    flow.waiting.pop_front();
    flow.sent = 0;
  }
  return true;
}

int BreakingProxy::Patience(absl::Time now) const {
  int64_t patience = -1;
  for (const Link& link : links_) {
    for (const Flow* flow : {&link.up, &link.down}) {
      if (flow->waiting.empty() || flow->waiting.front().first <= now) continue;  // poll tells when there is room
      const int64_t wait = absl::ToInt64Milliseconds(flow->waiting.front().first - now) + 1;
      patience = patience < 0 ? wait : std::min(patience, wait);
    }
  }
  return static_cast<int>(patience);
}

bool BreakingProxy::Serve(Link& link, absl::Time now, const std::vector<short>& events) const {
  for (const auto& [flow, readable] : {std::pair{&link.up, events[0]}, std::pair{&link.down, events[1]}}) {
    if ((readable & (POLLIN | POLLHUP | POLLERR)) != 0 && flow->waiting_bytes < kMaxWaiting && !Take(*flow)) return false;
    if (!Send(*flow, now)) return false;
  }
  return true;
}

void BreakingProxy::Close(const Link& link) {
  close(link.up.from);
  close(link.up.to);
}

void BreakingProxy::Run() {
  while (!stopping_) {
    const absl::Time asked = absl::Now();
    const auto wanted = [&](const Flow& out, const Flow& in) {
      const bool due = !out.waiting.empty() && out.waiting.front().first <= asked;
      return static_cast<short>((in.waiting_bytes < kMaxWaiting ? POLLIN : 0) | (due ? POLLOUT : 0));
    };
    std::vector<pollfd> polled = {{.fd = wake_[0], .events = POLLIN, .revents = 0},
                                  {.fd = listener_, .events = POLLIN, .revents = 0}};
    for (const Link& link : links_) {
      polled.push_back({.fd = link.up.from, .events = wanted(link.down, link.up), .revents = 0});
      polled.push_back({.fd = link.down.from, .events = wanted(link.up, link.down), .revents = 0});
    }
    poll(polled.data(), polled.size(), Patience(asked));
    char drained[64];
    while (read(wake_[0], drained, sizeof(drained)) > 0) {
    }
    const bool cut = cut_.exchange(false);
    const absl::Time now = absl::Now();
    for (size_t i = links_.size(); i-- > 0;) {
      if (!cut && Serve(links_[i], now, {polled[2 + 2 * i].revents, polled[3 + 2 * i].revents})) continue;
      if (cut) ++num_cut_;
      Close(links_[i]);
      links_.erase(links_.begin() + static_cast<std::ptrdiff_t>(i));
    }
    if ((polled[1].revents & POLLIN) != 0) Accept();
  }
  for (const Link& link : links_) Close(link);
}

}  // namespace evilmoe
