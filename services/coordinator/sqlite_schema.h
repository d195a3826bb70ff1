#pragma once

#include "absl/status/status.h"
#include "services/coordinator/sqlite_database.h"

namespace evilmoe {

inline constexpr int64_t kStoreSchemaVersion = 2;

// Brings a database, an empty one too, to this program's schema, one version at a time in one transaction.
// FailedPrecondition: the database belongs to a newer program, or to another program.
absl::Status MigrateStore(SqliteDatabase& database);
// The refusals alone; changes nothing.
absl::Status CheckStoreOwner(SqliteDatabase& database);
// The same refusals, and one for a schema that is older (a reader cannot migrate).
absl::Status CheckStoreSchema(SqliteDatabase& database);

}  // namespace evilmoe
