#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/coordinator/postgres_values.h"

struct pg_conn;
struct pg_result;

namespace evilmoe {

struct PostgresOptions {
  std::string uri;  // postgresql://..., as libpq reads it. Holds a password maybe: in no message
  absl::Duration connect_timeout = absl::Seconds(5);  // unless the URI says connect_timeout
  // The server gives a statement up after this; a server that is silent for so long and a second is given up.
  absl::Duration statement_timeout = absl::Seconds(30);
  absl::Duration lock_wait = absl::Seconds(5);  // how long another coordinator may take to leave
};

// A row of a result in binary format. Columns from 0.
class PostgresRow {
 public:
  explicit PostgresRow(const pg_result* result) : result_(result) {}
  int64_t Int(int column) const { return ReadPostgresInteger(View(column)); }  // bool, int, bigint
  std::string Text(int column) const { return FromPostgresText(View(column)); }
  std::string Bytes(int column) const { return std::string(View(column)); }

 private:
  std::string_view View(int column) const;  // empty: null
  const pg_result* result_;
};

// A thin skin over libpq: one session. Every wait has a deadline. Statements run as a pipeline (one round trip for
// many) or one by one.
//
// Errors: Unavailable (no connection, the server gave up or is stopping, a read-only server: again may help),
// ResourceExhausted (disk full, out of memory), FailedPrecondition (rights, another version, and kFencedState),
// DataLoss (the server found damage), Internal (a wrong statement, a value of more than kMaxPostgresBytes: our bug). No
// message holds the password. Not thread-safe. Move-only.
class PostgresConnection {
 public:
  // A server error of this SQLSTATE means that another coordinator has the store.
  static constexpr const char* kFencedState = "EM001";

  // InvalidArgument: libpq cannot read the URI.
  static absl::StatusOr<PostgresConnection> Open(const PostgresOptions& options);

  // True after an error with which the session ended. Nothing works from then on.
  bool lost() const { return lost_; }
  std::string place() const;   // "database D at HOST:PORT", for people
  int server_version() const;  // 150018 = 15.18

  // Several statements without parameters, in one transaction unless they hold their own; rows are ignored.
  absl::Status Execute(const char* sql);
  using RowReader = std::function<absl::Status(const PostgresRow& row)>;
  // Reads row after row as they come; an error of `read` is returned once all have come.
  absl::Status Query(const char* sql, const PostgresParameters& parameters, const RowReader& read);
  // The first column of the only row.
  absl::StatusOr<int64_t> Number(const char* sql, const PostgresParameters& parameters = {});

  // Queues a statement and does not wait for what becomes of it. `sql` is a literal, prepared once a session and found
  // again by its address. An error ends the pipeline: what is sent after it is not done.
  absl::Status Send(const char* sql, const PostgresParameters& parameters = {});
  // Waits for all that was sent. The first error; then nothing is left open (a transaction is rolled back).
  absl::Status Finish();
  // Of a transaction that Execute() began and that cannot be ended well. Nothing where there is none.
  void Rollback();

 private:
  struct Closer {
    void operator()(pg_conn* connection) const;
  };
  struct Sent {
    const char* sql;
    bool prepares;
  };
  PostgresConnection(pg_conn* connection, absl::Duration patience);
  absl::Status Greet(const PostgresOptions& options);
  absl::Status Lose(std::string_view why);
  absl::Status LibraryError();  // of the last call
  absl::Status Await(bool to_send);
  absl::StatusOr<pg_result*> Next();  // null: the statement's results have ended
  absl::Status FinishOne();
  absl::Status Push();

  std::unique_ptr<pg_conn, Closer> connection_;
  absl::Duration patience_;  // with a silent server
  bool lost_ = false;
  std::unordered_map<const char*, std::string> prepared_;  // names of statements
  std::vector<Sent> sent_;
  int64_t num_prepared_ = 0;
};

inline constexpr size_t kMaxPostgresBytes = size_t{500} << 20;  // of a value: a message holds less than 1 GiB

}  // namespace evilmoe
