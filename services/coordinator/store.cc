#include "services/coordinator/store.h"

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "services/coordinator/store_schema.h"

namespace evilmoe {
namespace {

absl::Status Prepare(SqliteDatabase& database) {
  EVILMOE_RETURN_IF_ERROR(CheckStoreOwner(database));  // before anything is written
  EVILMOE_RETURN_IF_ERROR(database.Execute(
      "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF"));
  EVILMOE_ASSIGN_OR_RETURN(SqliteStatement check, database.Prepare("PRAGMA quick_check(1)"));
  EVILMOE_RETURN_IF_ERROR(check.Step().status());
  if (check.Text(0) != "ok") return absl::DataLossError(absl::StrCat("damaged: ", check.Text(0)));
  return MigrateStore(database);
}

// Says which file, and what to do where that is not plain.
absl::Status Blame(const absl::Status& status, const std::filesystem::path& path) {
  const absl::Status named = Annotate(status, path.string());
  if (!absl::IsDataLoss(status)) return named;
  return absl::DataLossError(
      absl::StrCat(named.message(), "; expected a coordinator's database: restore a copy, or move the file away"));
}

}  // namespace

const char* RunPhaseName(RunPhase phase) {
  switch (phase) {
    case RunPhase::kQueued:
      return "queued";
    case RunPhase::kRunning:
      return "running";
    case RunPhase::kSucceeded:
      return "succeeded";
    case RunPhase::kFailed:
      return "failed";
    case RunPhase::kCancelled:
      return "cancelled";
  }
  return "unknown";
}

absl::StatusOr<Store> Store::Open(const std::filesystem::path& path) {
  EVILMOE_ASSIGN_OR_RETURN(StoreLock lock, StoreLock::Take(path));
  EVILMOE_ASSIGN_OR_RETURN(SqliteDatabase database,
                           SqliteDatabase::Open(path, SqliteDatabase::Mode::kReadWriteCreate));
  if (const absl::Status status = Prepare(database); !status.ok()) return Blame(status, path);
  return Store(std::move(lock), std::move(database));
}

absl::StatusOr<Store> Store::OpenReadOnly(const std::filesystem::path& path) {
  EVILMOE_ASSIGN_OR_RETURN(SqliteDatabase database, SqliteDatabase::Open(path, SqliteDatabase::Mode::kReadOnly));
  if (const absl::Status status = CheckStoreSchema(database); !status.ok()) return Blame(status, path);
  return Store(StoreLock(), std::move(database));
}

}  // namespace evilmoe
