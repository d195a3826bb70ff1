#include "tests/fakes/private_postgres.h"

#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/child_process.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "services/coordinator/postgres_connection.h"

namespace evilmoe {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(60);
constexpr absl::Duration kPause = absl::Milliseconds(5);

// The folder of the newest server's programs.
absl::StatusOr<std::filesystem::path> FindPrograms() {
  std::vector<std::pair<int, std::filesystem::path>> found;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/usr/lib/postgresql", error)) {
    int version = 0;
    if (absl::SimpleAtoi(entry.path().filename().string(), &version)) found.emplace_back(version, entry.path() / "bin");
  }
  std::erase_if(found, [](const auto& one) { return !std::filesystem::exists(one.second / "initdb"); });
  if (found.empty()) {
    return absl::NotFoundError("no PostgreSQL server under /usr/lib/postgresql; install the package postgresql");
  }
  return std::max_element(found.begin(), found.end())->second;
}

// True once the process has ended; its status then is `status`.
bool AwaitExit(pid_t pid, absl::Duration timeout, int& status) {
  const int fd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  if (fd < 0) return false;
  pollfd end = {.fd = fd, .events = POLLIN, .revents = 0};
  const bool ended = poll(&end, 1, static_cast<int>(absl::ToInt64Milliseconds(timeout))) == 1;
  close(fd);
  return ended && waitpid(pid, &status, 0) == pid;
}

}  // namespace

absl::StatusOr<std::unique_ptr<PrivatePostgres>> PrivatePostgres::Start(Durability durability) {
  EVILMOE_ASSIGN_OR_RETURN(const std::filesystem::path programs, FindPrograms());
  std::string pattern = (std::filesystem::temp_directory_path() / "postgres_XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) return absl::UnavailableError(absl::StrCat(pattern, ": cannot be made"));
  std::unique_ptr<PrivatePostgres> server(new PrivatePostgres(programs, pattern, durability));
  EVILMOE_RETURN_IF_ERROR(server->Initialise());
  EVILMOE_RETURN_IF_ERROR(server->Restart());
  return server;
}

PrivatePostgres::~PrivatePostgres() {
  Crash();
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

absl::StatusOr<pid_t> PrivatePostgres::SpawnProgram(const std::string& name,
                                                    const std::vector<std::string>& arguments) const {
  ProcessSpec spec{.binary = "/usr/bin/setpriv", .arguments = {"--pdeathsig=QUIT"}, .output = folder_ / "log"};
  if (user_ != 0) {
    for (const std::string& word :
         {absl::StrCat("--reuid=", user_), absl::StrCat("--regid=", group_), std::string("--clear-groups")}) {
      spec.arguments.push_back(word);
    }
  }
  spec.arguments.push_back((programs_ / name).string());
  spec.arguments.insert(spec.arguments.end(), arguments.begin(), arguments.end());
  return Spawn(spec);
}

absl::Status PrivatePostgres::WithLog(const std::string& what) const {
  const absl::StatusOr<std::string> log = ReadFile(folder_ / "log");
  const std::string text = log.ok() ? *log : "";
  return absl::UnavailableError(
      absl::StrCat(what, ": ", text.substr(text.size() - std::min<size_t>(text.size(), 2000))));
}

absl::Status PrivatePostgres::Initialise() {
  if (geteuid() == 0) {                              // the server refuses root
    const passwd* user = getpwnam("postgres");       // NOLINT(concurrency-mt-unsafe): nobody else asks
    if (user == nullptr) user = getpwnam("nobody");  // NOLINT(concurrency-mt-unsafe)
    if (user == nullptr) return absl::NotFoundError("neither a user postgres nor nobody, and the server refuses root");
    user_ = user->pw_uid;
    group_ = user->pw_gid;
    if (chown(folder_.c_str(), user_, group_) != 0) return absl::UnavailableError("chown failed");
  }
  EVILMOE_ASSIGN_OR_RETURN(const pid_t pid,
                           SpawnProgram("initdb", {"--pgdata", (folder_ / "data").string(), "--username=evilmoe",
                                                   "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"}));
  int status = 0;
  if (!AwaitExit(pid, kPatience, status)) {
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
  }
  if (status != 0) return WithLog(absl::StrCat("initdb: ", DescribeExit(status)));
  EVILMOE_RETURN_IF_ERROR(WriteFileAtomic(folder_ / "hba", "local all locked scram-sha-256\nlocal all all trust\n"));
  return chmod((folder_ / "hba").c_str(), 0644) == 0 ? absl::OkStatus() : absl::UnavailableError("chmod failed");
}

absl::Status PrivatePostgres::Restart() {
  std::vector<std::string> arguments = {"-D", (folder_ / "data").string(), "-k", folder_.string()};
  std::vector<std::string> settings = {"listen_addresses=", absl::StrCat("hba_file=", (folder_ / "hba").string()),
                                       "shared_buffers=32MB", "dynamic_shared_memory_type=mmap",
                                       "log_min_messages=error"};
  if (durability_ == Durability::kOff) settings.insert(settings.end(), {"fsync=off", "full_page_writes=off"});
  for (const std::string& setting : settings) arguments.insert(arguments.end(), {"-c", setting});
  EVILMOE_ASSIGN_OR_RETURN(server_, SpawnProgram("postgres", arguments));
  return AwaitReady();
}

absl::Status PrivatePostgres::AwaitReady() {
  absl::Status last;
  for (const absl::Time deadline = absl::Now() + kPatience; absl::Now() < deadline; absl::SleepFor(kPause)) {
    last = PostgresConnection::Open({.uri = Uri("postgres")}).status();
    if (last.ok()) return last;
    if (const std::optional<int> ended = Reap(server_)) {
      server_ = 0;
      return WithLog(absl::StrCat("postgres: ", DescribeExit(*ended)));
    }
  }
  return WithLog(std::string(last.message()));
}

void PrivatePostgres::Crash() {
  if (server_ == 0) return;
  int status = 0;
  kill(server_, SIGQUIT);
  if (!AwaitExit(server_, kPatience, status)) {
    kill(server_, SIGKILL);
    waitpid(server_, &status, 0);
  }
  server_ = 0;
}

std::string PrivatePostgres::Uri(const std::string& database, const std::string& user) const {
  return absl::StrCat("postgresql:///", database, "?host=", folder_.string(), "&user=", user);
}

absl::StatusOr<std::string> PrivatePostgres::NewDatabase(const std::string& options) {
  std::string name = absl::StrCat("t", ++num_databases_);
  EVILMOE_RETURN_IF_ERROR(Execute("postgres", absl::StrCat("CREATE DATABASE ", name, " ", options)));
  return name;
}

absl::Status PrivatePostgres::Execute(const std::string& database, const std::string& sql) const {
  EVILMOE_ASSIGN_OR_RETURN(PostgresConnection connection, PostgresConnection::Open({.uri = Uri(database)}));
  return connection.Execute(sql.c_str());
}

}  // namespace evilmoe
