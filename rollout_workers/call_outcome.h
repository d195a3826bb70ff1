#pragma once

#include "absl/status/status.h"

namespace evilmoe {

// What an answer of the coordinator, or none, means to a worker that goes on for as long as it lives.
enum class CallOutcome {
  kOk,
  kLater,      // away, overloaded or in trouble: the same call may work later
  kTaken,      // the lease is not ours any more: what it was about is done, or somebody else does it
  kUnknown,    // it does not know us, or what we hold: say that again first
  kRefused,    // this call never works
  kForbidden,  // no call ever works: a wrong token, or another kind of server
};

CallOutcome OutcomeOf(const absl::Status& status);

}  // namespace evilmoe
