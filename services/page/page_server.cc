#include "services/page/page_server.h"

#include <arpa/inet.h>
#include <civetweb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "proto/security/address.h"
#include "services/page/event_stream.h"
#include "services/page/page_api.h"
#include "services/page/page_assets.h"
#include "services/page/page_guard.h"
#include "services/page/run_board.h"
#include "services/page/stream_slots.h"
#include "services/page/tls_front.h"

namespace evilmoe {
namespace {

// Beside those of streams. Each answer holds one for as long as a file takes.
constexpr int kThreads = 16;
constexpr size_t kMaxHeaderBytes = 4096;
constexpr size_t kMaxReaderBytes = 64;

// What a browser may do with an answer: nothing that the page does not do itself.
constexpr char kSecurityHeaders[] =
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "X-Frame-Options: DENY\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "Cross-Origin-Opener-Policy: same-origin\r\n"
    "Cross-Origin-Resource-Policy: same-origin\r\n"
    "Permissions-Policy: camera=(), geolocation=(), microphone=()\r\n"
    "Connection: close\r\n";

// On loopback there is nobody to hide from, and no certificate has its name.
bool IsTls(const PageServerOptions& options) {
  return !options.security.certificate.empty() && !IsLoopbackAddress(options.listen);
}

std::string HeadOf(mg_connection* connection, const PageReply& reply) {
  std::string head = absl::StrCat("HTTP/1.1 ", reply.code, " ", mg_get_response_code_text(connection, reply.code),
                                  "\r\nContent-Type: ", reply.type, "\r\n", kSecurityHeaders);
  for (const auto& [name, value] : reply.headers) absl::StrAppend(&head, name, ": ", value, "\r\n");
  return head;
}

int Send(mg_connection* connection, const PageReply& reply, bool with_body = true) {
  const std::string head =
      absl::StrCat(HeadOf(connection, reply), "Content-Length: ", reply.body.size(), "\r\n\r\n");
  if (mg_write(connection, head.data(), head.size()) > 0 && with_body && !reply.body.empty()) {
    mg_write(connection, reply.body.data(), reply.body.size());
  }
  return reply.code;
}

absl::StatusOr<PageRequest> RequestOf(const mg_request_info& info) {
  PageRequest request;
  request.method = info.request_method;
  const std::string remote = info.remote_addr;
  request.remote = remote.find(':') == std::string::npos ? absl::StrCat("ipv4:", remote, ":0")
                                                         : absl::StrCat("ipv6:[", remote, "]:0");
  for (int i = 0; i < info.num_headers; ++i) {
    const std::string name = absl::AsciiStrToLower(info.http_headers[i].name);
    const std::string value = std::string(info.http_headers[i].value).substr(0, kMaxHeaderBytes);
    const auto [it, is_new] = request.headers.emplace(name, value);
    if (!is_new) absl::StrAppend(&it->second, ",", value);
  }
  std::string target = info.request_uri == nullptr ? "" : info.request_uri;
  if (info.query_string != nullptr) absl::StrAppend(&target, "?", info.query_string);
  EVILMOE_RETURN_IF_ERROR(ParseTarget(target, request));
  return request;
}

// Comes and goes again, then waits a moment.
void Knock(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) shutdown(fd, SHUT_RDWR);
  close(fd);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
}

}  // namespace

class PageServer::Impl {
 public:
  Impl(PageServerOptions options, RunSource& source, const Clock& clock, std::unique_ptr<CallGuard> call_guard)
      : options_(std::move(options)),
        source_(source),
        clock_(clock),
        call_guard_(std::move(call_guard)),
        guard_(*call_guard_, {.has_tokens = !options_.security.tokens.empty(),
                              .may_act_openly = IsLoopbackAddress(options_.listen),
                              .hosts = options_.hosts}),
        api_(source, guard_),
        board_(source, clock),
        slots_(options_.max_streams) {}
  ~Impl() {
    slots_.Close();
    tls_.reset();
    if (context_ == nullptr) return;
    // Its listening thread looks whether it is to end when somebody comes, or after two seconds.
    const std::jthread knocks([port = InnerPort()](const std::stop_token& ended) {
      for (int i = 0; i < 100 && !ended.stop_requested(); ++i) Knock(port);
    });
    mg_stop(context_);  // waits for its threads
  }

  absl::Status Listen() {
    // Debian's civetweb cannot speak TLS: it asks OpenSSL 3 for a function of OpenSSL 1. A front does, and forwards.
    const bool is_tls = IsTls(options_);
    const std::string address = is_tls ? "127.0.0.1:0" : options_.listen;
    const std::string threads = absl::StrCat(kThreads + options_.max_streams);
    const std::string patience = absl::StrCat(absl::ToInt64Milliseconds(options_.patience));
    const char* settings[] = {"listening_ports", address.c_str(), "num_threads", threads.c_str(), "request_timeout_ms",
                              patience.c_str(), "enable_directory_listing", "no", nullptr};
    mg_callbacks callbacks{};
    callbacks.begin_request = &Serve;
    callbacks.http_error = &ServeError;
    callbacks.log_message = &Log;
    context_ = mg_start(&callbacks, this, settings);
    if (context_ != nullptr) return is_tls ? StartTls() : absl::OkStatus();
    return absl::UnavailableError(absl::StrCat("page: cannot listen at ", options_.listen, problem_,
                                               ", expected a free address; change page_listen"));
  }

  int port() const { return tls_ == nullptr ? InnerPort() : tls_->port(); }

