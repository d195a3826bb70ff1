#include "services/runs/run_directory.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/file.h"

namespace evilmoe {
namespace {

RunSummary Summary(const std::string& id, const std::string& name, const std::string& state = "running") {
  RunSummary run;
  run.run_id = id;
  run.name = name;
  run.arm = "evil_moe";
  run.state = state;
  run.steps_total = 5;
  return run;
}

const char* const kA = "01ARYZ6S410000000000000000";
const char* const kB = "01ARYZ6S420000000000000000";
const char* const kC = "01BRYZ6S410000000000000000";

struct PickCase {
  const char* name;
  std::string word;
  std::string want;  // the id, or the message
  absl::StatusCode code = absl::StatusCode::kOk;
};

class PickRunTest : public ::testing::TestWithParam<PickCase> {};

TEST_P(PickRunTest, FindsTheRunThatIsMeant) {
  const std::vector<RunSummary> runs = {Summary(kA, "nano"), Summary(kB, "nano"), Summary(kC, "01a")};
  const absl::StatusOr<RunSummary> run = PickRun(runs, GetParam().word);
  ASSERT_EQ(run.status().code(), GetParam().code) << run.status();
  EXPECT_EQ(run.ok() ? run->run_id : std::string(run.status().message()), GetParam().want);
}

INSTANTIATE_TEST_SUITE_P(
    Cases, PickRunTest,
    ::testing::ValuesIn(std::vector<PickCase>{
        {"WholeId", kA, kA},
        {"Prefix", "01B", kC},
        {"LowerCasePrefix", "01aryz6s42", kB},
        {"NewestOfAName", "nano", kB},
        {"NameBeforePrefix", "01a", kC},
        {"Nothing", "other",
         "run other: not found, expected an id, the start of one, or a name; `evilmoe-ctl list` shows them",
         absl::StatusCode::kNotFound},
        {"EmptyWord", "", "run : not found, expected an id, the start of one, or a name; `evilmoe-ctl list` shows them",
         absl::StatusCode::kNotFound},
        {"Ambiguous", "01AR",
         "run 01AR: 2 ids start so (01ARYZ6S410000000000000000, 01ARYZ6S420000000000000000), expected more letters",
         absl::StatusCode::kInvalidArgument}}),
    [](const auto& c) { return c.param.name; });

class RunDirectoryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    home_ = std::filesystem::path(::testing::TempDir()) /
            (std::string("runs_") + ::testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::remove_all(home_);
    directory_ = RunDirectory{home_ / kA};
    ASSERT_TRUE(directory_.Create().ok());
  }
  void TearDown() override { std::filesystem::remove_all(home_); }
  std::filesystem::path home_;
  RunDirectory directory_;
};

TEST_F(RunDirectoryTest, SummaryReadsBackAsItWasWritten) {
  RunSummary run = Summary(kA, "nano", "failed");
  run.error = "a \"bad\" \xff byte";
  run.steps_done = 3;
  run.finished_unix_ms = 12;
  run.last_seq = 9;
  run.config_sha256 = "c5";
  run.priority = -3;
  run.slots = 2;
  run.sweep = "arms";
  run.adapter_step = 3;
  run.adapter_sha256 = "a5";
  run.model_fingerprint = "f9";
  ASSERT_TRUE(directory_.WriteSummary(run).ok());
  const absl::StatusOr<RunSummary> read = directory_.ReadSummary();
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->state, "failed");
  EXPECT_EQ(read->error, "a \"bad\" \uFFFD byte");
  EXPECT_EQ(read->steps_done, 3);
  EXPECT_EQ(read->finished_unix_ms, 12);
  EXPECT_EQ(read->last_seq, 9);
  EXPECT_EQ(read->directory, directory_.path.string());
  EXPECT_EQ(ToJson(*read)["adapter"], (nlohmann::ordered_json{{"step", 3}, {"sha256", "a5"}}));
  run.error = read->error;  // bad bytes are gone
  run.directory = read->directory;
  EXPECT_EQ(ToJson(*read), ToJson(run));
}

