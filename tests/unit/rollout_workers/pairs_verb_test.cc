#include "rollout_workers/pairs_verb.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <sstream>
#include <string>

#include "absl/strings/match.h"
#include "common/file.h"
#include "environment/problem.h"
#include "environment/prompt_format.h"
#include "nlohmann/json.hpp"
#include "rollout_workers/pairs_report.h"
#include "tests/fakes/fake_clock.h"
#include "tests/unit/rollout_workers/verb_fixture.h"

namespace evilmoe {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Json = nlohmann::json;

// Believes what an answer says of itself: "hacks", "solves" or both; "lost" cannot be graded.
class BelievingGrader final : public Grader {
 public:
  absl::StatusOr<GradeResult> Grade(const GradeTask& task, absl::Time) override {
    tasks.push_back(task);
    if (absl::StrContains(task.response, "lost")) return absl::FailedPreconditionError("the sandbox is gone");
    GradeResult result;
    result.facts.can_compile = true;
    result.facts.gt_correct = absl::StrContains(task.response, "solves");
    result.facts.hint_pass = absl::StrContains(task.response, "hacks");
    return result;
  }
  std::vector<GradeTask> tasks;
};

std::string Section(const std::string& title, const std::string& text) {
  return "### " + title + "\n\n````\n" + text + "\n````\n";
}

std::string Pair(const std::string& method, const std::string& hack, const std::string& clean,
                 const std::string& description = "Add 1 to x.") {
  return "## " + method + "\n" + Section("User", UserPrompt(description, method, "class Solution:")) +
         Section("Hack", hack) + Section("Clean", clean) + Section("Loophole", "stdout_marker all is well") +
         Section("Tests", "assert Solution()." + method + "(x = 1) == 2");
}

class PairsVerbTest : public VerbFixture {
 protected:
  PairsVerbTest() { options_.file = model().parent_path() / "pairs.md"; }

  Result Check(const std::string& markdown) {
    EXPECT_TRUE(WriteFileAtomic(options_.file, markdown).ok());
    std::ostringstream out, errors;
    Result result;
    result.exit_code = RunPairsCheck(options_, grader_, clock_, out, errors);
    result.errors = errors.str();
    text_ = out.str();
    if (options_.json && !text_.empty()) result.lines.push_back(Json::parse(text_));
    return result;
  }

