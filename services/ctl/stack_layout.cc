#include "services/ctl/stack_layout.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "common/yaml_reader.h"
#include "common/yaml_writer.h"

namespace evilmoe {
namespace {

std::string Text(const std::filesystem::path& path) { return path.string(); }

template <typename T>
void Put(YamlWriter& out, std::string_view name, const T& value) {
  out.Field(name, &value);
}
void PutUnlessEmpty(YamlWriter& out, std::string_view name, const std::string& value) {
  if (!value.empty()) Put(out, name, value);
}

void PutCoordinator(YamlWriter& out, const StackLayout& layout) {
  const StackListener& listener = layout.listener;
  const std::string socket = CoordinatorAddress(layout.sockets);
  std::vector<std::string> addresses = {socket};
  if (!listener.address.empty()) addresses.push_back(listener.address);
  Put(out, "listen", addresses);
  Put(out, "database", Text(layout.database));
  Put(out, "lease_timeout_s", 10);
  PutUnlessEmpty(out, "runs", Text(layout.runs));
  Put(out, "page_listen", std::string("127.0.0.1:0"));
  if (!listener.certificate.empty() || !listener.client_ca.empty()) {
    YamlWriter tls = out.Section("tls");
    Put(tls, "certificate", listener.certificate);
    Put(tls, "key", listener.key);
    PutUnlessEmpty(tls, "client_ca", listener.client_ca);
  }
  PutUnlessEmpty(out, "tokens", listener.tokens);
  if (listener.insecure) Put(out, "insecure", true);
}

void PutTrainer(YamlWriter& out, const StackLayout& layout, const StackProcess& process) {
  const StackShape& shape = layout.shape;
  Put(out, "coordinator", CoordinatorAddress(layout.sockets));
  PutUnlessEmpty(out, "run_directory", Text(layout.run));
  Put(out, "trainer_id", process.name);
  Put(out, "threads", std::max(1, layout.num_cores / (shape.num_ranks * shape.num_trainers)));
  if (shape.num_ranks > 1) Put(out, "ranks", shape.num_ranks);
  // Private: whoever ends the stack waits for it. Long-lived: a step of another run may take a while.
  if (layout.run.empty()) Put(out, "stop_grace_s", 30);
}

// What a process reported when it began to serve; null before.
nlohmann::json ReadyFile(const StackLayout& layout, const std::string& process) {
  const std::string text = ReadFile(layout.logs / (process + ".ready.json"), 4096).value_or("");
  return nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
}

// A port in it; 0 = none.
int64_t PortIn(const nlohmann::json& ready, const char* name) {
  if (!ready.is_object() || !ready.contains(name) || !ready[name].is_number_integer()) return 0;
  return ready[name].get<int64_t>();
}

template <typename Section>
void ShapeFields(Section root, StackShape* shape, double* linger_s) {
  root.Field("workers", &shape->num_workers).Range(1, 64);
  root.Field("ranks", &shape->num_ranks).Range(1, 64);
  root.Field("trainers", &shape->num_trainers).Range(1, 64);
  root.Field("linger_s", linger_s).Range(0, 86400);
}

}  // namespace

std::string ToYaml(const StackShape& shape) {
  StackShape copy = shape;
  double linger_s = absl::ToDoubleSeconds(shape.linger);
  std::string text;
  ShapeFields(YamlWriter(text), &copy, &linger_s);
  return text;
}

absl::StatusOr<StackShape> ParseStackShape(std::string_view yaml, const std::string& file_name) {
  StackShape shape;
  double linger_s = absl::ToDoubleSeconds(shape.linger);
  YamlReader reader(yaml, file_name);
  ShapeFields(reader.Root(), &shape, &linger_s);
  EVILMOE_RETURN_IF_ERROR(reader.Finish());
  shape.linger = absl::Seconds(linger_s);
  return shape;
}

StackLayout PrivateLayout(const RunDirectory& directory) {
  StackLayout layout;
  layout.configs = directory.StackConfigs();
  layout.logs = directory.Logs();
  layout.database = directory.Store();
  layout.targets = directory.Targets();
  layout.run = directory.path;
  layout.run_id = directory.path.filename().string();
  return layout;
}

StackLayout LongLivedLayout(const HomeDirectory& home) {
  StackLayout layout;
  layout.configs = home.Folder();
  layout.logs = home.Folder() / "logs";
  layout.database = home.Store();
  layout.targets = home.Targets();
  layout.runs = home.path;
  return layout;
}

std::vector<StackProcess> StackProcesses(const StackShape& shape) {
  std::vector<StackProcess> processes = {{"coordinator", "evilmoe-coordinator", false},
                                         {"grader", "evilmoe-grader", false}};
  for (int i = 0; i < shape.num_workers; ++i) {
    processes.push_back({absl::StrCat("rollout-", i), "evilmoe-rollout", false});
  }
  for (int i = 0; i < shape.num_trainers; ++i) {
    const std::string name = shape.num_trainers == 1 ? "trainer" : absl::StrCat("trainer-", i);
    processes.push_back({name, "evilmoe-trainer", true});
  }
  return processes;
}

std::string CoordinatorAddress(const std::filesystem::path& sockets) {
  return absl::StrCat("unix:", Text(sockets / "coordinator.sock"));
}

std::string ProcessConfigYaml(const StackLayout& layout, const StackProcess& process, int life) {
  const std::string grader = absl::StrCat("unix:", Text(layout.sockets / "grader.sock"));
  std::string text;
  YamlWriter out(text);
  if (process.binary == "evilmoe-coordinator") {
    PutCoordinator(out, layout);
  } else if (process.binary == "evilmoe-grader") {
    Put(out, "listen", std::vector{grader});
    Put(out, "slots", layout.num_cores);
  } else if (process.binary == "evilmoe-rollout") {
    Put(out, "coordinator", CoordinatorAddress(layout.sockets));
    Put(out, "grader", grader);
    Put(out, "worker_id", absl::StrCat(process.name, ".", life));
    Put(out, "threads", std::max(1, layout.num_cores / layout.shape.num_workers));
  } else {
    PutTrainer(out, layout, process);
  }
  Put(out, "log", Text(layout.logs / (process.name + ".log")));
  Put(out, "metrics_listen", std::string("127.0.0.1:0"));
  Put(out, "ready_file", Text(layout.logs / (process.name + ".ready.json")));
  return text;
}

std::string PageUrl(const StackLayout& layout) {
  const int64_t port = PortIn(ReadyFile(layout, "coordinator"), "page_port");
  if (port == 0) return "";
  return absl::StrCat("http://127.0.0.1:", port, "/");
}

std::string TargetsJson(const StackLayout& layout) {
  nlohmann::ordered_json targets = nlohmann::ordered_json::array();
  for (const StackProcess& process : StackProcesses(layout.shape)) {
    const int64_t port = PortIn(ReadyFile(layout, process.name), "metrics_port");
    if (port == 0) continue;
    nlohmann::ordered_json labels = {{"job", process.binary}, {"process", process.name}};
    if (!layout.run_id.empty()) labels["run"] = layout.run_id;
    targets.push_back({{"targets", {absl::StrCat("127.0.0.1:", port)}},
                       {"labels", std::move(labels)}});
  }
  return targets.dump(2) + "\n";
}

}  // namespace evilmoe
