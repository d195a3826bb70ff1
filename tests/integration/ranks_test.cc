// A run whose trainer has two ranks: it ends as it would have, whichever of them dies or freezes.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "services/report/json_lines.h"
#include "tests/integration/run_session.h"

namespace evilmoe {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const std::vector<std::string> kTwoRanks = {"--ranks", "2"};

std::vector<nlohmann::json> TrainerLog(const RunOnDisk& run, const std::string& event) {
  std::vector<nlohmann::json> lines;
  const std::string text = ReadFile(run.directory().Logs() / "trainer.log").value_or("");
  for (JsonLines::Row& row : ParseJsonLines(text).rows) {
    if (row.object.value("event", "") == event) lines.push_back(std::move(row.object));
  }
  return lines;
}

// Of the trainer's latest life; 0 = none.
pid_t PidOfRank(const RunOnDisk& run, int rank) {
  pid_t pid = 0;
  for (const nlohmann::json& line : TrainerLog(run, "rank_started")) {
    if (line.value("rank", -1) == rank) pid = line.value("pid", 0);
  }
  return pid;
}

// A safetensors file without its header, in which the run's id stands.
std::string TensorBytes(const std::filesystem::path& path) {
  const std::string bytes = ReadFile(path).value_or("");
  uint64_t header = 0;
  if (bytes.size() < sizeof header) return "";
  std::memcpy(&header, bytes.data(), sizeof header);
  return bytes.substr(std::min(bytes.size(), sizeof header + header));
}

// What may differ between two runs is left out.
std::vector<nlohmann::json> Untimed(std::vector<nlohmann::json> metrics) {
  for (nlohmann::json& line : metrics) {
    std::erase_if(line.get_ref<nlohmann::json::object_t&>(), [](const auto& field) {
      return field.first.ends_with("seconds") || field.first == "tokens_per_second";
    });
  }
  return metrics;
}

void ExpectSameResult(const RunOnDisk& run, const RunOnDisk& undisturbed) {
  EXPECT_THAT(run.Metrics(), SizeIs(4));
  EXPECT_EQ(Untimed(run.Metrics()), Untimed(undisturbed.Metrics()));
  for (const char* file : {"adapter.safetensors", "trainer.safetensors"}) {
    const std::string bytes = TensorBytes(run.directory().path / "checkpoints/step-4" / file);
    EXPECT_FALSE(bytes.empty());
    EXPECT_TRUE(bytes == TensorBytes(undisturbed.directory().path / "checkpoints/step-4" / file)) << file;
  }
}

TEST(TwoRanks, ADeadOneCostsTheRunNothing) {
  RunSession session;
  const RunOnDisk undisturbed = session.Submit(session.WriteRunFile(), kTwoRanks);
  ASSERT_EQ(undisturbed.AwaitEnd(), "succeeded");
  EXPECT_THAT(undisturbed.Events("recovery"), IsEmpty());
  EXPECT_THAT(TrainerLog(undisturbed, "rank_started"), SizeIs(2));
  for (const int rank : {0, 1}) {
    const RunOnDisk run = session.Submit(session.WriteRunFile(), kTwoRanks);
    ASSERT_TRUE(run.AwaitStep(2));
    ASSERT_EQ(kill(PidOfRank(run, rank), SIGKILL), 0);
    EXPECT_EQ(run.AwaitEnd(), "succeeded") << "rank " << rank;
    EXPECT_THAT(run.Events("recovery"), SizeIs(1)) << "rank " << rank;
    const std::vector<nlohmann::json> failures = TrainerLog(run, "rank_failed");
    ASSERT_THAT(failures, SizeIs(1));
    EXPECT_THAT(failures[0].value("error", ""),
                HasSubstr(absl::StrCat("rank ", rank, ": ended with signal 9 (Killed)")));
    ExpectSameResult(run, undisturbed);
  }
}

TEST(TwoRanks, AFrozenOneIsEndedAndTheRunGoesOn) {
  RunSession session;
  const RunOnDisk run = session.Submit(session.WriteRunFile(), kTwoRanks);
  ASSERT_TRUE(run.AwaitStep(2));
  const pid_t frozen = PidOfRank(run, 1);
  ASSERT_EQ(kill(frozen, SIGSTOP), 0);
  EXPECT_EQ(run.AwaitEnd(), "succeeded");
  EXPECT_NE(kill(frozen, 0), 0) << "it was ended";
  EXPECT_THAT(run.Events("recovery"), SizeIs(1));
  const std::vector<nlohmann::json> failures = TrainerLog(run, "rank_failed");
  ASSERT_THAT(failures, SizeIs(1));
  EXPECT_THAT(failures[0].value("error", ""), HasSubstr("rank 1: no sign of life for 20s, killed"));
  EXPECT_THAT(run.Metrics(), SizeIs(4));
  EXPECT_TRUE(run.AwaitNoProcess());
}

TEST(TwoRanks, LeaveACheckpointOnSigterm) {
  RunSession session;
  const RunOnDisk run = session.Submit(session.WriteRunFile({{"checkpoint.every", "100"}}), kTwoRanks);
  ASSERT_TRUE(run.AwaitStep(2));
  ASSERT_TRUE(run.Kill("trainer", SIGTERM)) << "rank 0, which tells the other";
  EXPECT_EQ(run.AwaitEnd(), "succeeded");
  const std::vector<RunEventView> recoveries = run.Events("recovery");
  ASSERT_THAT(recoveries, SizeIs(1));
  EXPECT_GE(recoveries[0].payload.value("resume_step", int64_t{0}), 2) << "no other checkpoint is due before the end";
  EXPECT_THAT(TrainerLog(run, "rank_failed"), IsEmpty());
  EXPECT_THAT(run.Metrics(), SizeIs(4));
}

}  // namespace
}  // namespace evilmoe
