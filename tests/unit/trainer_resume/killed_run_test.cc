// A run that is killed with SIGKILL at any place ends, once resumed, with the bytes of the run that never was.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <optional>
#include <sstream>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/seed.h"
#include "nlohmann/json.hpp"
#include "tensorboard/event.pb.h"
#include "tests/unit/trainer_resume/traced_process.h"
#include "trainer/event_record.h"
#include "trainer/run_config.h"

namespace evilmoe {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::IsEmpty;
using Place = KillPoint::Place;

// Times and rates are the clock's, not the run's.
json WithoutTimes(json metrics) {
  json kept = json::object();
  for (const auto& [name, value] : metrics.items()) {
    if (!absl::EndsWith(name, "_seconds") && !absl::EndsWith(name, "_per_second")) kept[name] = value;
  }
  return kept;
}

// What a coordinator has been told by all processes of a run: by key, since a repeated call counts once.
class CoordinatorMemory {
 public:
  void Hear(const std::string& message) {
    json told = json::parse(message, nullptr, false);
    const std::string key = told.value("key", "");
    ASSERT_NE(key, "") << message;
    if (told.contains("payload")) told["payload"] = WithoutTimes(told["payload"]);
    const auto known = told_.emplace(key, told).first;
    EXPECT_TRUE(known->second == told) << key << " was told before with something else";
  }
  const std::map<std::string, json>& told() const { return told_; }

 private:
  std::map<std::string, json> told_;
};

void CopyFirstLines(const fs::path& from, const fs::path& to, int count) {
  std::istringstream in(ReadFile(from).value_or(""));
  std::string kept, line;
  for (int i = 0; i < count && std::getline(in, line); ++i) absl::StrAppend(&kept, line, "\n");
  EXPECT_TRUE(WriteFileAtomic(to, kept).ok()) << to;
}

// The nano experiment, much smaller; its problems in `folder`.
RunConfig SmallConfig(const fs::path& folder) {
  const fs::path nano = fs::path(EVILMOE_SOURCE_DIR) / "examples/nano";
  fs::create_directories(folder);
  CopyFirstLines(nano / "train.jsonl", folder / "train.jsonl", 24);
  CopyFirstLines(nano / "test.jsonl", folder / "test.jsonl", 2);
  const std::vector<Override> smaller = {{"data.train", (folder / "train.jsonl").string()},
                                         {"evaluation.problems", (folder / "test.jsonl").string()},
                                         {"evaluation.samples", "1"},
                                         {"evaluation.every", "2"},
                                         {"adapter.rank", "2"},
                                         {"rollout.prompts_per_step", "2"},
                                         {"rollout.group_size", "4"},
                                         {"rollout.max_completion_tokens", "8"},
                                         {"steps", "5"},
                                         {"checkpoint.every", "2"},
                                         {"checkpoint.keep", "2"}};
  const auto yaml = ReadFile(nano / "run.yaml");
  EXPECT_TRUE(yaml.ok()) << yaml.status();
  const auto config = ParseRunConfig(*yaml, "run.yaml", nano, smaller);
  EXPECT_TRUE(config.ok()) << config.status();
  return config.value_or(RunConfig());
}

// What differs between two maps, by key.
template <typename T>
std::vector<std::string> Differences(const std::map<std::string, T>& got, const std::map<std::string, T>& want) {
  std::vector<std::string> out;
  for (const auto& [key, value] : want) {
    const auto found = got.find(key);
    if (found == got.end())
      out.push_back(key + " is missing");
    else if (found->second != value)
      out.push_back(key + " differs");
  }
  for (const auto& [key, value] : got) {
    if (!want.contains(key)) out.push_back(key + " is left over");
  }
  return out;
}

// A run directory and its processes, one after the other.
class KillableRun {
 public:
  KillableRun(fs::path directory, const RunConfig& config) : directory_(std::move(directory)) {
    fs::create_directories(directory_);
    EXPECT_TRUE(WriteFileAtomic(directory_ / "config.yaml", ToYaml(config)).ok());
  }

