// Changes a second that the coordinator's stores make durable, against the number of changes in one Apply().
//
//   store_bench [--seconds S] [--result-bytes N] [--postgres URI] [--folder F]
//
// The changes are those of groups that are leased and finished: a lease of group i, then the end of group i - 1000 (or
// what there is of 1000 workers), so that a lease and its own end never meet in one transaction. Each table names the
// store's durability. Without --postgres a private server is started, with fsync as servers have it; where none is
// installed the table is left out. Do not name a database that is in use: the runs of the benchmark stay in it.

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/status_macros.h"
#include "services/coordinator/open_store.h"
#include "tests/fakes/private_postgres.h"

namespace evilmoe {
namespace {

constexpr int64_t kGroupsPerBatch = 20000;
constexpr int64_t kNumWorkers = 1000;

struct Options {
  double seconds = 2;
  size_t result_bytes = 2000;
  std::string postgres;
  std::string folder = "/tmp";
};

// Gives changes of groups without end.
class PairSource {
 public:
  PairSource(Store& store, size_t result_bytes) : store_(store) {
    std::string result(result_bytes, '\0');
    for (size_t i = 0; i < result.size(); ++i) result[i] = static_cast<char>(i * 2654435761U >> 13);
    result_ = std::make_shared<const std::string>(std::move(result));
  }

  absl::Status OpenRun() { return store_.Apply(std::vector<StoreChange>{PutRun{{.run_id = "bench"}}}); }

  absl::StatusOr<std::vector<StoreChange>> Next(size_t num_changes) {
    std::vector<StoreChange> changes;
    while (changes.size() < num_changes) {
      if (next_ == kGroupsPerBatch + kNumWorkers) EVILMOE_RETURN_IF_ERROR(OpenBatch());
      if (half_) {
        if (next_ >= kNumWorkers) changes.push_back(Finish(next_ - kNumWorkers));
        ++next_;
      } else if (next_ < kGroupsPerBatch) {
        changes.push_back(Lease(next_));
      }
      half_ = !half_;
    }
    return changes;
  }

 private:
  absl::Status OpenBatch() {
    auto groups = std::make_shared<std::vector<GroupTask>>();
    for (int64_t i = 0; i < kGroupsPerBatch; ++i) {
      groups->push_back({.index = i, .num_samples = 8, .spec = std::string(200, 's')});
    }
    next_ = 0;
    ++batch_;
    return store_.Apply(std::vector<StoreChange>{
        DropBatch{batch_ - 1},
        PutBatch{{.id = batch_, .run_id = "bench", .key = absl::StrCat("step/", batch_)}, groups}});
  }
  PutLease Lease(int64_t index) {
    return {.batch_id = batch_,
            .index = index,
            .lease_id = ++last_lease_,
            .worker_id = "worker-0123456789",
            .adapter = {.run_id = "bench", .step = 1, .sha256 = std::string(64, 'a'), .size_bytes = 1}};
  }
  FinishGroup Finish(int64_t index) {
    return {.batch_id = batch_, .place = index, .group = {.index = index, .num_samples = 8, .result = result_}};
  }

  Store& store_;
  std::shared_ptr<const std::string> result_;
  int64_t batch_ = 0;
  int64_t next_ = kGroupsPerBatch + kNumWorkers;
  int64_t last_lease_ = 0;
  bool half_ = false;  // the lease of next_ is out
};

// One line of the table.
absl::Status Measure(Store& store, PairSource& source, size_t num_changes, const Options& options) {
  std::vector<double> milliseconds;
  absl::Duration busy;
  while (busy < absl::Seconds(options.seconds) || milliseconds.empty()) {
    EVILMOE_ASSIGN_OR_RETURN(const std::vector<StoreChange> changes, source.Next(num_changes));
    const absl::Time start = absl::Now();
    EVILMOE_RETURN_IF_ERROR(store.Apply(changes));
    const absl::Duration took = absl::Now() - start;
    busy += took;
    milliseconds.push_back(absl::ToDoubleMilliseconds(took));
  }
  std::ranges::sort(milliseconds);
  const double rate = static_cast<double>(milliseconds.size() * num_changes) / absl::ToDoubleSeconds(busy);
  std::printf("| %zu | %.0f | %.0f | %.2f | %.2f |\n", num_changes, rate, rate / 2,
              milliseconds[milliseconds.size() / 2], milliseconds[milliseconds.size() * 99 / 100]);
  std::fflush(stdout);
  return absl::OkStatus();
}

absl::Status MeasureStore(const std::string& database, const Options& options) {
  EVILMOE_ASSIGN_OR_RETURN(const std::unique_ptr<Store> store, OpenStore(database));
  EVILMOE_RETURN_IF_ERROR(store->Load().status());
  PairSource source(*store, options.result_bytes);
  EVILMOE_RETURN_IF_ERROR(source.OpenRun());
  std::printf(
      "\n%s, results of %zu bytes\n\n| changes an Apply | changes/s | pairs/s | p50 ms | p99 ms "
      "|\n|---|---|---|---|---|\n",
      store->Description().c_str(), options.result_bytes);
  for (const size_t num_changes : {1, 10, 100, 1000}) {
    EVILMOE_RETURN_IF_ERROR(Measure(*store, source, num_changes, options));
  }
  return absl::OkStatus();
}

absl::Status Run(const Options& options) {
  std::string pattern = (std::filesystem::path(options.folder) / "store_bench_XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) return absl::UnavailableError(absl::StrCat(pattern, ": cannot be made"));
  const absl::Status sqlite = MeasureStore((std::filesystem::path(pattern) / "store.db").string(), options);
  std::filesystem::remove_all(pattern);
  EVILMOE_RETURN_IF_ERROR(sqlite);
  if (!options.postgres.empty()) return MeasureStore(options.postgres, options);
  const absl::StatusOr<std::unique_ptr<PrivatePostgres>> server =
      PrivatePostgres::Start(PrivatePostgres::Durability::kOn);
  if (absl::IsNotFound(server.status())) {
    std::printf("\nPostgreSQL left out: %s\n", std::string(server.status().message()).c_str());
    return absl::OkStatus();
  }
  EVILMOE_RETURN_IF_ERROR(server.status());
  EVILMOE_ASSIGN_OR_RETURN(const std::string database, (*server)->NewDatabase());
  return MeasureStore((*server)->Uri(database), options);
}

}  // namespace
}  // namespace evilmoe

int main(int argc, char** argv) {  // NOLINT(bugprone-exception-escape): a std::variant's copy throws if its content does
  CLI::App app{"Measures the coordinator's stores."};
  evilmoe::Options options;
  app.add_option("--seconds", options.seconds, "a line of a table");
  app.add_option("--result-bytes", options.result_bytes, "of a finished group");
  app.add_option("--postgres", options.postgres, "postgresql://... of an empty database");
  app.add_option("--folder", options.folder, "where the SQLite file is made");
  CLI11_PARSE(app, argc, argv);
  const absl::Status status = evilmoe::Run(options);
  if (status.ok()) return 0;
  std::cerr << "store_bench: " << status << "\n";
  return 1;
}