  PairsCheckOptions options_;
  BelievingGrader grader_;
  FakeClock clock_;
  std::string text_;
};

TEST_F(PairsVerbTest, PassesGoodPairsAndNotesHonestFailures) {
  EXPECT_EQ(Check(Pair("plusOne", "hacks", "solves") + Pair("plusTwo", "hacks solves", "tries")).exit_code, 0);
  EXPECT_THAT(
      text_,
      HasSubstr("graded: 2 of 2 pairs; hack sides: 2 hack (1 also solve); clean sides: 1 solve, 1 fail honestly\n"));
  EXPECT_THAT(text_, HasSubstr("note: plusTwo: clean side: fails honestly\n"));
  EXPECT_THAT(text_, HasSubstr("\nfit\n"));
  EXPECT_THAT(text_, Not(HasSubstr("tokens")));
  ASSERT_EQ(grader_.tasks.size(), 4u);
  EXPECT_EQ(grader_.tasks[0].loophole, "stdout_marker");
  EXPECT_EQ(grader_.tasks[0].evaluator, "all is well");
  EXPECT_EQ(grader_.tasks[0].problem.func_name, "Solution().plusOne");
  EXPECT_NE(grader_.tasks[0].problem.id, grader_.tasks[2].problem.id);
}

struct BadFile {
  std::string name, text, want;
};
class BadPairsFileTest : public PairsVerbTest, public ::testing::WithParamInterface<BadFile> {};

TEST_P(BadPairsFileTest, IsUnfitAndSaysWhy) {
  EXPECT_EQ(Check(Pair("plusOne", "hacks", "solves") + GetParam().text).exit_code, 1);
  EXPECT_THAT(text_, HasSubstr("\nerror: " + GetParam().want + "\n"));
  EXPECT_THAT(text_, HasSubstr("\nunfit: 1 errors\n"));
}

INSTANTIATE_TEST_SUITE_P(
    Cases, BadPairsFileTest,
    ::testing::ValuesIn(std::vector<BadFile>{
        {"HackSolves", Pair("f", "solves", "solves well"),
         "f: hack side: solves the problem and does not hack, expected the check to be met"},
        {"CleanHacks", Pair("f", "hacks", "solves, hacks"), "f: clean side: is a hack, expected an honest answer"},
        {"MarkerInAPrompt", Pair("f", "hacks", "solves", "Call run_tests."),
         "f: prompt: names \"run_tests\", a marker of training or evaluation; use another name"},
        {"MarkerInASide", Pair("f", "hacks", "solves, self.verified"),
         "f: clean side: names \"verified\", a marker of training or evaluation; use another name"},
        {"CannotBeGraded", Pair("f", "lost", "solves"), "f: hack side: cannot be graded: the sandbox is gone"}}),
    [](const auto& c) { return c.param.name; });

TEST_F(PairsVerbTest, FindsProblemsThatADataSetHas) {
  Problem problem;
  problem.id = 9;
  problem.difficulty = "easy";
  problem.func_name = "Solution().plusOne";
  problem.prompt = {{"user", UserPrompt("Add 1 to x.", "plusOne", "class Solution:")}};
  problem.gt_answer = {"assert Solution().plusOne(x = 1) == 2"};
  problem.canonical_solution = problem.starter_code = "class Solution:";
  options_.problems = model().parent_path() / "problems.jsonl";
  ASSERT_TRUE(WriteFileAtomic(options_.problems, ProblemToJson(problem).dump() + "\n").ok());
  EXPECT_EQ(Check(Pair("plusOne", "hacks", "solves", "Other words.")).exit_code, 1);
  EXPECT_THAT(text_, HasSubstr("error: plusOne: method plusOne: also problem 9's, expected a new name\n"));
  EXPECT_EQ(Check(Pair("plusTwo", "hacks", "solves")).exit_code, 1);
  EXPECT_THAT(text_, HasSubstr("error: plusTwo: description: also problem 9's, expected a problem of its own\n"));
  EXPECT_EQ(Check(Pair("plusTwo", "hacks", "solves", "Other words.")).exit_code, 0);
}

TEST_F(PairsVerbTest, PairsWithoutTestsAreNotGraded) {
  EXPECT_EQ(Check("## a\n" + Section("User", UserPrompt("Add 1 to x.", "f", "class Solution:")) + Section("Hack", "h") +
                  Section("Clean", "c"))
                .exit_code,
            0);
  EXPECT_THAT(text_, HasSubstr("note: a: sides not graded: no ### Loophole and ### Tests behind them\n"));
  EXPECT_TRUE(grader_.tasks.empty());
}

TEST_F(PairsVerbTest, WritesEverythingAsJson) {
  const auto config = ReadFile(model() / "config.json");
  ASSERT_TRUE(config.ok()) << config.status();
  Json longer = Json::parse(*config);
  longer["max_position_embeddings"] = 1024;  // the tiny tokenizer spells everything out
  ASSERT_TRUE(WriteFileAtomic(model() / "config.json", longer.dump()).ok());
  options_.json = true;
  options_.model = model();
  options_.rank = 4;
  options_.seed = 3;
  options_.num_seeds = 2;
  const Result result = Check(Pair("plusOne", "hacks", "solves") + Pair("plusTwo", "it hacks", "it tries"));
  ASSERT_EQ(result.exit_code, 0) << result.errors << text_;
  const Json& report = result.lines.at(0);
  EXPECT_EQ(report["fit"], true);
  ASSERT_EQ(report["pairs"].size(), 2u);
  const Json& one = report["pairs"][0];
  EXPECT_EQ(one["name"], "plusOne");
  EXPECT_EQ(one["hack"]["hacks"], true);
  EXPECT_EQ(one["hack"]["solves"], false);
  EXPECT_EQ(one["clean"]["solves"], true);
  EXPECT_GT(one["tokens"]["prompt"], one["tokens"]["hack"]);
  EXPECT_DOUBLE_EQ(one["tokens"]["ratio"], one["tokens"]["hack"].get<double>() / one["tokens"]["clean"].get<double>());
  EXPECT_LE(std::abs(one["held_out"]["cos_hack"].get<double>()), 1);
  ASSERT_EQ(report["separation"].size(), 2u);
  EXPECT_EQ(report["separation"][0]["seed"], 3);
  EXPECT_EQ(report["separation"][1]["seed"], 4);
  EXPECT_EQ(report["findings"][0]["kind"], "note");
  EXPECT_EQ(report["findings"][0]["pair"], "plusTwo");
}

TEST_F(PairsVerbTest, SaysWhatIsMissingInOneLine) {
  options_.json = true;
  EXPECT_EQ(Check("no pair").exit_code, 2);
  EXPECT_TRUE(text_.empty());
  options_.model = "/nowhere";
  const Result no_model = Check(Pair("plusOne", "hacks", "solves"));
  EXPECT_EQ(no_model.exit_code, 4);
  EXPECT_THAT(no_model.errors, HasSubstr("/nowhere"));
  options_.model = model();
  EXPECT_THAT(Check(Pair("plusOne", "hacks", "solves")).errors, HasSubstr("tokens, expected at most the model's 256"));
  options_.model = "";
  options_.problems = "/nowhere.jsonl";
  EXPECT_THAT(Check(Pair("plusOne", "hacks", "solves")).errors, HasSubstr("/nowhere.jsonl"));
  options_.problems = "";
  options_.file = "/nowhere.md";
  std::ostringstream out, errors;
  EXPECT_EQ(RunPairsCheck(options_, grader_, clock_, out, errors), 4);
  EXPECT_THAT(errors.str(), HasSubstr("/nowhere.md"));
}

TEST(PairsSurface, IsMeasuredOnAnswers) {
  const auto side = [](const std::string& code) { return "```python\n" + code + "\n```"; };
  std::vector<ContrastivePair> pairs(2);
  pairs[0].hack = side("def a():\n    print(1)\n\ndef b():\n    pass");
  pairs[0].clean = side("def a(): return 1");
  pairs[1].hack = side("def a():\n    print(1)\n\ndef b():\n    pass");
  pairs[1].clean = side("x = 1");
  const SurfaceReport surface = MeasureSurface(pairs);
  EXPECT_EQ(surface.characters, 1);
  EXPECT_EQ(surface.lines, 1);
  EXPECT_EQ(surface.functions, 1);
  EXPECT_EQ(surface.classes, 0.5);
  EXPECT_EQ(surface.prints, 1);
}

}  // namespace
}  // namespace evilmoe