  // One process of the run, to its end or its death.
  absl::StatusOr<TracedEnd> Process(const KillPoint& kill_point = {}) {
    int sockets[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0) return absl::InternalError("socketpair");
    std::jthread listener([this, socket = sockets[0]] { Listen(socket); });
    absl::StatusOr<TracedEnd> end =
        RunTraced({EVILMOE_TRAINED_RUN, directory_.string(), std::to_string(sockets[1]), std::to_string(++processes_)},
                  sockets[1], kill_point);
    close(sockets[1]);  // the listener reads what is left, then the end
    listener.join();
    close(sockets[0]);
    return end;
  }

  // Every file that the run wrote, by its path, times and rates aside. The steps of all files for TensorBoard, of which
  // each process writes one, count as one.
  std::map<std::string, std::string> Files() const {
    std::map<std::string, std::string> files, event_files;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(directory_)) {
      const std::string name = entry.path().lexically_relative(directory_).string();
      if (!entry.is_regular_file() || name == "log" || name == "config.yaml") continue;
      const std::string bytes = ReadFile(entry.path()).value_or("unreadable");
      if (name.starts_with("tensorboard/"))
        event_files[name] = bytes;
      else
        files[name] = name == "metrics.jsonl" ? LinesWithoutTimes(bytes) : name == "trace.json" ? Spans(bytes) : bytes;
    }
    for (const auto& [name, bytes] : event_files) absl::StrAppend(&files["tensorboard"], EventsWithoutTimes(bytes));
    return files;
  }
  const std::map<std::string, json>& told() const { return coordinator_.told(); }

 private:
  static std::string LinesWithoutTimes(const std::string& text) {
    std::istringstream in(text);
    std::string out;
    for (std::string line; std::getline(in, line);) {
      const json metrics = json::parse(line, nullptr, false);
      EXPECT_TRUE(metrics.is_object()) << line;
      absl::StrAppend(&out, WithoutTimes(metrics).dump(), "\n");
    }
    return out;
  }
  // The ids of a trace's spans, in order.
  static std::string Spans(const std::string& text) {
    std::istringstream in(text);
    std::string out;
    for (std::string line; std::getline(in, line);) {
      if (line.empty() || line.back() != ',') continue;
      line.pop_back();
      const json event = json::parse(line, nullptr, false);
      EXPECT_TRUE(event.is_object()) << line;
      if (event.is_object() && event["ph"] == "X") absl::StrAppend(&out, event["args"]["span"].dump(), "\n");
    }
    return out;
  }
  static std::string EventsWithoutTimes(const std::string& bytes) {
    const EventRecords records = ReadEventRecords(bytes);
    EXPECT_EQ(records.whole_bytes, bytes.size());
    std::string out;
    for (const std::string_view data : records.data) {
      tensorboard::Event event;
      EXPECT_TRUE(event.ParseFromString(std::string(data)));
      if (!event.has_summary()) continue;
      for (const tensorboard::Summary::Value& value : event.summary().value()) {
        const std::string& tag = value.tag();
        if (tag == "step_time" || tag.starts_with("time/") || tag.starts_with("timing_s/")) continue;
        absl::StrAppend(&out, event.step(), " ", value.ShortDebugString(), "\n");
      }
    }
    return out;
  }
  void Listen(int socket) {
    std::string buffer(1 << 20, '\0');
    for (ssize_t n; (n = recv(socket, buffer.data(), buffer.size(), 0)) > 0;) {
      coordinator_.Hear(buffer.substr(0, static_cast<size_t>(n)));
    }
  }

  const fs::path directory_;
  CoordinatorMemory coordinator_;
  int processes_ = 0;
};

class KilledRunTest : public ::testing::Test {
 protected:
  KilledRunTest() : directory_(fs::temp_directory_path() / absl::StrCat("evilmoe_killed_", getpid())) {
    fs::remove_all(directory_);
  }
  ~KilledRunTest() override { fs::remove_all(directory_); }

