#include "services/coordinator/postgres_connection.h"

#include <libpq-fe.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/status_macros.h"
#include "services/coordinator/postgres_errors.h"

namespace evilmoe {
namespace {

constexpr int kOldestServer = 130000;
constexpr absl::Duration kMargin = absl::Seconds(1);  // the server's own timeout comes first

struct ResultClearer {
  void operator()(PGresult* result) const { PQclear(result); }
};
using Result = std::unique_ptr<PGresult, ResultClearer>;

bool Failed(const PGresult* result) {
  const ExecStatusType status = PQresultStatus(result);
  return status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE || status == PGRES_PIPELINE_ABORTED;
}

}  // namespace

std::string_view PostgresRow::View(int column) const {
  return {PQgetvalue(result_, 0, column), static_cast<size_t>(PQgetlength(result_, 0, column))};
}

void PostgresConnection::Closer::operator()(pg_conn* connection) const { PQfinish(connection); }

PostgresConnection::PostgresConnection(pg_conn* connection, absl::Duration patience)
    : connection_(connection), patience_(patience) {}

absl::StatusOr<PostgresConnection> PostgresConnection::Open(const PostgresOptions& options) {
  EVILMOE_RETURN_IF_ERROR(CheckPostgresUri(options.uri));
  const std::string timeout = absl::StrCat(std::max<int64_t>(2, absl::ToInt64Seconds(options.connect_timeout)));
  // What stands before dbname are defaults: the URI may say otherwise. A standby cannot be written.
  const std::array<const char*, 7> keys = {"connect_timeout",
                                           "target_session_attrs",
                                           "application_name",
                                           "tcp_user_timeout",
                                           "dbname",
                                           "client_encoding",
                                           nullptr};
  const std::array<const char*, 7> values = {
      timeout.c_str(), "read-write", "evilmoe-coordinator", "20000", options.uri.c_str(), "UTF8", nullptr};
  constexpr int kExpandDbname = 1;
  PostgresConnection connection(PQconnectdbParams(keys.data(), values.data(), kExpandDbname),
                                options.statement_timeout + kMargin);
  if (PQstatus(connection.connection_.get()) != CONNECTION_OK) return connection.Lose("cannot be reached");
  PQsetnonblocking(connection.connection_.get(), 1);
  PQsetNoticeProcessor(
      connection.connection_.get(), [](void*, const char*) {}, nullptr);  // errors come as results
  EVILMOE_RETURN_IF_ERROR(connection.Greet(options));
  return connection;
}

absl::Status PostgresConnection::Greet(const PostgresOptions& options) {
  if (server_version() < kOldestServer) {
    return absl::FailedPreconditionError(absl::StrCat(place(), ": server version ", server_version() / 10000,
                                                      ", expected at least ", kOldestServer / 10000));
  }
  // Plans: the statements join arrays of unknown length with tables by their keys. Statistics of a table that was empty
  // a minute ago must not talk the planner into reading it whole.
  return Annotate(
      Execute(
          absl::StrCat("SET search_path = evilmoe, pg_temp; SET client_min_messages = warning; "
                       "SET default_transaction_isolation = 'read committed'; SET jit = off; "
                       "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; "
                       "SET plan_cache_mode = force_generic_plan; "
                       "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 2; "
                       "SET idle_in_transaction_session_timeout = '60s'; SET statement_timeout = ",
                       absl::ToInt64Milliseconds(options.statement_timeout))
              .c_str()),
      place());
}

std::string PostgresConnection::place() const {
  const char* host = PQhost(connection_.get());
  const char* port = PQport(connection_.get());
  const char* database = PQdb(connection_.get());
  return absl::StrCat("database ", database == nullptr ? "?" : database, " at ",
                      host == nullptr || *host == '\0' ? "?" : host, ":", port == nullptr ? "?" : port);
}

int PostgresConnection::server_version() const { return PQserverVersion(connection_.get()); }

absl::Status PostgresConnection::Lose(std::string_view why) {
  lost_ = true;
  if (connection_ == nullptr) return absl::UnavailableError("PostgreSQL: out of memory");
  std::string text =
      absl::StrCat("PostgreSQL, ", place(), ": ", std::string(why), ": ", PQerrorMessage(connection_.get()));
  // The server and libpq quote much of what they are told.
  const char* const password = PQpass(connection_.get());
  if (password != nullptr && *password != '\0') text = absl::StrReplaceAll(text, {{password, "***"}});
  absl::RemoveExtraAsciiWhitespace(&text);
  return absl::UnavailableError(text);
}

absl::Status PostgresConnection::LibraryError() {
  if (PQstatus(connection_.get()) == CONNECTION_BAD) return Lose("the connection broke");
  return absl::InternalError(absl::StrCat("PostgreSQL: ", PQerrorMessage(connection_.get())));
}

absl::Status PostgresConnection::Await(bool to_send) {
  pollfd socket = {.fd = PQsocket(connection_.get()), .events = POLLIN, .revents = 0};
  if (to_send) socket.events |= POLLOUT;
  const auto deadline = std::chrono::steady_clock::now() + absl::ToChronoMilliseconds(patience_);
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    const int ready = poll(&socket, 1, static_cast<int>(std::max<int64_t>(left.count(), 0)));
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return Lose("poll failed");
    if (ready == 0) return Lose(absl::StrCat("no answer in ", absl::FormatDuration(patience_)));
    break;
  }
  if ((socket.revents & ~POLLOUT) != 0 && PQconsumeInput(connection_.get()) == 0) return Lose("the connection broke");
  return absl::OkStatus();
}

