#include "trainer/http_post.h"

#include <curl/curl.h>

#include "absl/strings/str_cat.h"

namespace evilmoe {
namespace {

constexpr size_t kMaxBodyBytes = size_t{4} << 20;

// libcurl wants it once a process, before other threads use it.
bool GlobalInit() {
  static const bool ok = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
  return ok;
}

size_t AppendTo(char* data, size_t size, size_t count, void* body) {
  auto* text = static_cast<std::string*>(body);
  if (text->size() + size * count > kMaxBodyBytes) return 0;  // libcurl ends the transfer
  text->append(data, size * count);
  return size * count;
}

}  // namespace

struct HttpPoster::Handle {
  ~Handle() {
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
  }
  CURL* curl = nullptr;
  curl_slist* headers = nullptr;
  Target target;
  std::string body;
  char error[CURL_ERROR_SIZE] = "";
};

void HttpPoster::HandleDeleter::operator()(Handle* handle) const { delete handle; }

absl::StatusOr<HttpPoster> HttpPoster::Make(const Target& target) {
  std::unique_ptr<Handle, HandleDeleter> handle(new Handle);
  handle->target = target;
  if (GlobalInit()) handle->curl = curl_easy_init();
  CURL* curl = handle->curl;
  if (curl == nullptr) return absl::InternalError("libcurl: cannot be initialised");
  for (const std::string& header : target.headers) {
    curl_slist* longer = curl_slist_append(handle->headers, header.c_str());
    if (longer == nullptr) return absl::InternalError("libcurl: out of memory");
    handle->headers = longer;
  }
  curl_easy_setopt(curl, CURLOPT_URL, target.url.c_str());
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, handle->headers);
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);  // no alarm() in a program with threads
  // Up to a whole millisecond: 0 would mean no timeout at all.
  const auto timeout_ms = absl::ToInt64Milliseconds(absl::Ceil(target.timeout, absl::Milliseconds(1)));
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(timeout_ms));
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &AppendTo);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &handle->body);
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, handle->error);
  return HttpPoster(std::move(handle));
}

absl::StatusOr<HttpReply> HttpPoster::Post(const std::string& body) {
  CURL* curl = handle_->curl;
  handle_->body.clear();
  handle_->error[0] = '\0';
  curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.data());
  curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
  const CURLcode code = curl_easy_perform(curl);
  const std::string problem =
      absl::StrCat(handle_->target.url, ": ", handle_->error[0] != '\0' ? handle_->error : curl_easy_strerror(code));
  if (code == CURLE_OPERATION_TIMEDOUT) return absl::DeadlineExceededError(problem);
  if (code == CURLE_WRITE_ERROR) {
    return absl::ResourceExhaustedError(
        absl::StrCat(handle_->target.url, ": a reply of more than ", kMaxBodyBytes, " bytes"));
  }
  if (code != CURLE_OK) return absl::UnavailableError(problem);
  long status = 0;
  curl_off_t retry_after_s = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &retry_after_s);
  return HttpReply{static_cast<int>(status), std::move(handle_->body), absl::Seconds(retry_after_s)};
}

}  // namespace evilmoe