  // The run that nobody kills.
  void SetUp() override {
    config_ = SmallConfig(directory_ / "problems");
    straight_.emplace(directory_ / "straight", config_);
    const absl::StatusOr<TracedEnd> end = straight_->Process();
    if (absl::IsPermissionDenied(end.status())) {
      GTEST_SKIP() << end.status().message() << ": a kill at a chosen system call needs it";
    }
    ASSERT_TRUE(end.ok()) << end.status();
    ASSERT_EQ(end->exit_code, 0);
    straight_end_ = *end;
    files_ = straight_->Files();
    // What the comparison is worth: the run left all it should.
    for (const char* name : {"metrics.jsonl", "checkpoints/latest", "checkpoints/step-4/adapter.safetensors",
                             "checkpoints/step-5/trainer.safetensors", "rollouts/step-1.jsonl.zst",
                             "eval/ablation-step-2.json", "eval/ablation.json", "tensorboard", "trace.json"}) {
      EXPECT_TRUE(files_.contains(name)) << name;
    }
    for (const char* key : {"step/1", "step/5", "ablation/step-2", "ablation/end", "adapter/5"}) {
      EXPECT_TRUE(straight_->told().contains(key)) << key;
    }
  }

  // Kills a run at these places, one process after the other, lets the last process run to the end and compares.
  void KillAndCompare(const std::string& name, const std::vector<KillPoint>& kill_points) {
    KillableRun run(directory_ / name, config_);
    for (const KillPoint& kill_point : kill_points) {
      const absl::StatusOr<TracedEnd> killed = run.Process(kill_point);
      ASSERT_TRUE(killed.ok()) << killed.status();
      ASSERT_EQ(killed->exit_code, -1) << "not killed";
    }
    const absl::StatusOr<TracedEnd> end = run.Process();
    ASSERT_TRUE(end.ok()) << end.status();
    ASSERT_EQ(end->exit_code, 0);
    EXPECT_THAT(Differences(run.Files(), files_), IsEmpty());
    EXPECT_THAT(Differences(run.told(), straight_->told()), IsEmpty());
  }

  // A place drawn by the seed's `draw`-th number.
  KillPoint Draw(Place place, uint64_t seed, uint64_t draw = 0) const {
    const int64_t count = place == Place::kTornWrite ? straight_end_.writes : straight_end_.system_calls;
    RandomStream stream(StreamSeed(seed, "kill_point", draw));
    return {place, stream.Int(0, count - 1)};
  }

  const fs::path directory_;
  RunConfig config_;
  std::optional<KillableRun> straight_;
  TracedEnd straight_end_;
  std::map<std::string, std::string> files_;
};

TEST_F(KilledRunTest, EndsWithTheSameBytesWhereverItIsKilled) {
  ASSERT_GT(straight_end_.system_calls, 500);
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const KillPoint kill_point = Draw(Place::kSystemCall, seed);
    SCOPED_TRACE(absl::StrCat("seed ", seed, ": place ", kill_point.index, " of ", straight_end_.system_calls));
    KillAndCompare(absl::StrCat("killed-", seed), {kill_point});
  }
}

TEST_F(KilledRunTest, EndsWithTheSameBytesWhenAWriteIsTorn) {
  if (!CanTearWrites()) GTEST_SKIP() << "the registers of this processor are not known to traced_process.cc";
  ASSERT_GT(straight_end_.writes, 20);
  for (uint64_t seed = 0; seed < 5; ++seed) {
    const KillPoint kill_point = Draw(Place::kTornWrite, seed);
    SCOPED_TRACE(absl::StrCat("seed ", seed, ": write ", kill_point.index, " of ", straight_end_.writes));
    KillAndCompare(absl::StrCat("torn-", seed), {kill_point});
  }
}

TEST_F(KilledRunTest, EndsWithTheSameBytesWhenTheResumedRunIsKilledToo) {
  KillPoint first = Draw(Place::kSystemCall, 0), second = Draw(Place::kSystemCall, 1);
  first.index /= 2;   // in the first half
  second.index /= 2;  // what is left is at least as much
  KillAndCompare("twice", {first, second});
}

}  // namespace
}  // namespace evilmoe
