#include "services/coordinator/sqlite_store.h"

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "services/coordinator/sqlite_schema.h"

namespace evilmoe {
namespace {

absl::Status CheckPages(SqliteDatabase& database) {
  EVILMOE_ASSIGN_OR_RETURN(SqliteStatement check, database.Prepare("PRAGMA quick_check(1)"));
  EVILMOE_RETURN_IF_ERROR(check.Step().status());
  if (check.Text(0) == "ok") return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("damaged: ", check.Text(0)));
}

absl::Status Prepare(SqliteDatabase& database) {
  EVILMOE_RETURN_IF_ERROR(CheckStoreOwner(database));  // before anything is written
  EVILMOE_RETURN_IF_ERROR(database.Execute(
      "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF"));
  EVILMOE_RETURN_IF_ERROR(CheckPages(database));
  return MigrateStore(database);
}

// Says which file, and what to do where that is not plain.
absl::Status Blame(const absl::Status& status, const std::filesystem::path& path) {
  absl::Status named = Annotate(status, path.string());
  if (!absl::IsDataLoss(status)) return named;
  return absl::DataLossError(
      absl::StrCat(named.message(), "; expected a coordinator's database: restore a copy, or move the file away"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<SqliteStore>> SqliteStore::Open(const std::filesystem::path& path) {
  EVILMOE_ASSIGN_OR_RETURN(StoreLock lock, StoreLock::Take(path));
  EVILMOE_ASSIGN_OR_RETURN(SqliteDatabase writer, SqliteDatabase::Open(path, SqliteDatabase::Mode::kReadWriteCreate));
  if (const absl::Status status = Prepare(writer); !status.ok()) return Blame(status, path);
  EVILMOE_ASSIGN_OR_RETURN(SqliteDatabase reader, SqliteDatabase::Open(path, SqliteDatabase::Mode::kReadOnly));
  return std::unique_ptr<SqliteStore>(new SqliteStore(std::move(lock), std::move(writer), std::move(reader)));
}

absl::StatusOr<std::vector<EventRecord>> SqliteStore::ReadEvents(const std::string& run_id, int64_t after_seq,
                                                                 int limit) {
  MutexLock lock(reader_mu_);
  EVILMOE_ASSIGN_OR_RETURN(SqliteStatement rows,
                           reader_.Prepare("SELECT seq, unix_ms, kind, payload FROM events WHERE run_id = ? AND "
                                           "seq > ? ORDER BY seq LIMIT ?",
                                           run_id, after_seq, limit));
  return ReadAll(std::move(rows), [](const SqliteStatement& row) {
    return EventRecord{.seq = row.Int(0), .unix_ms = row.Int(1), .kind = row.Text(2), .payload_json = row.Text(3)};
  });
}

}  // namespace evilmoe
