#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace evilmoe {

// A request as the page's parts see it, without a socket.
struct PageRequest {
  std::string method;                        // "GET", "POST", ...
  std::vector<std::string> path;             // decoded segments: "/api/v1/runs" = {"api", "v1", "runs"}
  std::map<std::string, std::string> query;  // decoded
  std::map<std::string, std::string> headers;  // names in lower case; of one that stands twice both, with a comma
  std::string remote;                        // host of the caller, as a CallGuard wants it: "ipv4:127.0.0.1:1"

  // "" where there is none.
  std::string Header(const std::string& name) const;
  std::string Query(const std::string& name) const;
};

// Takes "/a/b?x=y" apart. InvalidArgument: no path of ours, more than 2,048 bytes, a bad %-escape, a NUL, a segment that
// is "." or "..", or holds a slash.
absl::Status ParseTarget(std::string_view target, PageRequest& request);

// A query parameter as an integer in [low, high]; `fallback` where there is none. InvalidArgument.
absl::StatusOr<int64_t> IntegerOf(const PageRequest& request, const std::string& name, int64_t fallback, int64_t low,
                                  int64_t high);
// The same for a number; nullopt where there is none.
absl::StatusOr<std::optional<double>> NumberOf(const PageRequest& request, const std::string& name, double low,
                                               double high);

struct PageReply {
  int code = 200;
  std::string type = "application/json; charset=utf-8";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;  // beside those of every answer
};

// Bytes that are not UTF-8 become U+FFFD. Data is never stored by a cache.
PageReply JsonReply(const nlohmann::ordered_json& json, int code = 200);
// {"error": {"code", "message"}}, the message one line.
PageReply ErrorReply(const absl::Status& status);
int HttpCodeOf(absl::StatusCode code);

}  // namespace evilmoe
