#include "services/ctl/stack_layout.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/yaml_writer.h"

namespace evilmoe {
namespace {

std::string Text(const std::filesystem::path& path) { return path.string(); }

void Put(YamlWriter& out, std::string_view name, const std::string& value) { out.Field(name, &value); }
void Put(YamlWriter& out, std::string_view name, int value) { out.Field(name, &value); }
void Put(YamlWriter& out, std::string_view name, const std::vector<std::string>& values) { out.Field(name, &values); }

}  // namespace

std::vector<StackProcess> StackProcesses(int num_workers) {
  std::vector<StackProcess> processes = {{"coordinator", "evilmoe-coordinator", false},
                                         {"grader", "evilmoe-grader", false}};
  for (int i = 0; i < num_workers; ++i) processes.push_back({absl::StrCat("rollout-", i), "evilmoe-rollout", false});
  processes.push_back({"trainer", "evilmoe-trainer", true});
  return processes;
}

std::string CoordinatorAddress(const std::filesystem::path& sockets) {
  return absl::StrCat("unix:", Text(sockets / "coordinator.sock"));
}

std::string ProcessConfigYaml(const StackOptions& options, const StackProcess& process, int life) {
  const std::string grader = absl::StrCat("unix:", Text(options.sockets / "grader.sock"));
  std::string text;
  YamlWriter out(text);
  if (process.binary == "evilmoe-coordinator") {
    Put(out, "listen", std::vector{CoordinatorAddress(options.sockets)});
    Put(out, "database", Text(options.directory.Store()));
    Put(out, "lease_timeout_s", 10);
  } else if (process.binary == "evilmoe-grader") {
    Put(out, "listen", std::vector{grader});
    Put(out, "slots", options.num_cores);
  } else if (process.binary == "evilmoe-rollout") {
    Put(out, "coordinator", CoordinatorAddress(options.sockets));
    Put(out, "grader", grader);
    Put(out, "worker_id", absl::StrCat(process.name, ".", life));
    Put(out, "threads", std::max(1, options.num_cores / options.shape.num_workers));
  } else {
    Put(out, "coordinator", CoordinatorAddress(options.sockets));
    Put(out, "run_directory", Text(options.directory.path));
    Put(out, "trainer_id", absl::StrCat(process.name, ".", life));
    Put(out, "threads", std::max(1, options.num_cores / options.shape.num_ranks));
    if (options.shape.num_ranks > 1) Put(out, "ranks", options.shape.num_ranks);
  }
  Put(out, "log", Text(options.directory.Logs() / (process.name + ".log")));
  Put(out, "metrics_listen", std::string("127.0.0.1:0"));
  Put(out, "ready_file", Text(options.directory.Logs() / (process.name + ".ready.json")));
  return text;
}

std::string TargetsJson(const StackOptions& options, const std::string& run_id) {
  nlohmann::ordered_json targets = nlohmann::ordered_json::array();
  for (const StackProcess& process : StackProcesses(options.shape.num_workers)) {
    const absl::StatusOr<std::string> text = ReadFile(options.directory.Logs() / (process.name + ".ready.json"), 4096);
    if (!text.ok()) continue;
    const nlohmann::json ready = nlohmann::json::parse(*text, nullptr, false);
    if (!ready.is_object() || !ready.contains("metrics_port") || !ready["metrics_port"].is_number_integer()) continue;
    if (ready["metrics_port"].get<int64_t>() == 0) continue;
    targets.push_back({{"targets", {absl::StrCat("127.0.0.1:", ready["metrics_port"].get<int64_t>())}},
                       {"labels", {{"job", process.binary}, {"process", process.name}, {"run", run_id}}}});
  }
  return targets.dump(2) + "\n";
}

}  // namespace evilmoe