absl::StatusOr<pg_result*> PostgresConnection::Next() {
  while (true) {
    const int left = PQflush(connection_.get());
    if (left < 0) return Lose("the connection broke");
    if (PQisBusy(connection_.get()) == 0) break;
    EVILMOE_RETURN_IF_ERROR(Await(left > 0));
  }
  return PQgetResult(connection_.get());
}

// The end of one statement outside a pipeline: its first error.
absl::Status PostgresConnection::FinishOne() {
  absl::Status first;
  while (true) {
    EVILMOE_ASSIGN_OR_RETURN(pg_result* const raw, Next());
    const Result result(raw);
    if (result == nullptr) break;
    if (Failed(result.get()) && first.ok()) first = PostgresError(result.get());
  }
  if (PQstatus(connection_.get()) == CONNECTION_BAD) return Lose("the connection broke");
  return first;
}

absl::Status PostgresConnection::Execute(const char* sql) {
  if (PQsendQuery(connection_.get(), sql) == 0) return LibraryError();
  return FinishOne();
}

absl::Status PostgresConnection::Query(const char* sql, const PostgresParameters& parameters, const RowReader& read) {
  const RawPostgresParameters raw(parameters);
  if (PQsendQueryParams(connection_.get(), sql, raw.size(), nullptr, raw.values.data(), raw.lengths.data(),
                        raw.formats.data(), RawPostgresParameters::kBinary) == 0) {
    return LibraryError();
  }
  PQsetSingleRowMode(connection_.get());
  absl::Status unread;
  while (true) {
    EVILMOE_ASSIGN_OR_RETURN(pg_result* const next, Next());
    const Result result(next);
    if (result == nullptr) return unread;
    if (Failed(result.get())) {
      const absl::Status failed = PostgresError(result.get());
      const absl::Status rest = FinishOne();
      return rest.ok() ? failed : rest;
    }
    if (PQresultStatus(result.get()) == PGRES_SINGLE_TUPLE && unread.ok()) unread = read(PostgresRow(result.get()));
  }
}

absl::StatusOr<int64_t> PostgresConnection::Number(const char* sql, const PostgresParameters& parameters) {
  std::vector<int64_t> numbers;
  EVILMOE_RETURN_IF_ERROR(Query(sql, parameters, [&](const PostgresRow& row) {
    numbers.push_back(row.Int(0));
    return absl::OkStatus();
  }));
  if (numbers.size() == 1) return numbers.front();
  return absl::InternalError(absl::StrCat("a query that must give one row gave ", numbers.size()));
}

}  // namespace evilmoe
