// coordinator_load: lease and complete pairs a second of one evilmoe-coordinator, started here, under many workers.

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "bench/load_workers_client.h"
#include "common/child_process.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "nlohmann/json.hpp"
#include "trainer/run_config.h"

namespace evilmoe {
namespace {

// A coordinator of our own, ended with this object.
class Coordinator {
 public:
  static absl::StatusOr<std::unique_ptr<Coordinator>> Start(const std::filesystem::path& binary,
                                                            const std::string& database) {
    std::string pattern = (std::filesystem::temp_directory_path() / "load_XXXXXX").string();
    auto coordinator = std::unique_ptr<Coordinator>(new Coordinator(mkdtemp(pattern.data())));
    const std::filesystem::path& folder = coordinator->folder_;
    EVILMOE_RETURN_IF_ERROR(WriteFileAtomic(
        folder / "c.yaml", absl::StrCat("listen: \"", coordinator->Address(), "\"\ndatabase: \"",
                                        database.empty() ? (folder / "store.db").string() : database,
                                        "\"\nlog: c.log\nready_file: ready.json\n")));
    EVILMOE_ASSIGN_OR_RETURN(coordinator->pid_, Spawn({.binary = binary,
                                                       .arguments = {"--config", (folder / "c.yaml").string()},
                                                       .output = folder / "output"}));
    for (int i = 0; i < 500 && !std::filesystem::exists(folder / "ready.json"); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    if (std::filesystem::exists(folder / "ready.json")) return coordinator;
    return absl::UnavailableError(ReadFile(folder / "output").value_or("the coordinator does not serve"));
  }
  ~Coordinator() {
    if (pid_ > 0) {
      kill(pid_, SIGTERM);
      for (int i = 0; i < 500 && !Reap(pid_); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  std::string Address() const { return absl::StrCat("unix:", (folder_ / "c.sock").string()); }

  double ResidentMegabytes() const {
    std::ifstream file(absl::StrCat("/proc/", pid_, "/statm"));
    int64_t size = 0, resident = 0;
    file >> size >> resident;
    return static_cast<double>(resident * sysconf(_SC_PAGESIZE)) / 1e6;
  }
  double CpuSeconds() const {
    const std::string text = ReadFile(absl::StrCat("/proc/", pid_, "/stat")).value_or("");
    std::istringstream rest(text.substr(text.rfind(')') + 2));
    std::string word;
    for (int i = 0; i < 11; ++i) rest >> word;
    int64_t user = 0, system = 0;
    rest >> user >> system;
    return static_cast<double>(user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
  }

 private:
  explicit Coordinator(std::filesystem::path folder) : folder_(std::move(folder)) {}
  const std::filesystem::path folder_;
  pid_t pid_ = 0;
};

double Quantile(const std::vector<double>& sorted, double q) {
  if (sorted.empty()) return 0;
  return sorted[std::min(sorted.size() - 1, static_cast<size_t>(q * static_cast<double>(sorted.size())))];
}

absl::Status Measure(const std::filesystem::path& binary, const std::string& database, LoadOptions options) {
  EVILMOE_ASSIGN_OR_RETURN(const std::unique_ptr<Coordinator> coordinator, Coordinator::Start(binary, database));
  options.address = coordinator->Address();
  const std::filesystem::path file = std::filesystem::path(EVILMOE_SOURCE_DIR) / "examples/nano/run.yaml";
  EVILMOE_ASSIGN_OR_RETURN(const std::string text, ReadFile(file));
  EVILMOE_ASSIGN_OR_RETURN(const RunConfig config, ParseRunConfig(text, file.string(), file.parent_path()));
  options.config_yaml = ToYaml(config);
  const double cpu = coordinator->CpuSeconds();
  nlohmann::ordered_json memory = nlohmann::ordered_json::array();
  std::atomic<bool> done = false;
  std::jthread watching([&] {
    for (int i = 0; !done; ++i) {
      if (i % 50 == 0) memory.push_back(coordinator->ResidentMegabytes());
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
  });
  const absl::StatusOr<LoadResult> result = RunLoad(options);
  done = true;
  watching.join();
  EVILMOE_RETURN_IF_ERROR(result.status());
  memory.push_back(coordinator->ResidentMegabytes());
  const nlohmann::ordered_json line = {
      {"store", database.empty() ? "sqlite" : "postgresql"},
      {"workers", options.workers},
      {"samples", options.samples},
      {"tokens", options.tokens},
      {"groups_per_batch", options.groups_per_batch},
      {"rate", options.rate},
      {"pairs", result->pairs},
      {"pairs_per_second", static_cast<double>(result->pairs) / result->seconds},
      {"lease_ms_p50", Quantile(result->lease_ms, 0.5)},
      {"lease_ms_p99", Quantile(result->lease_ms, 0.99)},
      {"complete_ms_p50", Quantile(result->complete_ms, 0.5)},
      {"complete_ms_p99", Quantile(result->complete_ms, 0.99)},
      {"late_arrivals", result->late_arrivals},
      {"coordinator_cpu_us_per_pair", (coordinator->CpuSeconds() - cpu) * 1e6 / static_cast<double>(result->pairs)},
      {"resident_mb_every_5s", memory}};
  std::cout << line.dump() << std::endl;
  return absl::OkStatus();
}

}  // namespace
}  // namespace evilmoe

int main(int argc, char** argv) {
  CLI::App app{"Lease and complete pairs a second of one coordinator, started here, under many workers."};
  evilmoe::LoadOptions options;
  std::string database, binary;
  app.add_option("--workers", options.workers, "Workers, a connection each");
  app.add_option("--samples", options.samples, "Samples of a group");
  app.add_option("--tokens", options.tokens, "Tokens of a sample");
  app.add_option("--groups-per-batch", options.groups_per_batch, "Groups of a batch");
  app.add_option("--groups", options.groups, "Pairs to measure; 0 = by --seconds");
  app.add_option("--seconds", options.seconds, "Of measurement");
  app.add_option("--rate", options.rate, "Poisson arrivals of pairs a second; 0 = closed loop");
  app.add_option("--database", database, "postgresql://...; default: a SQLite file of its own");
  app.add_option("--coordinator", binary, "evilmoe-coordinator; default: beside this program");
  CLI11_PARSE(app, argc, argv);
  std::error_code ignored;
  if (binary.empty()) {
    binary = std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path() / "evilmoe-coordinator";
  }
  const absl::Status status = evilmoe::Measure(binary, database, options);
  if (status.ok()) return 0;
  std::cerr << "coordinator_load: " << status.message() << "\n";
  return 1;
}
