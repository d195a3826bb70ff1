#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "services/coordinator/postgres_connection.h"

namespace evilmoe {

inline constexpr int64_t kPostgresSchemaVersion = 1;

// Brings the schema `evilmoe` of the connection's database, which need not be there yet, to this program's version;
// each version in a transaction of its own. Only one connection may do so at a time. FailedPrecondition: the schema is
// a newer program's or another program's, or the database is not in UTF-8.
absl::Status MigratePostgresStore(PostgresConnection& connection);

}  // namespace evilmoe
