#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "services/coordinator/store.h"
#include "tests/fakes/private_postgres.h"

namespace evilmoe {

// A place where a store keeps its rows, which outlives the stores that are opened on it.
class StorePlace {
 public:
  virtual ~StorePlace() = default;
  virtual absl::StatusOr<std::unique_ptr<Store>> Open() = 0;
};

// A folder for a database file.
class SqlitePlace final : public StorePlace {
 public:
  SqlitePlace();
  ~SqlitePlace() override;
  absl::StatusOr<std::unique_ptr<Store>> Open() override;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// The test program's own PostgreSQL server, started when first asked for. NotFound: no server is installed.
absl::StatusOr<PrivatePostgres*> SharedPostgres();

// A database of that server.
class PostgresPlace final : public StorePlace {
 public:
  static absl::StatusOr<std::unique_ptr<PostgresPlace>> Make();
  absl::StatusOr<std::unique_ptr<Store>> Open() override;
  absl::Status Execute(const std::string& sql) const { return server_.Execute(database_, sql); }
  std::string Uri() const { return server_.Uri(database_); }

 private:
  PostgresPlace(PrivatePostgres& server, std::string database) : server_(server), database_(std::move(database)) {}
  PrivatePostgres& server_;
  std::string database_;
};

}  // namespace evilmoe
