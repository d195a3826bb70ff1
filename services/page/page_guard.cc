#include "services/page/page_guard.h"

#include <arpa/inet.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace evilmoe {
namespace {

// "name:80" -> "name", "[::1]:80" -> "::1".
std::string NameOf(std::string_view host) {
  if (host.starts_with('[')) return std::string(host.substr(1, std::min(host.find(']'), host.size()) - 1));
  return absl::AsciiStrToLower(std::string(host.substr(0, host.find(':'))));
}

bool IsIpAddress(const std::string& name) {
  in6_addr address;
  return inet_pton(AF_INET, name.c_str(), &address) == 1 || inet_pton(AF_INET6, name.c_str(), &address) == 1;
}

}  // namespace

Role PageRole(std::string_view method) { return method == kPageRead ? Role::kRead : Role::kSubmit; }

absl::Status PageGuard::CheckOrigin(const PageRequest& request) const {
  const std::string host = request.Header("host");
  const std::string name = NameOf(host);
  if (name.empty()) return absl::PermissionDeniedError("host: missing, expected the header of a browser");
  const bool known = IsIpAddress(name) || name == "localhost" || std::ranges::find(options_.hosts, name) != options_.hosts.end();
  if (!options_.has_tokens && !known) {
    return absl::PermissionDeniedError(
        absl::StrCat("host: got \"", name.substr(0, 100),
                     "\", expected an IP address, localhost or a name of page_hosts (config of the coordinator)"));
  }
  const std::string origin = request.Header("origin");
  const std::string site = request.Header("sec-fetch-site");
  const bool same = origin.empty() || origin == absl::StrCat("http://", host) || origin == absl::StrCat("https://", host);
  const bool foreign_site = !site.empty() && site != "same-origin" && site != "none";
  // Following a link to the page is fine: it shows nothing to the site that it came from.
  const bool is_visit = request.Header("sec-fetch-mode") == "navigate" && request.method == "GET" &&
                        (request.path.empty() || request.path[0] != "api");
  if (!same || (foreign_site && !is_visit)) {
    return absl::PermissionDeniedError("origin: another site asked for this, expected the page itself");
  }
  return absl::OkStatus();
}

absl::StatusOr<CallPermit> PageGuard::Admit(const PageRequest& request, std::string_view method) const {
  const std::string authorization = request.Header("authorization");
  Caller caller{.peer = request.remote, .ambiguous = authorization.find(',') != std::string::npos};
  if (!authorization.empty()) caller.authorization = authorization;
  return guard_.Admit(caller, method);
}

absl::StatusOr<CallPermit> PageGuard::AdmitReader(const PageRequest& request) const {
  return Admit(request, kPageRead);
}

absl::StatusOr<CallPermit> PageGuard::AdmitActor(const PageRequest& request) const {
  if (request.method != "POST") return absl::UnimplementedError("method: an action is a POST");
  if (request.Header("x-evilmoe") != "1") {
    return absl::PermissionDeniedError("x-evilmoe: missing, expected the header \"x-evilmoe: 1\" with an action");
  }
  if (!options_.has_tokens && !options_.may_act_openly) {
    return absl::PermissionDeniedError(
        "action: the page is reached from other machines and asks for no token, so it only shows; give the coordinator "
        "tokens, or use evilmoe-ctl");
  }
  return Admit(request, kPageAct);
}

bool PageGuard::MayAct(const PageRequest& request) const {
  if (!options_.has_tokens) return options_.may_act_openly;
  return Admit(request, kPageAct).ok();
}

}  // namespace evilmoe