 private:
  static Impl& Self(const mg_connection* connection) {
    return *static_cast<Impl*>(mg_get_user_data(mg_get_context(connection)));
  }
  // Not 0: civetweb does nothing more about the request.
  static int Serve(mg_connection* connection) { return Self(connection).Answer(connection); }
  // What civetweb itself refuses: a request that is none.
  static int ServeError(mg_connection* connection, int code, const char*) {
    PageReply reply = JsonReply({{"error", {{"code", "INVALID_ARGUMENT"}, {"message", "request: cannot be read"}}}}, code);
    Send(connection, reply);
    return 0;
  }
  static int Log(const mg_connection* connection, const char* message) {
    Impl& self = Self(connection);
    if (!self.is_up_) absl::StrAppend(&self.problem_, self.problem_.empty() ? ": " : "; ", message);
    return 1;  // readers that go away are no news
  }
  absl::Status StartTls() {
    EVILMOE_ASSIGN_OR_RETURN(tls_, TlsFront::Start(options_.listen, options_.security, InnerPort(),
                                                   {.max_connections = kThreads + options_.max_streams,
                                                    .patience = options_.patience},
                                                   clock_.Now()));
    return absl::OkStatus();
  }
  int InnerPort() const {
    mg_server_port ports[4];
    return mg_get_server_ports(context_, 4, ports) > 0 ? ports[0].port : 0;
  }

  int Answer(mg_connection* connection) {
    const absl::StatusOr<PageRequest> request = RequestOf(*mg_get_request_info(connection));
    if (!request.ok()) return Send(connection, ErrorReply(request.status()));
    const bool with_body = request->method != "HEAD";
    if (const absl::Status status = guard_.CheckOrigin(*request); !status.ok()) {
      return Send(connection, ErrorReply(status), with_body);
    }
    if (request->path[0] != "api") {
      const absl::StatusOr<PageReply> asset = AnswerAsset(*request);
      return Send(connection, asset.ok() ? *asset : ErrorReply(asset.status()), with_body);
    }
    if (request->path.size() < 3 || request->path[1] != "v1") {
      return Send(connection, ErrorReply(absl::NotFoundError("address: expected /api/v1/...")), with_body);
    }
    if (request->path[2] == "stream") return AnswerStream(connection, *request);
    return Send(connection, api_.Answer(*request), with_body);
  }

  int AnswerStream(mg_connection* connection, const PageRequest& request) {
    absl::StatusOr<StreamOptions> options = StreamOptionsOf(request);
    if (!options.ok()) return Send(connection, ErrorReply(options.status()));
    const absl::StatusOr<StreamSlots::Slot> slot = slots_.Take(request.Query("reader").substr(0, kMaxReaderBytes));
    if (!slot.ok()) return Send(connection, ErrorReply(slot.status()));
    PageReply reply;
    reply.type = "text/event-stream; charset=utf-8";
    reply.headers = {{"Cache-Control", "no-store"}, {"X-Accel-Buffering", "no"}};
    const std::string head = HeadOf(connection, reply) + "\r\n";
    const auto write = [connection](std::string_view text) {
      return mg_write(connection, text.data(), text.size()) == static_cast<int>(text.size());
    };
    if (write(head)) ServeEvents(source_, board_, *options, clock_, write, [&] { return slot->IsOver(); });
    return 200;
  }

  absl::StatusOr<StreamOptions> StreamOptionsOf(const PageRequest& request) {
    if (request.method != "GET") return absl::UnimplementedError("method: a stream is read with GET");
    // Admitted once: streams have places of their own.
    EVILMOE_RETURN_IF_ERROR(guard_.AdmitReader(request).status());
    StreamOptions options{.run_id = request.Query("run")};
    PageRequest resumed = request;
    if (const std::string last = request.Header("last-event-id"); !last.empty()) resumed.query["after"] = last;
    EVILMOE_ASSIGN_OR_RETURN(options.after_seq, IntegerOf(resumed, "after", 0, 0, int64_t{1} << 53));
    if (!options.run_id.empty()) EVILMOE_RETURN_IF_ERROR(source_.Get(options.run_id).status());
    return options;
  }

  const PageServerOptions options_;
  RunSource& source_;
  const Clock& clock_;
  const std::unique_ptr<CallGuard> call_guard_;
  const PageGuard guard_;
  PageApi api_;
  RunBoard board_;
  StreamSlots slots_;
  std::string problem_;  // that civetweb had with starting
  std::atomic<bool> is_up_ = false;
  mg_context* context_ = nullptr;
  std::unique_ptr<TlsFront> tls_;  // of what context_ serves

  friend class PageServer;
};

absl::StatusOr<std::unique_ptr<PageServer>> PageServer::Start(const PageServerOptions& options, RunSource& source,
                                                              const Clock& clock, Logger& logger,
                                                              CallGuardMetrics* metrics) {
  std::unique_ptr<PageServer> server(new PageServer());
  if (options.listen.empty()) return server;
  // A person's clicks are few: what is more is a script that has gone wrong.
  const CallLimits limits{.calls_per_second = 200, .concurrent_calls = 64};
  EVILMOE_ASSIGN_OR_RETURN(
      std::unique_ptr<CallGuard> guard,
      CallGuard::Create({.tokens = options.security.tokens, .limits = limits, .role_of = &PageRole}, clock, &logger,
                        metrics));
  auto impl = std::make_unique<Impl>(options, source, clock, std::move(guard));
  EVILMOE_RETURN_IF_ERROR(impl->Listen());
  impl->is_up_ = true;
  server->port_ = impl->port();
  server->impl_ = std::move(impl);
  return server;
}

PageServer::PageServer() = default;
PageServer::~PageServer() = default;

}  // namespace evilmoe
