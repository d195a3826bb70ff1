#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace evilmoe {

struct HttpReply {
  int status = 0;              // 200, 429, ...
  std::string body;            // at most 4 MiB
  absl::Duration retry_after;  // what Retry-After asks for (seconds or a date); zero when it is absent
};

// Posts bodies to one URL over libcurl and keeps the connection between them. http and https alone, no redirects;
// proxies as the environment says. Not thread-safe: one a thread.
class HttpPoster {
 public:
  struct Target {
    std::string url;
    std::vector<std::string> headers;  // "Name: value"; never logged
    absl::Duration timeout;            // of a whole request, > 0
  };
  // Internal: libcurl could not be set up.
  static absl::StatusOr<HttpPoster> Make(const Target& target);

  // Any reply, whatever its status. DeadlineExceeded: the timeout. Unavailable: no connection, or it broke.
  // ResourceExhausted: the body is too large.
  absl::StatusOr<HttpReply> Post(const std::string& body);

 private:
  struct Handle;
  struct HandleDeleter {
    void operator()(Handle* handle) const;
  };
  explicit HttpPoster(std::unique_ptr<Handle, HandleDeleter> handle) : handle_(std::move(handle)) {}
  std::unique_ptr<Handle, HandleDeleter> handle_;
};

}  // namespace evilmoe
