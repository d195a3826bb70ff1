#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "services/coordinator/store.h"

namespace evilmoe {

// The store that `database` names: postgresql://... (or postgres://...) is a PostgresStore, anything else the path of
// an SqliteStore's file. Errors are theirs; no message holds a password, Store::Description() neither.
absl::StatusOr<std::unique_ptr<Store>> OpenStore(const std::string& database);
// It names a server and no file.
bool IsPostgresUri(const std::string& database);

}  // namespace evilmoe
