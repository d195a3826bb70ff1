#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

struct sqlite3;
struct sqlite3_stmt;

namespace evilmoe {

// A thin RAII skin over SQLite's C interface. Errors: Unavailable (busy, or the disk failed), ResourceExhausted (the
// disk is full), DataLoss (not a database, or a damaged one), Internal (a wrong statement, a value of more than 10^9
// bytes: our bug).

// Bytes that are bound and read as a BLOB. Must outlive the statement's steps.
struct SqliteBlob {
  std::string_view bytes;
};

// Prepared statements that nobody uses now, by the address of their text. Not thread-safe.
class SqliteStatementCache {
 public:
  SqliteStatementCache() = default;
  ~SqliteStatementCache();
  SqliteStatementCache(const SqliteStatementCache&) = delete;
  SqliteStatementCache& operator=(const SqliteStatementCache&) = delete;
  sqlite3_stmt* Take(const char* sql);  // null: there is none
  void Return(const char* sql, sqlite3_stmt* statement);

 private:
  std::unordered_map<const char*, sqlite3_stmt*> idle_;
};

// A prepared statement with its parameters bound. Must not outlive its database.
class SqliteStatement {
 public:
  // True: a row is there to be read. False: the statement has ended.
  absl::StatusOr<bool> Step();
  // Steps to the end, for a statement that gives no rows.
  absl::Status Run();
  int64_t Int(int column) const;
  std::string Text(int column) const;  // also reads a BLOB

 private:
  friend class SqliteDatabase;
  struct Returner {
    SqliteStatementCache* cache;
    const char* sql;
    void operator()(sqlite3_stmt* statement) const { cache->Return(sql, statement); }
  };
  SqliteStatement(sqlite3_stmt* statement, SqliteStatementCache* cache, const char* sql)
      : statement_(statement, Returner{cache, sql}) {}
  void BindOne(int at, int64_t value);
  void BindOne(int at, std::string_view value);
  void BindOne(int at, SqliteBlob value);
  void Bound(int code);

  std::unique_ptr<sqlite3_stmt, Returner> statement_;
  int bound_ = 0;  // SQLite's code of the first parameter that could not be bound
};

// Reads every row with `read`.
template <typename Read>
auto ReadAll(SqliteStatement statement, Read read) -> absl::StatusOr<std::vector<decltype(read(statement))>> {
  std::vector<decltype(read(statement))> rows;
  while (true) {
    const absl::StatusOr<bool> more = statement.Step();
    if (!more.ok()) return more.status();
    if (!*more) return rows;
    rows.push_back(read(statement));
  }
}

// One connection. Not thread-safe. Move-only.
class SqliteDatabase {
 public:
  enum class Mode { kReadWriteCreate, kReadOnly };
  // NotFound: kReadOnly and no file is there.
  static absl::StatusOr<SqliteDatabase> Open(const std::filesystem::path& path, Mode mode);

  // Runs statements that take no parameters and give no rows.
  absl::Status Execute(const char* sql);
  // `arguments` take the places of the ?s: integers, text, SqliteBlob. Text must live until the last Step(). `sql` is a
  // literal: its statement is kept, and found again by its address.
  template <typename... Arguments>
  absl::StatusOr<SqliteStatement> Prepare(const char* sql, const Arguments&... arguments) {
    absl::StatusOr<SqliteStatement> statement = PrepareOnly(sql);
    if (!statement.ok()) return statement;
    int at = 0;
    (statement->BindOne(++at, AsBindable(arguments)), ...);
    return statement;
  }
  template <typename... Arguments>
  absl::Status Run(const char* sql, const Arguments&... arguments) {
    absl::StatusOr<SqliteStatement> statement = Prepare(sql, arguments...);
    return statement.ok() ? statement->Run() : statement.status();
  }
  // The first column of the only row, as a number.
  template <typename... Arguments>
  absl::StatusOr<int64_t> Number(const char* sql, const Arguments&... arguments) {
    absl::StatusOr<SqliteStatement> statement = Prepare(sql, arguments...);
    if (!statement.ok()) return statement.status();
    const absl::StatusOr<bool> row = statement->Step();
    if (!row.ok()) return row.status();
    if (!*row) return absl::InternalError("a query that must give a row gave none");
    return statement->Int(0);
  }
  // Rows that the last statement changed.
  int64_t NumChanged() const;

 private:
  struct Closer {
    void operator()(sqlite3* database) const;
  };
  explicit SqliteDatabase(sqlite3* database) : database_(database), cache_(std::make_unique<SqliteStatementCache>()) {}
  absl::StatusOr<SqliteStatement> PrepareOnly(const char* sql);
  template <typename T>
  static auto AsBindable(const T& value) {
    if constexpr (std::is_integral_v<T> || std::is_enum_v<T>) {
      return static_cast<int64_t>(value);
    } else if constexpr (std::is_same_v<T, SqliteBlob>) {
      return value;
    } else {
      return std::string_view(value);
    }
  }

  std::unique_ptr<sqlite3, Closer> database_;
  std::unique_ptr<SqliteStatementCache> cache_;  // goes before the connection
};

// Undone when it is destroyed without Commit(). Must not outlive its database; never nested.
class SqliteTransaction {
 public:
  static absl::StatusOr<std::unique_ptr<SqliteTransaction>> Begin(SqliteDatabase& database);
  ~SqliteTransaction();
  SqliteTransaction(const SqliteTransaction&) = delete;
  SqliteTransaction& operator=(const SqliteTransaction&) = delete;
  // On an error the transaction is undone.
  absl::Status Commit();

 private:
  explicit SqliteTransaction(SqliteDatabase& database) : database_(database) {}
  SqliteDatabase& database_;
  bool open_ = true;
};

}  // namespace evilmoe
