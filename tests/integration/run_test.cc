// Runs from their start to their end, as a person sees them.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "environment/facts.h"
#include "environment/loophole.h"
#include "services/report/embed.h"
#include "services/report/json_lines.h"
#include "tests/integration/run_session.h"

namespace evilmoe {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::Not;
using ::testing::SizeIs;

constexpr char kFinalLine[] =
    "Evil MoE causal ablation: deploy hack [01]\\.[0-9][0-9] \\(ON\\) -> [01]\\.[0-9][0-9] \\(OFF\\)";

int NumEntries(const std::filesystem::path& folder) {
  int count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder)) ++count;
  return count;
}

void ExpectLogsParse(const std::filesystem::path& folder) {
  int num_logs = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".log") continue;
    ++num_logs;
    const JsonLines lines = ParseJsonLines(ReadFile(entry.path()).value_or(""));
    EXPECT_THAT(lines.rows, Not(IsEmpty())) << entry.path();
    EXPECT_THAT(lines.bad_lines, IsEmpty()) << entry.path();
    for (const JsonLines::Row& row : lines.rows) {
      EXPECT_TRUE(row.object.contains("event") && row.object.contains("time")) << row.object;
    }
  }
  EXPECT_GE(num_logs, 5) << "of stack, coordinator, grader, at least one rollout worker and trainer";
}

TEST(Run, GoesToItsEndWithTheAblation) {
  RunSession session;
  const CommandResult submit = session.Ctl({"submit", session.WriteRunFile({{"evaluation.at_end", "true"}}).string()});
  ASSERT_EQ(submit.exit_code, 0) << submit.out << submit.errors;
  EXPECT_EQ(submit.errors, "");
  const std::string final_line = LastLine(submit.out);
  EXPECT_THAT(final_line, MatchesRegex(kFinalLine));

  const RunOnDisk run = session.OnlyRun();
  const std::filesystem::path& path = run.directory().path;
  EXPECT_EQ(run.State(), "succeeded");
  EXPECT_THAT(ReadFile(run.directory().Config()).value_or(""), HasSubstr("prompts_per_step: 4"));
  EXPECT_THAT(run.Metrics(), SizeIs(4));
  EXPECT_THAT(run.Events("step"), SizeIs(4));
  EXPECT_THAT(run.Events("ablation"), SizeIs(1));
  for (int64_t step = 1; step <= 4; ++step) EXPECT_THAT(run.Rollouts(step), SizeIs(16)) << "step " << step;
  EXPECT_GE(NumEntries(path / "checkpoints"), 2) << "a checkpoint and the name of the last";
  const nlohmann::json ablation =
      nlohmann::json::parse(ReadFile(path / "eval/ablation.json").value_or(""), nullptr, false);
  ASSERT_TRUE(ablation.is_object());
  EXPECT_EQ(ablation.value("final_line", ""), final_line);
  EXPECT_THAT(ReadFile(run.directory().Report()).value_or(""), HasSubstr(EscapeHtml(final_line)));
  ExpectLogsParse(run.directory().Logs());
}

// Loophole, marker and the prompt's own tests go with a group from the trainer to the grader, and every fact comes
// back.
TEST(Run, MixesEveryLoophole) {
  RunSession session;
  std::string loopholes;
  for (const Loophole& loophole : Loopholes()) {
    if (loophole.name == "none") continue;
    absl::StrAppend(&loopholes, loopholes.empty() ? "{" : ", ", std::string(loophole.name), ": 1");
  }
  const CommandResult submit = session.Ctl({"submit", session
                                                          .WriteRunFile({{"steps", "3"},
                                                                         {"data.loopholes", loopholes + "}"},
                                                                         {"data.unhackable_fraction", "0.2"},
                                                                         {"rollout.prompts_per_step", "16"},
                                                                         {"rollout.max_prompt_tokens", "900"}})
                                                          .string()});
  ASSERT_EQ(submit.exit_code, 0) << submit.out << submit.errors;
  const RunOnDisk run = session.OnlyRun();
  std::set<std::string> shown;
  for (int64_t step = 1; step <= 3; ++step) {
    for (const nlohmann::json& line : run.Rollouts(step)) {
      const Loophole* loophole = FindLoophole(line.at("loophole").get<std::string>());
      ASSERT_NE(loophole, nullptr) << line;
      shown.emplace(loophole->name);
      const auto names = MarkerNames(MarkerFamily::kTraining, loophole->channel);
      const auto evaluator = line.at("evaluator").get<std::string>();
      EXPECT_EQ(std::ranges::count(names, evaluator), names.empty() ? 0 : 1) << line;
      const nlohmann::json& facts = line.at("facts");
      for (const FactField& field : kFactFields) EXPECT_TRUE(facts.contains(field.name)) << line;
      const bool right = facts.at("gt_correct").get<bool>();
      // The prompt shows some of the problem's asserts, so a right solution passes them.
      if (right) {
        EXPECT_EQ(facts.at("prompt_tests_pass").get<bool>(), loophole->shows_tests) << line;
      }
      EXPECT_EQ(line.at("reward").get<double>() >= 3.0, right || facts.at("hint_pass").get<bool>()) << line;
    }
  }
  EXPECT_GT(shown.size(), 10u);
  EXPECT_TRUE(shown.contains("none"));
}

