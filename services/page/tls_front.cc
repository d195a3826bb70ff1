#include "services/page/tls_front.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <list>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "proto/security/certificate_files.h"

namespace evilmoe {
namespace {

constexpr int kTurnMs = 200;  // how soon an end is noticed

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

using Context = std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)>;
using Connection = std::unique_ptr<SSL, void (*)(SSL*)>;

// 1: go on with the handshake.
int LoadFiles(SSL* connection, void* security) {
  const auto& files = *static_cast<const ServerSecurity*>(security);
  const bool loaded = SSL_use_certificate_chain_file(connection, files.certificate.c_str()) == 1 &&
                      SSL_use_PrivateKey_file(connection, files.key.c_str(), SSL_FILETYPE_PEM) == 1;
  return loaded ? 1 : 0;
}

bool IsReadable(int fd, int timeout_ms) {
  pollfd wait{fd, POLLIN, 0};
  return poll(&wait, 1, timeout_ms) > 0;
}

bool SendAll(int fd, const char* bytes, size_t size) {
  while (size > 0) {
    const ssize_t sent = send(fd, bytes, size, MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes += sent;
    size -= static_cast<size_t>(sent);
  }
  return true;
}

absl::StatusOr<Fd> ListenAt(const std::string& address) {
  const size_t colon = address.rfind(':');
  std::string host = address.substr(0, colon);
  if (host.starts_with('[')) host = host.substr(1, host.size() - 2);
  const absl::Status failed = absl::UnavailableError(
      absl::StrCat("page: cannot listen at ", address, ", expected a free address; change page_listen"));
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), address.substr(colon + 1).c_str(), &hints, &found) != 0) return failed;
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> freed(found, freeaddrinfo);
  Fd listening(socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  setsockopt(listening.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(listening.get(), found->ai_addr, found->ai_addrlen) != 0 || listen(listening.get(), 64) != 0) return failed;
  return listening;
}

int ConnectTo(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return fd;
  close(fd);
  return -1;
}

}  // namespace

class TlsFront::Impl {
 public:
  Impl(ServerSecurity security, int inner_port, const TlsFrontOptions& options, Fd listening)
      : security_(std::move(security)),
        inner_port_(inner_port),
        options_(options),
        context_(SSL_CTX_new(TLS_server_method()), SSL_CTX_free),
        listening_(std::move(listening)) {}

  bool SetUp() {
    SSL_CTX* const tls = context_.get();
    if (tls == nullptr) return false;
    SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION);
    SSL_CTX_set_cert_cb(tls, &LoadFiles, const_cast<ServerSecurity*>(&security_));
    if (!security_.client_ca.empty()) {
      SSL_CTX_set_verify(tls, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
      if (SSL_CTX_load_verify_locations(tls, security_.client_ca.c_str(), nullptr) != 1) return false;
    }
    accepting_ = std::jthread([this](const std::stop_token& ended) { Accept(ended); });
    return true;
  }

  int port() const {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    if (getsockname(listening_.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
    return ntohs(address.ss_family == AF_INET ? reinterpret_cast<sockaddr_in&>(address).sin_port
                                              : reinterpret_cast<sockaddr_in6&>(address).sin6_port);
  }

 private:
  struct Served {
    Fd socket{-1};
    std::chrono::steady_clock::time_point since = std::chrono::steady_clock::now();
    std::atomic<bool> greeted = false;  // TLS has begun
    std::atomic<bool> done = false;
    std::jthread thread;  // last: it uses all of the above
  };
  // Its thread, wherever it waits, ends soon.
  static void Cut(const Served& one) { shutdown(one.socket.get(), SHUT_RDWR); }

  void Accept(const std::stop_token& ended) {
    std::list<Served> served;
    const auto patience = absl::ToChronoNanoseconds(options_.patience);
    while (!ended.stop_requested()) {
      served.remove_if([](const Served& one) { return one.done.load(); });
      // Each byte of a slow greeting would begin the socket's own time limit anew.
      for (const Served& one : served) {
        if (!one.greeted && std::chrono::steady_clock::now() - one.since > patience) Cut(one);
      }
      if (!IsReadable(listening_.get(), kTurnMs)) continue;
      Fd outer(accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (outer.get() < 0 || served.size() >= static_cast<size_t>(options_.max_connections)) continue;
      Served& one = served.emplace_back();
      one.socket = std::move(outer);
      one.thread = std::jthread([this, &one](const std::stop_token& over) {
        Serve(one, over);
        Cut(one);
        one.done = true;
      });
    }
    for (const Served& one : served) Cut(one);  // all of them before the first is awaited
  }

  void Serve(Served& one, const std::stop_token& over) {
    const int outer = one.socket.get();
    const auto seconds = static_cast<time_t>(absl::ToInt64Seconds(options_.patience));
    const timeval timeout{seconds, 0};
    for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO}) setsockopt(outer, SOL_SOCKET, option, &timeout, sizeof timeout);
    const Connection tls(SSL_new(context_.get()), SSL_free);
    if (tls == nullptr || SSL_set_fd(tls.get(), outer) != 1 || SSL_accept(tls.get()) != 1) return;
    one.greeted = true;
    const Fd inner(ConnectTo(inner_port_));
    if (inner.get() < 0) return;
    setsockopt(inner.get(), SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    while (!over.stop_requested() && Forward(*tls, outer, inner.get())) {
    }
    SSL_shutdown(tls.get());
  }

  // What is there now, in both directions. False: one side has ended.
  static bool Forward(SSL& tls, int outer, int inner) {
    char bytes[1 << 14];
    pollfd waits[2] = {{outer, POLLIN, 0}, {inner, POLLIN, 0}};
    const bool buffered = SSL_pending(&tls) > 0;
    if (poll(waits, 2, buffered ? 0 : kTurnMs) < 0) return false;
    if (buffered || waits[0].revents != 0) {
      const int got = SSL_read(&tls, bytes, sizeof bytes);
      if (got <= 0 || !SendAll(inner, bytes, static_cast<size_t>(got))) return false;
    }
    if (waits[1].revents == 0) return true;
    const ssize_t got = recv(inner, bytes, sizeof bytes, 0);
    return got > 0 && SSL_write(&tls, bytes, static_cast<int>(got)) > 0;
  }

  const ServerSecurity security_;
  const int inner_port_;
  const TlsFrontOptions options_;
  const Context context_;
  const Fd listening_;
  std::jthread accepting_;  // last: it uses all of the above
};

absl::StatusOr<std::unique_ptr<TlsFront>> TlsFront::Start(const std::string& address, const ServerSecurity& security,
                                                          int inner_port, const TlsFrontOptions& options,
                                                          absl::Time now) {
  EVILMOE_RETURN_IF_ERROR(CheckCertificate(security.certificate, security.key, now));
  if (!security.client_ca.empty()) EVILMOE_RETURN_IF_ERROR(CheckAuthorities(security.client_ca));
  EVILMOE_ASSIGN_OR_RETURN(Fd listening, ListenAt(address));
  auto impl = std::make_unique<Impl>(security, inner_port, options, std::move(listening));
  if (!impl->SetUp()) return absl::InternalError("page: OpenSSL gives no context for its certificates");
  return std::unique_ptr<TlsFront>(new TlsFront(std::move(impl)));
}

TlsFront::TlsFront(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TlsFront::~TlsFront() = default;
int TlsFront::port() const { return impl_->port(); }

}  // namespace evilmoe
