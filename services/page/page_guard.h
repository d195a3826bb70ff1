#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/security/call_guard.h"
#include "services/page/page_message.h"

namespace evilmoe {

// Methods that a CallGuard of the page is asked for, and the role that each needs.
inline constexpr std::string_view kPageRead = "reading the page";   // read
inline constexpr std::string_view kPageAct = "acting on a run";     // submit
Role PageRole(std::string_view method);

// Decides what the page answers to whom.
//
// A browser is steered by whatever site it shows, so that beside tokens it counts where a request comes from:
//   - Host. Without tokens only an IP address, localhost and the names that are configured are answered: another name
//     that points here is someone's who has a browser read the page as their own (DNS rebinding). With tokens any name
//     is: another site has no token.
//   - Origin, Sec-Fetch-Site: what another site's script asks is refused.
//   - Actions need POST and the header "x-evilmoe: 1", which other sites cannot send without being asked first.
// Thread-safe. `guard` must outlive it.
class PageGuard {
 public:
  struct Options {
    bool has_tokens = false;        // of `guard`
    bool may_act_openly = false;    // where there are no tokens: whether whoever reaches the page may act
    std::vector<std::string> hosts;  // names that it is reached under, without a port
  };
  PageGuard(CallGuard& guard, Options options) : guard_(guard), options_(std::move(options)) {}

  // Of every request, for assets too. PermissionDenied, with what to do.
  absl::Status CheckOrigin(const PageRequest& request) const;
  // Of data. Unauthenticated, PermissionDenied, ResourceExhausted (call_guard.h). The permit is kept until it is answered.
  absl::StatusOr<CallPermit> AdmitReader(const PageRequest& request) const;
  // Of an action. As above.
  absl::StatusOr<CallPermit> AdmitActor(const PageRequest& request) const;
  // Whether an action would be admitted now, but for its form.
  bool MayAct(const PageRequest& request) const;
  bool has_tokens() const { return options_.has_tokens; }

 private:
  absl::StatusOr<CallPermit> Admit(const PageRequest& request, std::string_view method) const;

  CallGuard& guard_;
  const Options options_;
};

}  // namespace evilmoe