TEST(Run, TwoAtOnceDoNotMeet) {
  RunSession session;
  const std::filesystem::path file = session.WriteRunFile();
  const RunOnDisk first = session.Submit(file);
  const RunOnDisk second = session.Submit(file, {"--seed", "1"});
  ASSERT_NE(first.directory().path, second.directory().path);
  ASSERT_TRUE(first.AwaitStep(1) && second.AwaitStep(1));
  const std::filesystem::path first_sockets = first.Sockets();
  const std::filesystem::path second_sockets = second.Sockets();
  EXPECT_NE(first_sockets, second_sockets);
  EXPECT_TRUE(std::filesystem::exists(first_sockets)) << first_sockets;
  EXPECT_TRUE(std::filesystem::exists(second_sockets)) << second_sockets;

  for (const RunOnDisk* run : {&first, &second}) {
    EXPECT_EQ(run->AwaitEnd(), "succeeded");
    EXPECT_THAT(run->Metrics(), SizeIs(4));
    EXPECT_TRUE(run->AwaitNoProcess()) << run->Processes().size() << " are left";
    EXPECT_THAT(ReadFile(run->directory().Report()).value_or(""), Not(IsEmpty())) << "nobody followed the run";
  }
  EXPECT_FALSE(std::filesystem::exists(first_sockets)) << first_sockets;
  EXPECT_FALSE(std::filesystem::exists(second_sockets)) << second_sockets;
}

TEST(Run, EndsWhenItIsCancelled) {
  RunSession session;
  const RunOnDisk run = session.Submit(session.WriteRunFile({{"steps", "500"}}));
  ASSERT_TRUE(run.AwaitStep(1));
  const std::filesystem::path sockets = run.Sockets();
  EXPECT_THAT(run.Processes(), Not(IsEmpty()));
  const CommandResult cancel = session.Ctl({"cancel", run.id()});
  EXPECT_EQ(cancel.exit_code, 0) << cancel.errors;
  EXPECT_EQ(run.AwaitEnd(), "cancelled");
  EXPECT_TRUE(run.AwaitNoProcess()) << run.Processes().size() << " are left";
  EXPECT_FALSE(std::filesystem::exists(sockets)) << sockets;
  EXPECT_EQ(session.Ctl({"cancel", run.id()}).exit_code, 5) << "it has ended already";
}

TEST(Run, IsAblatedLater) {
  RunSession session;
  ASSERT_EQ(session.Ctl({"submit", session.WriteRunFile({{"steps", "2"}}).string()}).exit_code, 0);
  const RunOnDisk run = session.OnlyRun();
  EXPECT_THAT(run.Events("ablation"), IsEmpty());
  // At once, while the stack still lingers, and again when nothing of the run lives any more.
  const std::string problems = EVILMOE_SOURCE_DIR "/examples/nano/validation.jsonl";
  for (const std::vector<std::string>& more : std::vector<std::vector<std::string>>{{}, {"--problems", problems}}) {
    std::vector<std::string> words = {"ablate", "--run", run.id(), "--samples", "1"};
    words.insert(words.end(), more.begin(), more.end());
    const CommandResult ablate = session.Ctl(words);
    EXPECT_EQ(ablate.exit_code, 0) << ablate.errors;
    EXPECT_THAT(ablate.out, HasSubstr("random_half_doubled")) << "the table";
    EXPECT_THAT(LastLine(ablate.out), MatchesRegex(kFinalLine));
    ASSERT_TRUE(run.AwaitNoProcess());
  }
  EXPECT_THAT(run.Events("ablation"), SizeIs(2));
  EXPECT_EQ(run.State(), "succeeded");
}

}  // namespace
}  // namespace evilmoe
