#include "services/coordinator/postgres_errors.h"

#include <libpq-fe.h>

#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "services/coordinator/postgres_connection.h"

namespace evilmoe {

namespace {

absl::Status Unreadable(std::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("database: libpq cannot read the URI (", std::string(why),
                   "), expected postgresql://USER@HOST:PORT/DATABASE; write special characters of a password as %XX"));
}

}  // namespace

absl::Status CheckPostgresUri(const std::string& uri) {
  char* message = nullptr;
  const std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> options(PQconninfoParse(uri.c_str(), &message),
                                                                             PQconninfoFree);
  const std::unique_ptr<char, decltype(&PQfreemem)> freed(message, PQfreemem);
  if (options == nullptr) {  // libpq quotes what it could not read
    const std::string why = message == nullptr ? "out of memory" : message;
    return Unreadable(why.substr(0, why.find('"')) + "...");
  }
  // Where a password holds a bare @ or /, its rest is taken for one of these, and messages quote them.
  for (const PQconninfoOption* option = options.get(); option->keyword != nullptr; ++option) {
    const std::string_view keyword = option->keyword;
    const std::string_view value = option->val == nullptr ? "" : option->val;
    const bool odd = (keyword == "port" && value.find_first_not_of("0123456789,") != value.npos) ||
                     (keyword == "host" && value.find('@', 1) != value.npos) ||
                     (keyword == "dbname" && value.find('@') != value.npos);
    if (odd) return Unreadable(absl::StrCat("not a ", option->keyword));
  }
  return absl::OkStatus();
}

absl::StatusCode CodeOfSqlState(std::string_view state) {
  using enum absl::StatusCode;
  if (state == PostgresConnection::kFencedState) return kFailedPrecondition;
  if (state == "XX001" || state == "XX002") return kDataLoss;
  if (state == "25006") return kUnavailable;         // a standby, or a server that an administrator made read-only
  if (state == "55P03") return kUnavailable;         // a lock
  if (state == "42501") return kFailedPrecondition;  // rights
  const std::string_view group = state.substr(0, 2);
  if (group == "53" && state != "53300") return kResourceExhausted;
  // Connections, rollbacks, the operator (a timeout, a shutdown), the system, too many connections.
  for (const std::string_view passing : {"08", "40", "57", "58", "53"}) {
    if (group == passing) return kUnavailable;
  }
  if (group == "28" || group == "3D" || group == "0A") return kFailedPrecondition;
  return kInternal;
}

absl::Status PostgresError(const pg_result* result) {
  const char* const state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  const char* const message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
  if (state == nullptr) {  // libpq's own: the connection, or a statement behind one that failed
    std::string text = PQresultErrorMessage(result);
    absl::RemoveExtraAsciiWhitespace(&text);
    return absl::UnavailableError(absl::StrCat("PostgreSQL: ", text));
  }
  return absl::Status(CodeOfSqlState(state),
                      absl::StrCat("PostgreSQL: ", message == nullptr ? "?" : message, " (SQLSTATE ", state, ")"));
}

}  // namespace evilmoe
