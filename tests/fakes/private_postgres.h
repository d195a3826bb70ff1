#pragma once

#include <sys/types.h>

#include <filesystem>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace evilmoe {

// A PostgreSQL server of a test's own: a new cluster in a temporary folder, a Unix socket in that folder and no port,
// gone with this object and with this process. As root it runs as the user postgres, or nobody where there is none. The
// superuser is evilmoe and needs no password; the role `locked` needs one, kLockedPassword.
class PrivatePostgres {
 public:
  static constexpr const char* kLockedPassword = "s3cr:t/w@rd";

  // Off: fsync=off and full_page_writes=off, which only a power cut would show. On: as a server has them.
  enum class Durability { kOff, kOn };
  // NotFound: no server programs are installed. Else: they failed, with the end of their log.
  static absl::StatusOr<std::unique_ptr<PrivatePostgres>> Start(Durability durability = Durability::kOff);
  ~PrivatePostgres();
  PrivatePostgres(const PrivatePostgres&) = delete;
  PrivatePostgres& operator=(const PrivatePostgres&) = delete;

  // An empty database under a new name.
  absl::StatusOr<std::string> NewDatabase(const std::string& options = "");  // its name
  std::string Uri(const std::string& database, const std::string& user = "evilmoe") const;
  const std::filesystem::path& folder() const { return folder_; }  // holds the socket, .s.PGSQL.5432
  // Runs statements as the superuser.
  absl::Status Execute(const std::string& database, const std::string& sql) const;

  // Ends the server as kill -9 would its host, but for what is on its way to the disk.
  void Crash();
  absl::Status Restart();  // after Crash()

 private:
  PrivatePostgres(std::filesystem::path programs, std::filesystem::path folder, Durability durability)
      : programs_(std::move(programs)), folder_(std::move(folder)), durability_(durability) {}
  absl::Status Initialise();
  absl::Status AwaitReady();
  // Starts one of PostgreSQL's programs as the user that may run it; it does not outlive this thread.
  absl::StatusOr<pid_t> SpawnProgram(const std::string& name, const std::vector<std::string>& arguments) const;
  absl::Status WithLog(const std::string& what) const;

  const std::filesystem::path programs_;
  const std::filesystem::path folder_;
  const Durability durability_;
  uid_t user_ = 0;  // 0: ours, which is not root
  gid_t group_ = 0;
  pid_t server_ = 0;  // 0: not running
  int num_databases_ = 0;
};

}  // namespace evilmoe