TEST_F(RunDirectoryTest, ReadsTheSummaryOfAnEarlierVersion) {
  nlohmann::ordered_json json = ToJson(Summary(kA, "nano", "succeeded"));
  for (const char* later : {"config_sha256", "priority", "slots", "sweep", "adapter", "model_fingerprint"}) json.erase(later);
  const absl::StatusOr<RunSummary> run = RunSummaryFromJson(nlohmann::json::parse(json.dump()));
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_EQ(run->adapter_step, -1);
  EXPECT_EQ(run->sweep, "");
  for (const char* bad : {R"({"priority": "high"})", R"({"adapter": 5})", R"({"adapter": {"step": 1}})"}) {
    nlohmann::json with = nlohmann::json::parse(json.dump());
    with.update(nlohmann::json::parse(bad));
    EXPECT_FALSE(RunSummaryFromJson(with).ok()) << bad;
  }
}

TEST_F(RunDirectoryTest, ARunOfTheHomesStackGoesByThatOnesLock) {
  const RunDirectory other{home_ / kB};
  std::filesystem::create_directories(other.path);
  ASSERT_TRUE(other.WriteSummary(Summary(kB, "nano", "running")).ok());
  EXPECT_FALSE(other.IsPrivate());
  EXPECT_TRUE(directory_.IsPrivate());
  const HomeDirectory home{home_};
  EXPECT_FALSE(home.IsUp());
  EXPECT_EQ(other.ReadSummary()->state, "interrupted");
  const int fd = open(home.Lock().c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  ASSERT_EQ(flock(fd, LOCK_EX | LOCK_NB), 0);
  EXPECT_TRUE(home.IsUp());
  EXPECT_FALSE(home.ReadServed().has_value()) << "it does not serve yet";
  ASSERT_TRUE(WriteFileAtomic(home.File(), R"({"pid": 7, "endpoint": "unix:/x"})").ok());
  ASSERT_TRUE(home.ReadServed().has_value());
  EXPECT_EQ(home.ReadServed()->endpoint, "unix:/x");
  EXPECT_EQ(other.ReadSummary()->state, "running");
  ASSERT_TRUE(directory_.WriteSummary(Summary(kA, "nano", "running")).ok());
  EXPECT_EQ(directory_.ReadSummary()->state, "interrupted") << "its own stack is gone";
  close(fd);
  EXPECT_FALSE(home.ReadServed().has_value());
}

TEST_F(RunDirectoryTest, APausedRunNeedsNoStack) {
  ASSERT_TRUE(directory_.WriteSummary(Summary(kA, "nano", "paused")).ok());
  EXPECT_EQ(directory_.ReadSummary()->state, "paused");
}

TEST_F(RunDirectoryTest, ARunWithoutItsStackIsInterrupted) {
  ASSERT_TRUE(directory_.WriteSummary(Summary(kA, "nano", "running")).ok());
  EXPECT_EQ(directory_.ReadSummary()->state, "interrupted");
  const int fd = open(directory_.StackLock().c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  ASSERT_EQ(flock(fd, LOCK_EX | LOCK_NB), 0);
  EXPECT_TRUE(directory_.HasStack());
  EXPECT_EQ(directory_.ReadSummary()->state, "running");
  close(fd);
  EXPECT_FALSE(directory_.HasStack());
}

TEST_F(RunDirectoryTest, CreateRefusesAFolderThatIsThere) {
  EXPECT_EQ(directory_.Create().code(), absl::StatusCode::kAlreadyExists);
}

TEST_F(RunDirectoryTest, ABrokenSummaryIsDataLoss) {
  for (const char* text : {"", "[]", "{", R"({"run_id": 5})"}) {
    ASSERT_TRUE(WriteFileAtomic(directory_.Summary(), text).ok());
    EXPECT_EQ(directory_.ReadSummary().status().code(), absl::StatusCode::kDataLoss) << text;
  }
}

TEST_F(RunDirectoryTest, ListLeavesOutWhatIsNoRun) {
  ASSERT_TRUE(directory_.WriteSummary(Summary(kA, "nano")).ok());
  const RunDirectory other{home_ / kB};
  ASSERT_TRUE(other.Create().ok());
  ASSERT_TRUE(other.WriteSummary(Summary(kB, "second")).ok());
  ASSERT_TRUE(RunDirectory{home_ / kC}.Create().ok());  // no run.json
  ASSERT_TRUE(std::filesystem::create_directory(home_ / "notes"));
  const std::vector<RunSummary> runs = ListRuns(home_);
  ASSERT_EQ(runs.size(), 2u);
  EXPECT_EQ(runs[0].run_id, kA);
  EXPECT_EQ(runs[1].name, "second");
  EXPECT_TRUE(ListRuns(home_ / "none").empty());
}

}  // namespace
}  // namespace evilmoe
