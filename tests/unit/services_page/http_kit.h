#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "nlohmann/json.hpp"

namespace evilmoe {

struct HttpAnswer {
  int code = 0;  // 0: none came
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;

  nlohmann::json Json() const { return nlohmann::json::parse(body, nullptr, false); }
};

using Headers = std::map<std::string, std::string>;

// One request to 127.0.0.1:port, by HTTP/1.1 with "Host: 127.0.0.1:port" unless `headers` have one.
HttpAnswer Ask(int port, std::string_view method, const std::string& target, const Headers& headers = {});
// `text` as it stands, whole.
HttpAnswer AskRaw(int port, const std::string& text);

// A connection that is read a bit at a time.
class HttpStream {
 public:
  HttpStream(int port, const std::string& target, const Headers& headers = {});
  ~HttpStream();
  // Reads until all that came holds `text`; "" when it does not within ten seconds, or the stream ends before.
  std::string Await(const std::string& text);
  // Whether the server ends it within ten seconds.
  bool Ends();

 private:
  int fd_ = -1;
  std::string read_;
};

}  // namespace evilmoe
