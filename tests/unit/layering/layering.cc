#include "tests/unit/layering/layering.h"

#include <algorithm>
#include <map>
#include <regex>
#include <set>

#include "absl/strings/str_cat.h"
#include "common/file.h"

namespace evilmoe {
namespace {

using Names = std::set<std::string, std::less<>>;

// Each folder and those that it may include beside itself.
const std::map<std::string, Names, std::less<>>& Layers() {
  static const auto* layers = new std::map<std::string, Names, std::less<>>{
      {"common", {}},
      {"proto", {"common"}},
      {"policy", {"common"}},
      {"environment", {"common"}},
      {"grader_sandbox", {"common", "proto", "environment"}},
      {"dataset", {"common", "policy", "environment", "grader_sandbox"}},
      {"trainer", {"common", "proto", "policy", "environment"}},
      {"rollout_workers", {"common", "proto", "policy", "environment", "grader_sandbox", "trainer"}},
      {"services", {"common", "proto", "policy", "environment", "grader_sandbox", "trainer", "rollout_workers"}}};
  return *layers;
}

// The same between the folders of services/.
const std::map<std::string, Names, std::less<>>& Services() {
  static const auto* services = new std::map<std::string, Names, std::less<>>{
      {"runs", {}},
      {"web", {}},
      {"report", {"runs", "web"}},
      {"coordinator", {"runs", "web", "report"}},
      {"page", {"runs", "web", "report", "coordinator"}},
      {"ctl", {"runs", "web", "report"}}};
  return *services;
}

std::string FirstFolder(std::string_view path) { return std::string(path.substr(0, path.find('/'))); }

bool IsTorch(std::string_view include) {
  static const Names kFolders = {"torch", "ATen", "c10", "caffe2"};
  return kFolders.contains(FirstFolder(include));
}

bool IsGrpc(std::string_view include) {
  return include.starts_with("grpcpp/") || include.starts_with("grpc/") || include.ends_with(".grpc.pb.h");
}

bool IsIsolation(std::string_view include) {
  static const Names kHeaders = {"sys/mount.h", "seccomp.h", "linux/seccomp.h", "linux/sched.h"};
  return kHeaders.contains(include);
}

bool MayUseTorch(std::string_view path) {
  const std::string folder = FirstFolder(path);
  return folder == "policy" || folder == "trainer" || folder == "rollout_workers";
}

bool MayUseGrpc(std::string_view path) {
  const std::string stem = std::filesystem::path(path).stem().string();
  return stem.ends_with("_service") || stem.ends_with("_client") || path.ends_with("/main.cc") ||
         path.starts_with("proto/grpc_");
}

bool MayIsolate(std::string_view path) { return path.starts_with("grader_sandbox/os_"); }

// The line without its comment and without the inside of its string literals.
std::string CodeOf(std::string_view line) {
  std::string code;
  bool in_string = false;
  for (size_t i = 0; i < line.size(); ++i) {
    if (in_string && line[i] == '\\') {
      ++i;
    } else if (line[i] == '"') {
      in_string = !in_string;
    } else if (!in_string && line.substr(i).starts_with("//")) {
      break;
    } else if (!in_string) {
      code += line[i];
    }
  }
  return code;
}

// "" or why `path` may not include `include`, both of services/.
std::string WhyNotBeside(std::string_view path, std::string_view include) {
  constexpr size_t kBehind = std::string_view("services/").size();
  const std::string own = FirstFolder(path.substr(kBehind));
  const std::string other = FirstFolder(include.substr(kBehind));
  // The coordinator's process is put together of its state and the page that looks at it.
  if (path == "services/coordinator/main.cc" && other == "page") return "";
  if (own == other || !Services().contains(own) || Services().at(own).contains(other)) return "";
  return absl::StrCat("services/", own, "/ must not include services/", other, "/");
}

// "" or why `path` may not include `include`.
std::string WhyNot(std::string_view path, std::string_view include) {
  if (IsTorch(include) && !MayUseTorch(path)) return "LibTorch, allowed in policy/, trainer/, rollout_workers/";
  if (IsGrpc(include) && !MayUseGrpc(path)) return "gRPC, allowed in *_service.*, *_client.*, main.cc";
  if (IsIsolation(include) && !MayIsolate(path)) return "isolation, allowed in grader_sandbox/os_*";
  const std::string own = FirstFolder(path);
  const std::string other = include.starts_with("evilmoe/v1/") ? "proto" : FirstFolder(include);
  if (other == "tests" || other == "bench") return "a folder that no product code may include";
  if (own == "services" && other == "services") return WhyNotBeside(path, include);
  if (other == own || !Layers().contains(other) || Layers().at(own).contains(other)) return "";
  return absl::StrCat(own, "/ must not include ", other, "/");
}

}  // namespace

std::vector<std::string> LayeringProblemsOf(std::string_view path, std::string_view source) {
  static const std::regex kInclude(R"(^\s*#\s*include\s*["<]([^">]+)[">])");
  // A free function, not a member such as tensor.clone() and not a name that ends the same way.
  static const std::regex kSystemCall(
      R"((^|[^\w.>:]|[^\w]::)(fork|vfork|clone|clone3|unshare|setns|mount|umount2|pivot_root|seccomp_load)\s*\()");
  std::vector<std::string> problems;
  int number = 0;
  while (!source.empty()) {
    ++number;
    const size_t end = std::min(source.find('\n'), source.size());
    const std::string line(source.substr(0, end));
    source.remove_prefix(std::min(end + 1, source.size()));
    const std::string place = absl::StrCat(std::string(path), ":", number, ": ");
    std::smatch match;
    if (std::regex_search(line, match, kInclude)) {
      const std::string why = WhyNot(path, match[1].str());
      if (!why.empty()) problems.push_back(absl::StrCat(place, "includes ", match[1].str(), ": ", why));
      continue;
    }
    const std::string code = CodeOf(line);
    if (!MayIsolate(path) && std::regex_search(code, match, kSystemCall)) {
      problems.push_back(
          absl::StrCat(place, "calls ", match[2].str(), "(): isolation, allowed in grader_sandbox/os_*"));
    }
  }
  return problems;
}

LayeringReport CheckLayering(const std::filesystem::path& root) {
  LayeringReport report;
  for (const auto& [folder, allowed] : Layers()) {
    std::error_code error;
    std::filesystem::recursive_directory_iterator it(root / folder, error);
    for (const std::filesystem::recursive_directory_iterator end; !error && it != end; it.increment(error)) {
      const std::filesystem::path& file = it->path();
      if (!it->is_regular_file() || (file.extension() != ".h" && file.extension() != ".cc")) continue;
      ++report.num_files;
      const std::string path = file.lexically_relative(root).generic_string();
      const absl::StatusOr<std::string> source = ReadFile(file);
      const std::vector<std::string> problems =
          source.ok() ? LayeringProblemsOf(path, *source) : std::vector{std::string(source.status().message())};
      report.problems.insert(report.problems.end(), problems.begin(), problems.end());
    }
  }
  std::sort(report.problems.begin(), report.problems.end());
  return report;
}

}  // namespace evilmoe
