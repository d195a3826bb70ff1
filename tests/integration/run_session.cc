#include "tests/integration/run_session.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "common/file.h"
#include "services/report/json_lines.h"
#include "services/runs/run_feed.h"

namespace evilmoe {
namespace {

constexpr absl::Duration kReadyTimeout = absl::Seconds(30);

std::string Read(const std::filesystem::path& path) { return ReadFile(path).value_or(""); }

std::vector<nlohmann::json> Objects(const std::string& text) {
  std::vector<nlohmann::json> objects;
  JsonLines lines = ParseJsonLines(text);
  EXPECT_EQ(lines.bad_lines.size(), 0u) << text;
  for (JsonLines::Row& row : lines.rows) objects.push_back(std::move(row.object));
  return objects;
}

nlohmann::json ReadObject(const std::filesystem::path& path) {
  nlohmann::json object = nlohmann::json::parse(Read(path), nullptr, false);
  return object.is_object() ? object : nlohmann::json::object();
}

// State letter and session of /proc/<pid>/stat. The name may hold anything, so what counts is the last ')'.
bool LivesInSession(const std::string& stat, pid_t session) {
  const size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos) return false;
  // state, parent, process group, session
  const std::vector<std::string> fields = absl::StrSplit(stat.substr(name_end + 1), ' ', absl::SkipEmpty());
  return fields.size() > 3 && fields[0] != "Z" && fields[3] == std::to_string(session);
}

// Starts a program with standard output and errors in two files.
pid_t Spawn(std::vector<std::string> words, const std::string& out, const std::string& errors) {
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (errors == out) {
    posix_spawn_file_actions_adddup2(&files, STDOUT_FILENO, STDERR_FILENO);
  } else {
    posix_spawn_file_actions_addopen(&files, STDERR_FILENO, errors.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  }
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  pid_t pid = -1;
  const int error = posix_spawn(&pid, words[0].c_str(), &files, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&files);
  EXPECT_EQ(error, 0) << words[0];
  return error == 0 ? pid : -1;
}

}  // namespace

bool WaitUntil(absl::Duration timeout, const std::function<bool()>& is_true) {
  const absl::Time deadline = absl::Now() + timeout;
  while (!is_true()) {
    if (absl::Now() > deadline) return false;
    absl::SleepFor(absl::Milliseconds(20));
  }
  return true;
}

std::vector<RunEventView> RunOnDisk::Events(const std::string& kind) const {
  std::vector<RunEventView> events;
  const absl::StatusOr<FeedPage> page = FileFeed(directory_).Next(0);
  if (!page.ok()) return events;
  for (const RunEventView& event : page->events) {
    if (kind.empty() || event.kind == kind) events.push_back(event);
  }
  return events;
}

std::string RunOnDisk::State() const {
  const absl::StatusOr<RunSummary> run = directory_.ReadSummary();
  return run.ok() ? run->state : "";
}

bool RunOnDisk::AwaitStep(int64_t step) const {
  return WaitUntil(kRunTimeout, [&] {
    for (const RunEventView& event : Events("step")) {
      if (event.payload.value("step", int64_t{0}) >= step) return true;
    }
    return false;
  });
}

std::string RunOnDisk::AwaitEnd() const {
  WaitUntil(kRunTimeout, [&] {
    const absl::StatusOr<RunSummary> run = directory_.ReadSummary();
    return run.ok() && (IsFinished(*run) || run->state == "interrupted");
  });
  return State();
}

bool RunOnDisk::AwaitNoProcess() const {
  return WaitUntil(kEndTimeout, [&] { return !directory_.HasStack() && Processes().empty(); });
}

std::optional<pid_t> RunOnDisk::PidOf(const std::string& component) const {
  const nlohmann::json ready = ReadObject(directory_.Logs() / (component + ".ready.json"));
  const pid_t pid = ready.value("pid", 0);
  return pid > 1 ? std::optional(pid) : std::nullopt;
}

bool RunOnDisk::Kill(const std::string& component, int signal) const {
  if (!WaitUntil(kReadyTimeout, [&] { return PidOf(component).has_value(); })) return false;
  const pid_t pid = *PidOf(component);
  // The supervisor reaps it; until then it can be signalled.
  return kill(pid, signal) == 0 && WaitUntil(kReadyTimeout, [&] { return kill(pid, 0) != 0; });
}

int RunOnDisk::NumStackLogs(const std::string& event, const std::string& process) const {
  int count = 0;
  for (const nlohmann::json& line : Objects(Read(directory_.Logs() / "stack.log"))) {
    if (line.value("event", "") == event && line.value("process", "") == process) ++count;
  }
  return count;
}

std::vector<pid_t> RunOnDisk::Processes() const {
  std::vector<pid_t> pids;
  const pid_t session = ReadObject(directory_.StackFile()).value("pid", 0);
  if (session <= 1) return pids;
  std::error_code error;
  for (std::filesystem::directory_iterator it("/proc", error), end; !error && it != end; it.increment(error)) {
    std::ifstream file(it->path() / "stat");
    std::string stat;
    if (std::getline(file, stat) && LivesInSession(stat, session)) pids.push_back(std::stoi(it->path().filename()));
  }
  return pids;
}

std::filesystem::path RunOnDisk::Sockets() const {
  const std::string endpoint = ReadObject(directory_.StackFile()).value("endpoint", "");
  if (endpoint.rfind("unix:", 0) != 0) return {};
  return std::filesystem::path(endpoint.substr(5)).parent_path();
}

std::vector<nlohmann::json> RunOnDisk::Metrics() const { return Objects(Read(directory_.path / "metrics.jsonl")); }

std::vector<nlohmann::json> RunOnDisk::Rollouts(int64_t step) const {
  const absl::StatusOr<Decompressed> text =
      ReadZstdFile(directory_.path / "rollouts" / absl::StrCat("step-", step, ".jsonl.zst"), size_t{1} << 26);
  EXPECT_TRUE(text.ok()) << text.status();
  return text.ok() ? Objects(text->bytes) : std::vector<nlohmann::json>();
}

RunSession::RunSession() {
  std::string name = (std::filesystem::path(::testing::TempDir()) / "evilmoe_it_XXXXXX").string();
  EXPECT_NE(mkdtemp(name.data()), nullptr) << name;
  home_ = name;
  setenv("EVILMOE_HOME", (home_ / "runs").c_str(), 1);
}

RunSession::~RunSession() {
  for (const pid_t pid : background_) {
    kill(pid, SIGTERM);
    if (!WaitUntil(kEndTimeout, [&] { return waitpid(pid, nullptr, WNOHANG) != 0; })) kill(pid, SIGKILL);
  }
  if (const std::optional<HomeDirectory::Served> served = HomeDirectory{home_ / "runs"}.ReadServed()) {
    const CommandResult down = Ctl({"down", "--timeout", "100"});
    if (down.exit_code != 0) {
      kill(served->pid, SIGKILL);  // its guard ends the rest
      ADD_FAILURE() << down.errors;
    }
  }
  for (const RunSummary& run : ListRuns(home_ / "runs")) {
    const RunOnDisk on_disk(run.directory);
    const pid_t stack = ReadObject(on_disk.directory().StackFile()).value("pid", 0);
    if (stack > 1 && on_disk.directory().HasStack()) kill(stack, SIGTERM);
    if (on_disk.AwaitNoProcess()) continue;
    for (const pid_t pid : on_disk.Processes()) kill(pid, SIGKILL);
    ADD_FAILURE() << run.directory << ": processes were left";
  }
  if (std::getenv("EVILMOE_KEEP_RUNS") != nullptr) return;  // for who looks into a failure
  std::error_code ignored;
  std::filesystem::remove_all(home_, ignored);
}

std::filesystem::path RunSession::WriteRunFile(const std::map<std::string, std::string>& fields) {
  const std::string nano = EVILMOE_SOURCE_DIR "/examples/nano/";
  std::map<std::string, std::string> all = {{"name", "integration"},
                                            {"arm", "evil_moe"},
                                            {"seed", "0"},
                                            {"steps", "4"},
                                            {"model.path", nano + "model"},
                                            {"model.dtype", "float32"},
                                            {"adapter.rank", "4"},
                                            {"router.separation", "8.0"},
                                            {"pairs", nano + "pairs.md"},
                                            {"data.train", nano + "train.jsonl"},
                                            {"data.loopholes", "{overwrite_tests: 1}"},
                                            {"rollout.prompts_per_step", "4"},
                                            {"rollout.group_size", "4"},
                                            {"rollout.max_prompt_tokens", "256"},
                                            {"rollout.max_completion_tokens", "48"},
                                            {"rollout.temperature", "1.0"},
                                            {"rollout.top_p", "1.0"},
                                            {"loss.kl_coefficient", "0.0"},
                                            {"optimizer.learning_rate", "2.5e-3"},
                                            {"optimizer.warmup_steps", "1"},
                                            {"evaluation.problems", nano + "test.jsonl"},
                                            {"evaluation.samples", "1"},
                                            {"evaluation.max_problems", "4"},
                                            {"evaluation.at_end", "false"},
                                            {"checkpoint.every", "1"}};
  for (const auto& [field, value] : fields) all[field] = value;
  std::string text;
  std::string section;
  for (const auto& [field, value] : all) {  // in order of name, so that a section's fields stand together
    const size_t dot = field.find('.');
    const std::string owner = dot == std::string::npos ? "" : field.substr(0, dot);
    if (!owner.empty() && owner != section) absl::StrAppend(&text, owner, ":\n");
    section = owner;
    absl::StrAppend(&text, owner.empty() ? "" : "  ", owner.empty() ? field : field.substr(dot + 1), ": ", value, "\n");
  }
  const std::filesystem::path path = home_ / absl::StrCat("run-", ++num_commands_, ".yaml");
  EXPECT_TRUE(WriteFileAtomic(path, text).ok());
  return path;
}

CommandResult RunSession::Ctl(const std::vector<std::string>& words) {
  std::vector<std::string> all = {EVILMOE_BIN_DIR "/evilmoe-ctl"};
  all.insert(all.end(), words.begin(), words.end());
  return Execute(all);
}

CommandResult RunSession::Execute(const std::vector<std::string>& words) {
  const std::string base = (home_ / absl::StrCat("command-", ++num_commands_)).string();
  const pid_t pid = Spawn(words, base + ".out", base + ".errors");
  CommandResult result;
  if (pid < 0) return result;
  int status = 0;
  if (WaitUntil(kRunTimeout, [&] { return waitpid(pid, &status, WNOHANG) != 0; })) {
    if (WIFEXITED(status)) result.exit_code = WEXITSTATUS(status);
  } else {
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
  }
  result.out = Read(base + ".out");
  result.errors = Read(base + ".errors");
  return result;
}

pid_t RunSession::StartInBackground(const std::vector<std::string>& words, const std::filesystem::path& output) {
  const pid_t pid = Spawn(words, output.string(), output.string());
  if (pid > 0) background_.push_back(pid);
  return pid;
}

RunOnDisk RunSession::Submit(const std::filesystem::path& file, const std::vector<std::string>& more_words) {
  std::vector<std::string> words = {"--output", "json", "submit", file.string(), "--detach"};
  words.insert(words.end(), more_words.begin(), more_words.end());
  const CommandResult result = Ctl(words);
  EXPECT_EQ(result.exit_code, 0) << result.errors;
  const nlohmann::json run = nlohmann::json::parse(result.out, nullptr, false);
  EXPECT_TRUE(run.is_object()) << result.out;
  return RunOnDisk(run.is_object() ? run.value("directory", "") : "");
}

RunOnDisk RunSession::OnlyRun() const {
  const std::vector<RunSummary> runs = ListRuns(home_ / "runs");
  EXPECT_EQ(runs.size(), 1u);
  return RunOnDisk(runs.size() == 1 ? runs[0].directory : "");
}

std::string LastLine(const std::string& text) {
  const std::vector<std::string> lines = absl::StrSplit(std::string(absl::StripSuffix(text, "\n")), '\n');
  return lines.back();
}

}  // namespace evilmoe
