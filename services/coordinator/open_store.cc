#include "services/coordinator/open_store.h"

#include "services/coordinator/postgres_store.h"
#include "services/coordinator/sqlite_store.h"

namespace evilmoe {

bool IsPostgresUri(const std::string& database) {
  return database.starts_with("postgresql://") || database.starts_with("postgres://");
}

absl::StatusOr<std::unique_ptr<Store>> OpenStore(const std::string& database) {
  if (IsPostgresUri(database)) return PostgresStore::Open({.uri = database});
  return SqliteStore::Open(database);
}

}  // namespace evilmoe
