#include "services/coordinator/sqlite_database.h"

#include <sqlite3.h>

#include "absl/strings/str_cat.h"

namespace evilmoe {
namespace {

constexpr int kBusyTimeoutMs = 5000;

absl::Status ToStatus(int code, const char* message) {
  const std::string text = absl::StrCat("database: ", message);
  switch (code & 0xff) {  // without the extension
    case SQLITE_OK: return absl::OkStatus();
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN: return absl::UnavailableError(text);
    case SQLITE_FULL:
    case SQLITE_NOMEM: return absl::ResourceExhaustedError(text);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return absl::DataLossError(text);
    case SQLITE_READONLY:
    case SQLITE_PERM: return absl::FailedPreconditionError(text);
    default: return absl::InternalError(text);
  }
}

}  // namespace

SqliteStatementCache::~SqliteStatementCache() {
  for (const auto& [sql, statement] : idle_) sqlite3_finalize(statement);
}

sqlite3_stmt* SqliteStatementCache::Take(const char* sql) {
  const auto node = idle_.extract(sql);
  return node.empty() ? nullptr : node.mapped();
}

void SqliteStatementCache::Return(const char* sql, sqlite3_stmt* statement) {
  sqlite3_reset(statement);
  sqlite3_clear_bindings(statement);  // they point into memory of the last user
  if (!idle_.emplace(sql, statement).second) sqlite3_finalize(statement);
}

void SqliteDatabase::Closer::operator()(sqlite3* database) const { sqlite3_close_v2(database); }

absl::StatusOr<bool> SqliteStatement::Step() {
  if (bound_ != SQLITE_OK) return ToStatus(bound_, sqlite3_errstr(bound_));
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return ToStatus(code, sqlite3_errmsg(sqlite3_db_handle(statement_.get())));
}

absl::Status SqliteStatement::Run() {
  while (true) {
    const absl::StatusOr<bool> row = Step();
    if (!row.ok()) return row.status();
    if (!*row) return absl::OkStatus();
  }
}

int64_t SqliteStatement::Int(int column) const { return sqlite3_column_int64(statement_.get(), column); }

std::string SqliteStatement::Text(int column) const {
  const void* bytes = sqlite3_column_blob(statement_.get(), column);
  const int size = sqlite3_column_bytes(statement_.get(), column);
  return bytes == nullptr ? std::string() : std::string(static_cast<const char*>(bytes), static_cast<size_t>(size));
}

void SqliteStatement::BindOne(int at, int64_t value) { Bound(sqlite3_bind_int64(statement_.get(), at, value)); }
void SqliteStatement::BindOne(int at, std::string_view value) {
  Bound(sqlite3_bind_text64(statement_.get(), at, value.data() == nullptr ? "" : value.data(), value.size(),
                            SQLITE_STATIC, SQLITE_UTF8));
}
void SqliteStatement::BindOne(int at, SqliteBlob value) {
  Bound(sqlite3_bind_blob64(statement_.get(), at, value.bytes.empty() ? "" : value.bytes.data(), value.bytes.size(),
                            SQLITE_STATIC));
}
void SqliteStatement::Bound(int code) {
  if (bound_ == SQLITE_OK) bound_ = code;
}

absl::StatusOr<SqliteDatabase> SqliteDatabase::Open(const std::filesystem::path& path, Mode mode) {
  std::error_code error;
  if (mode == Mode::kReadOnly && !std::filesystem::exists(path, error)) {
    return absl::NotFoundError(absl::StrCat(path.string(), ": no such database"));
  }
  const int flags = (mode == Mode::kReadOnly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE) |
                    SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  sqlite3* raw = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &raw, flags, nullptr);
  SqliteDatabase database(raw);
  if (code != SQLITE_OK) {
    const absl::Status status = ToStatus(code, raw == nullptr ? "out of memory" : sqlite3_errmsg(raw));
    return absl::Status(status.code(), absl::StrCat(path.string(), ": ", status.message()));
  }
  sqlite3_busy_timeout(raw, kBusyTimeoutMs);
  return database;
}

absl::Status SqliteDatabase::Execute(const char* sql) {
  char* message = nullptr;
  const int code = sqlite3_exec(database_.get(), sql, nullptr, nullptr, &message);
  absl::Status status = ToStatus(code, message == nullptr ? sqlite3_errstr(code) : message);
  sqlite3_free(message);
  return status;
}

absl::StatusOr<SqliteStatement> SqliteDatabase::PrepareOnly(const char* sql) {
  sqlite3_stmt* statement = cache_->Take(sql);
  if (statement == nullptr) {
    const int code = sqlite3_prepare_v3(database_.get(), sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
    if (code != SQLITE_OK) return ToStatus(code, sqlite3_errmsg(database_.get()));
  }
  return SqliteStatement(statement, cache_.get(), sql);
}

int64_t SqliteDatabase::NumChanged() const { return sqlite3_changes64(database_.get()); }

absl::StatusOr<std::unique_ptr<SqliteTransaction>> SqliteTransaction::Begin(SqliteDatabase& database) {
  const absl::Status begun = database.Execute("BEGIN IMMEDIATE");
  if (!begun.ok()) return begun;
  return std::unique_ptr<SqliteTransaction>(new SqliteTransaction(database));
}

SqliteTransaction::~SqliteTransaction() {
  if (open_) (void)database_.Execute("ROLLBACK");
}

absl::Status SqliteTransaction::Commit() {
  absl::Status status = database_.Execute("COMMIT");
  if (status.ok()) open_ = false;
  return status;
}

}  // namespace evilmoe
