#include "trainer/event_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "common/file.h"
#include "tensorboard/event.pb.h"
#include "tests/fakes/fake_clock.h"
#include "trainer/event_record.h"

namespace evilmoe {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

class EventFilesTest : public ::testing::Test {
 protected:
  EventFilesTest() : folder_(fs::temp_directory_path() / ("evilmoe_events_" + std::to_string(::getpid()))) {
    fs::remove_all(folder_);
  }
  ~EventFilesTest() override { fs::remove_all(folder_); }

  // A process of a run: goes on after `step`, does the steps up to `last`, each with this loss.
  void Process(int64_t step, int64_t last, double loss) {
    EventFiles files(folder_, clock_);
    ASSERT_TRUE(files.RewindTo(step).ok());
    while (step < last) ASSERT_TRUE(files.Step({{"step", ++step}, {"loss", loss}}).ok());
  }
  std::vector<std::string> Names() const {
    std::set<std::string> names;
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(folder_, none)) names.insert(entry.path().filename().string());
    return {names.begin(), names.end()};
  }
  std::vector<tensorboard::Event> Events(const std::string& name) const {
    std::vector<tensorboard::Event> events;
    const std::string bytes = ReadFile(folder_ / name).value_or("");
    const EventRecords records = ReadEventRecords(bytes);
    EXPECT_EQ(records.whole_bytes, bytes.size()) << name;
    for (const std::string_view data : records.data) {
      EXPECT_TRUE(events.emplace_back().ParseFromString(std::string(data)));
    }
    return events;
  }
  // Step and loss of all files, as a reader sees them.
  std::vector<std::pair<int64_t, float>> Losses() const {
    std::vector<std::pair<int64_t, float>> losses;
    for (const std::string& name : Names()) {
      for (const tensorboard::Event& event : Events(name)) {
        if (event.has_summary()) losses.emplace_back(event.step(), event.summary().value(0).simple_value());
      }
    }
    return losses;
  }

  const fs::path folder_;
  FakeClock clock_;
};

TEST_F(EventFilesTest, ARunOfOneProcessHasOneFileThatBeginsWithItsVersion) {
  clock_.Advance(absl::Seconds(7));
  Process(0, 2, 1);
  ASSERT_THAT(Names(), ElementsAre("events.out.tfevents.000001"));
  const std::vector<tensorboard::Event> events = Events("events.out.tfevents.000001");
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[0].file_version(), "brain.Event:2");
  EXPECT_EQ(events[2].wall_time(), 7);
  EXPECT_THAT(Losses(), ElementsAre(Pair(1, 1), Pair(2, 1)));
}

TEST_F(EventFilesTest, StepsThatAreDoneAgainAreThereOnce) {
  Process(0, 5, 1);
  Process(2, 4, 2);
  Process(3, 6, 3);
  EXPECT_THAT(Losses(), ElementsAre(Pair(1, 1), Pair(2, 1), Pair(3, 2), Pair(4, 3), Pair(5, 3), Pair(6, 3)));
}

// For who has read the old file: the new one says that what follows voids it.
TEST_F(EventFilesTest, ALaterFileBeginsByVoidingTheStepsToCome) {
  Process(0, 5, 1);
  Process(2, 3, 2);
  const std::vector<tensorboard::Event> events = Events("events.out.tfevents.000002");
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[0].file_version(), "brain.Event:2");
  EXPECT_EQ(events[1].session_log().status(), tensorboard::SessionLog::START);
  EXPECT_EQ(events[1].step(), 3);
}

TEST_F(EventFilesTest, NoFileIsBegunBeforeThereIsAStep) {
  Process(0, 0, 1);
  EXPECT_THAT(Names(), IsEmpty());
  Process(0, 1, 1);
  Process(0, 0, 1);
  EXPECT_THAT(Losses(), IsEmpty());
  Process(0, 1, 2);
  EXPECT_THAT(Losses(), ElementsAre(Pair(1, 2)));
}

TEST_F(EventFilesTest, WhatAKilledWriterLeftIsTakenOutAndForeignFilesStay) {
  Process(0, 2, 1);
  ASSERT_TRUE(AppendFile(folder_ / "events.out.tfevents.000001", "torn").ok());
  std::ofstream(folder_ / "events.out.tfevents.000001.tmp.99") << "half";
  std::ofstream(folder_ / "events.out.tfevents.host") << "somebody's";
  Process(2, 3, 1);
  EXPECT_THAT(Names(),
              ElementsAre("events.out.tfevents.000001", "events.out.tfevents.000002", "events.out.tfevents.host"));
  EXPECT_EQ(ReadFile(folder_ / "events.out.tfevents.host").value_or(""), "somebody's");
  fs::remove(folder_ / "events.out.tfevents.host");
  EXPECT_THAT(Losses(), ElementsAre(Pair(1, 1), Pair(2, 1), Pair(3, 1)));
}

}  // namespace
}  // namespace evilmoe
