#include "services/page/page_message.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/status_macros.h"

namespace evilmoe {
namespace {

constexpr size_t kMaxTargetBytes = 2048;
constexpr size_t kMaxMessageBytes = 2000;

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

absl::StatusOr<std::string> Decode(std::string_view text, bool plus_is_space) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      const int high = i + 2 < text.size() ? HexDigit(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? HexDigit(text[i + 2]) : -1;
      if (high < 0 || low < 0) return absl::InvalidArgumentError("address: got a % without two hex digits behind it");
      c = static_cast<char>(high * 16 + low);
      i += 2;
    } else if (c == '+' && plus_is_space) {
      c = ' ';
    }
    if (c == '\0') return absl::InvalidArgumentError("address: got a NUL, expected text");
    decoded += c;
  }
  return decoded;
}

absl::Status ParseQuery(std::string_view text, PageRequest& request) {
  if (text.empty()) return absl::OkStatus();
  for (const absl::string_view part : absl::StrSplit(absl::string_view(text.data(), text.size()), '&')) {
    const std::string_view pair(part.data(), part.size());
    const size_t equals = std::min(pair.find('='), pair.size());
    EVILMOE_ASSIGN_OR_RETURN(const std::string name, Decode(pair.substr(0, equals), true));
    EVILMOE_ASSIGN_OR_RETURN(std::string value, Decode(pair.substr(std::min(equals + 1, pair.size())), true));
    if (!request.query.emplace(name, std::move(value)).second) {
      return absl::InvalidArgumentError(absl::StrCat(name, ": stands twice, expected once"));
    }
  }
  return absl::OkStatus();
}

absl::Status BadParameter(const std::string& name, const std::string& got, const std::string& expected) {
  return absl::InvalidArgumentError(absl::StrCat(name, ": got \"", got.substr(0, 100), "\", expected ", expected));
}

}  // namespace

std::string PageRequest::Header(const std::string& name) const {
  const auto it = headers.find(name);
  return it == headers.end() ? "" : it->second;
}

std::string PageRequest::Query(const std::string& name) const {
  const auto it = query.find(name);
  return it == query.end() ? "" : it->second;
}

absl::Status ParseTarget(std::string_view target, PageRequest& request) {
  if (target.size() > kMaxTargetBytes || !target.starts_with('/')) {
    return absl::InvalidArgumentError(absl::StrCat("address: expected a path of at most ", kMaxTargetBytes, " bytes"));
  }
  const size_t mark = std::min(target.find('?'), target.size());
  for (const absl::string_view part : absl::StrSplit(absl::string_view(target.data() + 1, mark - 1), '/')) {
    const absl::StatusOr<std::string> segment = Decode({part.data(), part.size()}, false);
    if (!segment.ok()) return segment.status();
    if (*segment == "." || *segment == ".." || segment->find_first_of("/\\") != std::string::npos) {
      return absl::InvalidArgumentError("address: got . or .. or a slash inside a name, expected plain names");
    }
    request.path.push_back(*segment);
  }
  if (request.path.size() > 1 && request.path.back().empty()) request.path.pop_back();
  return ParseQuery(target.substr(std::min(mark + 1, target.size())), request);
}

absl::StatusOr<int64_t> IntegerOf(const PageRequest& request, const std::string& name, int64_t fallback, int64_t low,
                                  int64_t high) {
  const auto it = request.query.find(name);
  if (it == request.query.end() || it->second.empty()) return fallback;
  int64_t value = 0;
  if (absl::SimpleAtoi(it->second, &value) && value >= low && value <= high) return value;
  return BadParameter(name, it->second, absl::StrCat("an integer in [", low, ", ", high, "]"));
}

absl::StatusOr<std::optional<double>> NumberOf(const PageRequest& request, const std::string& name, double low,
                                               double high) {
  const auto it = request.query.find(name);
  if (it == request.query.end() || it->second.empty()) return std::nullopt;
  double value = 0;
  if (absl::SimpleAtod(it->second, &value) && value >= low && value <= high) return value;
  return BadParameter(name, it->second, absl::StrCat("a number in [", low, ", ", high, "]"));
}

int HttpCodeOf(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kOk: return 200;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange: return 400;
    case absl::StatusCode::kUnauthenticated: return 401;
    case absl::StatusCode::kPermissionDenied: return 403;
    case absl::StatusCode::kNotFound: return 404;
    case absl::StatusCode::kUnimplemented: return 405;
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kFailedPrecondition: return 409;
    case absl::StatusCode::kResourceExhausted: return 429;
    case absl::StatusCode::kUnavailable: return 503;
    case absl::StatusCode::kDeadlineExceeded: return 504;
    default: return 500;
  }
}

PageReply JsonReply(const nlohmann::ordered_json& json, int code) {
  PageReply reply;
  reply.code = code;
  reply.body = json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  reply.headers.emplace_back("Cache-Control", "no-store");
  return reply;
}

PageReply ErrorReply(const absl::Status& status) {
  std::string message(status.message().substr(0, kMaxMessageBytes));
  std::replace_if(message.begin(), message.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; }, ' ');
  PageReply reply = JsonReply({{"error", {{"code", absl::StatusCodeToString(status.code())}, {"message", message}}}},
                              HttpCodeOf(status.code()));
  if (reply.code == 401) reply.headers.emplace_back("WWW-Authenticate", "Bearer");
  if (reply.code == 429 || reply.code == 503) reply.headers.emplace_back("Retry-After", "2");
  if (reply.code == 405) reply.headers.emplace_back("Allow", "GET, POST");
  return reply;
}

}  // namespace evilmoe
