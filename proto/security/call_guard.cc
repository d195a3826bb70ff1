#include "proto/security/call_guard.h"

#include <sys/stat.h>

#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace evilmoe {
namespace {

constexpr size_t kMaxTokensFileBytes = size_t{1} << 20;
constexpr char kScheme[] = "bearer ";

// Without the port, which differs from connection to connection.
std::string HostOf(std::string_view peer) {
  if (peer.starts_with("unix:")) return "unix";
  return std::string(peer.substr(0, peer.rfind(':')));
}

// Whose token the caller shows.
absl::StatusOr<const TokenEntry*> Identify(const Caller& caller, const TokenTable& tokens, std::string_view method) {
  const auto refuse = [&](const char* problem) {
    return absl::UnauthenticatedError(
        absl::StrCat(std::string(method), ": ", problem,
                     ", expected \"authorization: Bearer TOKEN\" with a token of the server's file; give the file that "
                     "holds yours as security.token, or --token-file"));
  };
  if (!caller.authorization) return refuse("no token came with the call");
  if (caller.ambiguous) return refuse("more than one authorization header");
  std::string_view text = *caller.authorization;
  constexpr size_t kSchemeSize = sizeof(kScheme) - 1;
  if (absl::AsciiStrToLower(std::string(text.substr(0, kSchemeSize))) != kScheme) return refuse("no bearer token");
  text.remove_prefix(kSchemeSize);
  const TokenEntry* entry = tokens.Find(text);
  if (entry == nullptr) return refuse("the token is not known here");
  return entry;
}

absl::Status CheckWriters(const std::filesystem::path& path) {
  struct stat found {};
  if (stat(path.c_str(), &found) != 0 || (found.st_mode & S_IWOTH) == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(path.string(), ": every user may write it, expected only its owner; chmod o-w it"));
}

}  // namespace

CallGuard::CallGuard(const CallGuardOptions& options, const Clock& clock, Logger* logger, CallGuardMetrics* metrics)
    : options_(options),
      logger_(logger),
      metrics_(metrics),
      rate_(options.limits.calls_per_second, clock),
      calls_(options.limits.concurrent_calls),
      file_(options.tokens, kMaxTokensFileBytes, clock) {}

absl::StatusOr<std::unique_ptr<CallGuard>> CallGuard::Create(const CallGuardOptions& options, const Clock& clock,
                                                             Logger* logger, CallGuardMetrics* metrics) {
  EVILMOE_CHECK(options.role_of != nullptr);
  std::unique_ptr<CallGuard> guard(new CallGuard(options, clock, logger, metrics));
  if (options.tokens.empty()) return guard;
  EVILMOE_RETURN_IF_ERROR(Annotate(CheckWriters(options.tokens), "tokens"));
  const MutexLock lock(guard->mu_);
  EVILMOE_RETURN_IF_ERROR(Annotate(guard->UpdateLocked(), "tokens"));
  return guard;
}

absl::Status CallGuard::UpdateLocked() {
  const std::optional<absl::StatusOr<std::string>> text = file_.Poll();
  if (!text) return absl::OkStatus();
  EVILMOE_RETURN_IF_ERROR(text->status());
  EVILMOE_ASSIGN_OR_RETURN(TokenTable table, TokenTable::Parse(**text, options_.tokens.string()));
  tokens_ = std::make_shared<const TokenTable>(std::move(table));
  return absl::OkStatus();
}

std::shared_ptr<const TokenTable> CallGuard::Tokens() {
  if (options_.tokens.empty()) return nullptr;
  absl::Status status;
  std::shared_ptr<const TokenTable> tokens;
  {
    const MutexLock lock(mu_);
    status = UpdateLocked();
    tokens = tokens_;
  }
  if (!status.ok() && logger_ != nullptr) {
    logger_->Error("tokens_unreadable",
                   {{"error", std::string(status.message())}, {"then", "the last good ones count"}});
  }
  return tokens;
}

absl::Status CallGuard::Refuse(CallRefusal reason, absl::Status status) {
  if (metrics_ != nullptr) metrics_->OnRefusal(reason);
  return status;
}

absl::StatusOr<CallPermit> CallGuard::Admit(const Caller& caller, std::string_view method) {
  const std::shared_ptr<const TokenTable> tokens = Tokens();
  const bool asked = tokens != nullptr && !caller.peer.starts_with("unix:");
  absl::StatusOr<const TokenEntry*> token = static_cast<const TokenEntry*>(nullptr);
  if (asked) token = Identify(caller, *tokens, method);
  const bool named = token.ok() && *token != nullptr;
  const std::string who = named ? absl::StrCat("token ", (*token)->name) : HostOf(caller.peer);
  if (!rate_.Take(who)) {
    return Refuse(CallRefusal::kRate,
                  TooManyCallsError(absl::StrCat("over ", options_.limits.calls_per_second, " a second from ", who,
                                                 ", expected fewer; wait, or raise limits.calls_per_second")));
  }
  if (!token.ok()) return Refuse(CallRefusal::kUnauthenticated, token.status());
  const Role need = options_.role_of(method);
  if (named && !Allows((*token)->role, need)) {
    return Refuse(CallRefusal::kPermissionDenied,
                  absl::PermissionDeniedError(absl::StrCat(
                      std::string(method), ": ", who, " has role ", std::string(RoleName((*token)->role)),
                      ", expected ", std::string(RoleName(need)), "; use a token of that role")));
  }
  if (!calls_.Enter()) {
    return Refuse(CallRefusal::kConcurrency,
                  TooManyCallsError(absl::StrCat(options_.limits.concurrent_calls,
                                                 " are being answered, expected fewer; wait, or raise "
                                                 "limits.concurrent_calls")));
  }
  return CallPermit(calls_);
}

}  // namespace evilmoe
