#pragma once

// Early-return helpers for absl::Status, and the check for broken invariants.
// Debian 12's Abseil (20220623) has neither status_macros.h nor CHECK.

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define EVILMOE_CONCAT_INNER(a, b) a##b
#define EVILMOE_CONCAT(a, b) EVILMOE_CONCAT_INNER(a, b)

// Returns from the enclosing function when `expr` is not OK.
#define EVILMOE_RETURN_IF_ERROR(expr)                                    \
  do {                                                                   \
    if (absl::Status evilmoe_status = (expr); !evilmoe_status.ok()) {    \
      return evilmoe_status;                                             \
    }                                                                    \
  } while (false)

// Declares or assigns `lhs` from a StatusOr, or returns its error.
#define EVILMOE_ASSIGN_OR_RETURN(lhs, expr) \
  EVILMOE_ASSIGN_OR_RETURN_IMPL(EVILMOE_CONCAT(evilmoe_statusor_, __LINE__), lhs, expr)
// NOLINTBEGIN(bugprone-macro-parentheses): `lhs` may be a declaration.
#define EVILMOE_ASSIGN_OR_RETURN_IMPL(tmp, lhs, expr) \
  auto tmp = (expr);                                  \
  if (!tmp.ok()) return std::move(tmp).status();      \
  lhs = *std::move(tmp)
// NOLINTEND(bugprone-macro-parentheses)

// Our own invariant is broken: says where and dies. Never for bad input.
#define EVILMOE_CHECK(condition)                                                             \
  do {                                                                                       \
    if (!(condition)) {                                                                      \
      std::fprintf(stderr, "%s:%d: invariant broken: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                          \
    }                                                                                        \
  } while (false)

namespace evilmoe {

// The same code with `context` in front of the message; OK stays OK.
absl::Status Annotate(const absl::Status& status, std::string_view context);

}  // namespace evilmoe
