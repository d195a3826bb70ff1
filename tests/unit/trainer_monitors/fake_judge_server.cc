#include "tests/unit/trainer_monitors/fake_judge_server.h"

#include <civetweb.h>

#include <atomic>
#include <future>

#include "nlohmann/json.hpp"

namespace evilmoe {

class FakeJudgeServer::Impl {
 public:
  explicit Impl(Handler handler) : handler_(std::move(handler)), gone_(leave_.get_future().share()) {
    const char* options[] = {"listening_ports", "127.0.0.1:0", "num_threads", "16", nullptr};
    const mg_callbacks callbacks{};
    context_ = mg_start(&callbacks, nullptr, options);
    if (context_ != nullptr) mg_set_request_handler(context_, "/v1/chat/completions$", &Serve, this);
  }
  ~Impl() {
    leave_.set_value();
    if (context_ != nullptr) mg_stop(context_);  // waits for its threads
  }
  int port() const {
    mg_server_port ports[1];
    return context_ != nullptr && mg_get_server_ports(context_, 1, ports) > 0 ? ports[0].port : 0;
  }
  int num_requests() const { return num_requests_; }

 private:
  static int Serve(mg_connection* connection, void* self) { return static_cast<Impl*>(self)->Answer(connection); }

  int Answer(mg_connection* connection) {
    Request request{.number = num_requests_++};
    char chunk[4096];
    for (int n = mg_read(connection, chunk, sizeof chunk); n > 0; n = mg_read(connection, chunk, sizeof chunk)) {
      request.body.append(chunk, static_cast<size_t>(n));
    }
    const char* authorization = mg_get_header(connection, "Authorization");
    if (authorization != nullptr) request.authorization = authorization;
    const Reply reply = handler_(request);
    if (reply.stall) {
      gone_.wait();
      return 200;
    }
    mg_printf(connection, "HTTP/1.1 %d X\r\n%sContent-Length: %zu\r\nConnection: close\r\n\r\n", reply.status,
              reply.headers.c_str(), reply.body.size() + reply.missing_bytes);
    mg_write(connection, reply.body.data(), reply.body.size());
    return reply.status;
  }

  const Handler handler_;
  std::atomic<int> num_requests_ = 0;
  std::promise<void> leave_;
  const std::shared_future<void> gone_;
  mg_context* context_ = nullptr;
};

FakeJudgeServer::FakeJudgeServer(Handler handler) : impl_(std::make_unique<Impl>(std::move(handler))) {}
FakeJudgeServer::~FakeJudgeServer() = default;

std::string FakeJudgeServer::endpoint() const { return "http://127.0.0.1:" + std::to_string(impl_->port()) + "/v1"; }
int FakeJudgeServer::num_requests() const { return impl_->num_requests(); }

FakeJudgeServer::Reply FakeJudgeServer::Says(const std::string& text) {
  return {.body = nlohmann::json{{"choices", {{{"message", {{"role", "assistant"}, {"content", text}}}}}}}.dump()};
}

}  // namespace evilmoe
