#include "services/coordinator/run_mirror.h"

#include "absl/strings/str_split.h"
#include "common/file.h"
#include "services/runs/run_directory.h"
#include "services/runs/run_feed.h"
#include "tests/unit/services_coordinator/coordinator_fixture.h"

namespace evilmoe {
namespace {

using ::testing::ElementsAre;

// A run of the fixture's core, and the files that are copied of it.
class RunMirrorTest : public CoordinatorFixture {
 protected:
  RunMirrorTest() { std::filesystem::create_directories(directory_.path); }

  JobFenceKey Begin() {
    Submit("R");
    return Acquire("T");
  }
  void Record(const JobFenceKey& fence, const std::string& key) {
    ASSERT_TRUE(core_->RecordEvent(fence, key, {.kind = "step", .payload_json = "{\"step\":1}"}, 1).ok());
  }
  // Everything that the core has now is in the files when it returns.
  void Mirror() {
    RunMirror mirror(logger_);
    mirror.Start(core_->core());
    mirror.Stop();
  }
  std::vector<int64_t> Copied() const {
    std::vector<int64_t> numbers;
    for (const absl::string_view line : absl::StrSplit(ReadFile(directory_.Events()).value_or(""), '\n')) {
      if (line.empty()) continue;
      const std::optional<RunEventView> event = ParseEventLine(std::string(line));
      numbers.push_back(event ? event->seq : -1);
    }
    return numbers;
  }

  const RunDirectory directory_{folder_ / "R"};
};

TEST_F(RunMirrorTest, CopiesEventsAndTheRunAsTheStoreHasThem) {
  const JobFenceKey fence = Begin();
  const AdapterName adapter = Publish(fence, 1, "bytes");
  Record(fence, "step/1");
  Mirror();
  EXPECT_THAT(Copied(), ElementsAre(1, 2));
  const auto run = RunSummaryFromJson(nlohmann::json::parse(ReadFile(directory_.Summary()).value()));
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_EQ(run->state, "running");
  EXPECT_EQ(run->steps_done, 1);
  EXPECT_EQ(run->last_seq, 2);
  EXPECT_EQ(run->slots, 1);
  EXPECT_EQ(run->adapter_step, 1);
  EXPECT_EQ(run->adapter_sha256, adapter.sha256);
}

TEST_F(RunMirrorTest, GoesOnWhereItWasAndCopiesNothingTwice) {
  const JobFenceKey fence = Begin();
  Mirror();
  Record(fence, "step/1");
  Mirror();
  Mirror();
  EXPECT_THAT(Copied(), ElementsAre(1, 2));
}

TEST_F(RunMirrorTest, CutsOffWhatACrashTore) {
  const JobFenceKey fence = Begin();
  Mirror();
  ASSERT_TRUE(AppendFile(directory_.Events(), "{\"seq\":2,\"unix").ok());
  Record(fence, "step/1");
  Mirror();
  EXPECT_THAT(Copied(), ElementsAre(1, 2));
}

TEST_F(RunMirrorTest, LeavesAFileAloneThatIsNoneOfItsOwn) {
  const JobFenceKey fence = Begin();
  ASSERT_TRUE(AppendFile(directory_.Events(), "somebody's notes\n").ok());
  Record(fence, "step/1");
  Mirror();
  EXPECT_EQ(ReadFile(directory_.Events()).value(), "somebody's notes\n");
}

}  // namespace
}  // namespace evilmoe
