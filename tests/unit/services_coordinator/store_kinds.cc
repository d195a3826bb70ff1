#include "tests/unit/services_coordinator/store_kinds.h"

#include <cstdlib>

#include "common/status_macros.h"
#include "services/coordinator/postgres_store.h"
#include "services/coordinator/sqlite_store.h"

namespace evilmoe {

SqlitePlace::SqlitePlace() {
  std::string pattern = (std::filesystem::temp_directory_path() / "store_XXXXXX").string();
  path_ = std::filesystem::path(mkdtemp(pattern.data())) / "store.db";
}

SqlitePlace::~SqlitePlace() { std::filesystem::remove_all(path_.parent_path()); }

absl::StatusOr<std::unique_ptr<Store>> SqlitePlace::Open() { return SqliteStore::Open(path_); }

absl::StatusOr<PrivatePostgres*> SharedPostgres() {
  static const absl::StatusOr<std::unique_ptr<PrivatePostgres>> server = PrivatePostgres::Start();
  if (!server.ok()) return server.status();
  return server->get();
}

absl::StatusOr<std::unique_ptr<PostgresPlace>> PostgresPlace::Make() {
  EVILMOE_ASSIGN_OR_RETURN(PrivatePostgres* const server, SharedPostgres());
  EVILMOE_ASSIGN_OR_RETURN(const std::string database, server->NewDatabase());
  return std::unique_ptr<PostgresPlace>(new PostgresPlace(*server, database));
}

absl::StatusOr<std::unique_ptr<Store>> PostgresPlace::Open() {
  return PostgresStore::Open({.uri = Uri(), .lock_wait = absl::Milliseconds(100)});
}

}  // namespace evilmoe
