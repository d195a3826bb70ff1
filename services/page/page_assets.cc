#include "services/page/page_assets.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/hash.h"
#include "services/web/web_assets.h"

namespace evilmoe {
namespace {

const char* TypeOf(const std::string& path) {
  if (path.ends_with(".html")) return "text/html; charset=utf-8";
  if (path.ends_with(".css")) return "text/css; charset=utf-8";
  if (path.ends_with(".js")) return "text/javascript; charset=utf-8";
  if (path.ends_with(".svg")) return "image/svg+xml";
  return "text/plain; charset=utf-8";
}

std::string PathOf(const PageRequest& request) {
  if (request.path.size() == 1 && request.path[0].empty()) return "index.html";
  if (request.path.size() < 2 || request.path[0] != "assets") return "";
  return absl::StrJoin(request.path.begin() + 1, request.path.end(), "/");
}

}  // namespace

absl::StatusOr<PageReply> AnswerAsset(const PageRequest& request) {
  const std::string path = PathOf(request);
  const std::optional<std::string_view> content = FindWebAsset(path);
  if (!content) return absl::NotFoundError("address: there is no such file; the page is at /");
  if (request.method != "GET" && request.method != "HEAD") return absl::UnimplementedError("method: files are read with GET");
  PageReply reply;
  const std::string tag = absl::StrCat("\"", Sha256Hex(*content).substr(0, 32), "\"");
  reply.type = TypeOf(path);
  reply.headers = {{"ETag", tag}, {"Cache-Control", "no-cache"}};
  if (request.Header("if-none-match") == tag) {
    reply.code = 304;
  } else {
    reply.body = std::string(*content);
  }
  return reply;
}

}  // namespace evilmoe
