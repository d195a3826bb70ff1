#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace evilmoe {

// A chat endpoint in this process, on a port of its own, that answers as a test says.
class FakeJudgeServer {
 public:
  struct Request {
    int number = 0;  // from 0, in order of arrival
    std::string body;
    std::string authorization;  // the header, "" when absent
  };
  struct Reply {
    int status = 200;
    std::string body;
    std::string headers;       // whole lines, "Retry-After: 7\r\n"
    bool stall = false;        // says nothing until the server goes
    size_t missing_bytes = 0;  // promises so many more than it sends
  };
  using Handler = std::function<Reply(const Request&)>;  // called on the server's threads, several at a time

  explicit FakeJudgeServer(Handler handler);
  ~FakeJudgeServer();
  FakeJudgeServer(const FakeJudgeServer&) = delete;
  FakeJudgeServer& operator=(const FakeJudgeServer&) = delete;

  std::string endpoint() const;  // "http://127.0.0.1:PORT/v1"
  int num_requests() const;

  // A reply with this text as the assistant's.
  static Reply Says(const std::string& text);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace evilmoe
