#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/clock.h"
#include "common/logger.h"
#include "common/mutex.h"
#include "proto/security/call_guard_metrics.h"
#include "proto/security/call_limits.h"
#include "proto/security/role.h"
#include "proto/security/token_table.h"
#include "proto/security/watched_file.h"

namespace evilmoe {

// What is known of who calls, as gRPC tells it.
struct Caller {
  std::string_view peer;                          // "unix:", "ipv4:1.2.3.4:5678", "ipv6:[::1]:5678"
  std::optional<std::string_view> authorization;  // the header; nullopt = none
  bool ambiguous = false;                         // the header stands more than once
};

struct CallGuardOptions {
  std::filesystem::path tokens;  // token_table.h; empty: no token is asked for
  CallLimits limits;
  Role (*role_of)(std::string_view method) = nullptr;  // role.h; must be set
};

// Decides which calls a server answers. A call over a Unix socket needs no token: the socket's permission has let it
// in. The file of tokens is read again when it changes; while it is gone or wrong, the last good one counts.
// Thread-safe.
class CallGuard {
 public:
  // Errors of the file of tokens: NotFound, InvalidArgument, FailedPrecondition (other users may write it). What is
  // wrong with it later is logged. References must outlive it; `logger` and `metrics` may be null.
  static absl::StatusOr<std::unique_ptr<CallGuard>> Create(const CallGuardOptions& options, const Clock& clock,
                                                           Logger* logger, CallGuardMetrics* metrics);

  // The permit of a call, to be kept until it is answered, and not longer than this lives. Unauthenticated: no token,
  // or none that is known; PermissionDenied: its role is not the method's; ResourceExhausted (IsTooManyCalls): more
  // calls a second, or at once, than the limits allow. Messages name a token's name, never a token.
  absl::StatusOr<CallPermit> Admit(const Caller& caller, std::string_view method);

  int calls_in_flight() const { return calls_.count(); }

 private:
  CallGuard(const CallGuardOptions& options, const Clock& clock, Logger* logger, CallGuardMetrics* metrics);
  // null: no token is asked for.
  std::shared_ptr<const TokenTable> Tokens() ABSL_LOCKS_EXCLUDED(mu_);
  // OK also when there is nothing new.
  absl::Status UpdateLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status Refuse(CallRefusal reason, absl::Status status);

  const CallGuardOptions options_;
  Logger* const logger_;
  CallGuardMetrics* const metrics_;
  CallRate rate_;
  CallCount calls_;
  Mutex mu_;
  WatchedFile file_ ABSL_GUARDED_BY(mu_);
  std::shared_ptr<const TokenTable> tokens_ ABSL_GUARDED_BY(mu_);
};

}  // namespace evilmoe
