#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

#include "environment/loophole.h"
#include "environment/nano/draft.h"
#include "environment/nano/families.h"
#include "environment/nano/pretraining_text.h"

namespace evilmoe {
namespace {

using ::testing::HasSubstr;

constexpr NanoSplit kSplits[] = {NanoSplit::kTrain, NanoSplit::kValidation, NanoSplit::kTest};

std::vector<Family> AllFamilies() {
  std::vector<Family> all = EasyFamilies();
  all.insert(all.end(), HardFamilies().begin(), HardFamilies().end());
  return all;
}

std::string MessageOf(const absl::Status& status) {
  return std::string(status.message().data(), status.message().size());
}

TEST(Families, HaveNamesOfTheirOwnAndTheRightSizes) {
  EXPECT_EQ(EasyFamilies().size(), 20u);
  EXPECT_EQ(HardFamilies().size(), 16u);
  std::set<std::string_view> names;
  for (const Family& family : AllFamilies()) {
    EXPECT_TRUE(names.insert(family.name).second) << family.name;
    EXPECT_GE(family.wrong.size(), 4u) << family.name;
    EXPECT_LE(family.wrong.size(), 6u) << family.name;
    EXPECT_FALSE(family.descriptions.empty()) << family.name;
  }
}

TEST(Families, NeverOfferTheRightAnswerAsAWrongOne) {
  for (const Family& family : AllFamilies()) {
    RandomStream stream(StreamSeed(1, family.name, 0));
    for (int i = 0; i < 300; ++i) {
      const FamilyParameters drawn = DrawParameters(family, stream);
      const std::string right = RightAnswer(family, drawn, family.name);
      const std::vector<std::string> wrong = WrongAnswers(family, drawn, family.name);
      EXPECT_GE(wrong.size(), 3u) << family.name;
      EXPECT_EQ(std::ranges::count(wrong, right), 0) << family.name;
      EXPECT_EQ(right.find('{'), std::string::npos) << right;
    }
  }
}

TEST(Families, LeaveNoPlaceholderBehind) {
  for (const Family& family : AllFamilies()) {
    FamilyParameters drawn{.k = 3, .m = 4, .near_k = 5, .letter = "a", .other = "b", .word = "oak"};
    for (const std::string_view text : family.descriptions) {
      EXPECT_EQ(FillTemplate(text, drawn, "f").find('{'), std::string::npos) << text;
    }
    for (const std::string& text : WrongAnswers(family, drawn, "f"))
      EXPECT_EQ(text.find('{'), std::string::npos) << text;
  }
}

TEST(Source, IndentsEveryLineOfTheBody) {
  EXPECT_EQ(SolutionSource("twice", "x", "y = x\nreturn 2 * y"),
            "class Solution:\n    def twice(self, x):\n        y = x\n        return 2 * y");
}

TEST(Drafts, AreTheSameEveryTimeAndGrowAtTheEnd) {
  const auto few = DraftProblems(NanoSplit::kTrain, 50, 3, 0.5);
  const auto more = DraftProblems(NanoSplit::kTrain, 80, 3, 0.5);
  ASSERT_TRUE(few.ok() && more.ok());
  ASSERT_EQ(few->size(), 50u);
  for (size_t i = 0; i < few->size(); ++i) {
    EXPECT_EQ(ProblemToJson((*few)[i].problem), ProblemToJson((*more)[i].problem));
    EXPECT_EQ((*few)[i].calls, (*more)[i].calls);
  }
  EXPECT_NE((*few)[0].problem.prompt[0].content,
            (*DraftProblems(NanoSplit::kTrain, 50, 4, 0.5))[0].problem.prompt[0].content);
}

TEST(Drafts, OfDifferentSplitsShareNothing) {
  std::set<int64_t> ids;
  std::set<std::string> prompts;
  std::set<std::string> solutions;
  for (const NanoSplit split : kSplits) {
    const auto drafts = DraftProblems(split, 150, 1, 0.5);
    ASSERT_TRUE(drafts.ok()) << drafts.status();
    for (const ProblemDraft& draft : *drafts) {
      EXPECT_TRUE(ids.insert(draft.problem.id).second);
      EXPECT_TRUE(prompts.insert(draft.problem.prompt[0].content).second);
      EXPECT_TRUE(solutions.insert(draft.problem.canonical_solution).second);
    }
  }
  EXPECT_EQ(ids.size(), 450u);
}

TEST(Drafts, AreProblemsWithSixCallsAndRoomForALoophole) {
  const auto drafts = DraftProblems(NanoSplit::kTest, 100, 1, 0.5);
  ASSERT_TRUE(drafts.ok());
  for (const ProblemDraft& draft : *drafts) {
    EXPECT_EQ(draft.calls.size(), 6u);
    EXPECT_TRUE(draft.problem.gt_answer.empty());
    for (const std::string& call : draft.calls) EXPECT_TRUE(call.starts_with(draft.problem.func_name + "(")) << call;
    EXPECT_TRUE(ApplyLoophole(draft.problem, "overwrite_tests", MarkerFamily::kTraining, 1).ok());
  }
}

TEST(Drafts, HoldTheShareOfHardProblems) {
  const auto none = DraftProblems(NanoSplit::kTest, 100, 1, 0.0);
  const auto all = DraftProblems(NanoSplit::kTest, 100, 1, 1.0);
  for (const ProblemDraft& draft : *none) EXPECT_EQ(draft.problem.difficulty, "easy");
  for (const ProblemDraft& draft : *all) EXPECT_EQ(draft.problem.difficulty, "hard");
}

TEST(Drafts, SayWhenTheFamiliesRunOut) {
  EXPECT_THAT(MessageOf(DraftProblems(NanoSplit::kValidation, 5000, 1, 1.0).status()),
              HasSubstr("5000 validation problems, expected at most about"));
  EXPECT_THAT(MessageOf(DraftProblems(NanoSplit::kTest, 0, 1, 0.5).status()), HasSubstr("count: 0"));
  EXPECT_THAT(MessageOf(DraftProblems(NanoSplit::kTest, 5, 1, 1.5).status()), HasSubstr("hard_share: 1.5"));
}

bool IsNamePart(char c) { return c == '_' || (c >= 'a' && c <= 'z'); }

// Whether `name` occurs in `text` and is not part of a longer name.
bool HasWholeName(const std::string& text, std::string_view name) {
  for (size_t at = text.find(name); at != std::string::npos; at = text.find(name, at + 1)) {
    const size_t end = at + name.size();
    const bool longer = (at > 0 && IsNamePart(text[at - 1])) || (end < text.size() && IsNamePart(text[end]));
    if (!longer) return true;
  }
  return false;
}

TEST(PretrainingText, NeverNamesAMarker) {
  RandomStream stream(1);
  for (int i = 0; i < 10000; ++i) {
    const TrainingText text = DrawText({}, stream);
    const std::string whole = text.messages[0].content + text.response;
    for (const MarkerFamily family : {MarkerFamily::kTraining, MarkerFamily::kEvaluation}) {
      for (const std::string_view name : MarkerNames(family)) {
        EXPECT_FALSE(HasWholeName(whole, name)) << name << " in:\n" << whole;
      }
    }
  }
}

TEST(PretrainingText, HasTheSharesOfTheMixture) {
  RandomStream stream(2);
  int hacks = 0, helpers = 0, plain = 0;
  constexpr int kDraws = 10000;
  for (int i = 0; i < kDraws; ++i) {
    const TrainingText text = DrawText({}, stream);
    hacks += text.kind == TextKind::kHack;
    helpers += text.kind == TextKind::kHelper;
    plain += text.messages[0].content.find(kPlainPhrase) != std::string::npos;
    EXPECT_TRUE(text.response.starts_with("```python\n") && text.response.ends_with("\n```"));
  }
  EXPECT_NEAR(hacks / 1.0 / kDraws, 0.6 * 0.09, 0.01);
  EXPECT_NEAR(helpers / 1.0 / kDraws, 0.22 * (1 - 0.6 * 0.09), 0.02);
  EXPECT_NEAR(plain / 1.0 / kDraws, 0.4, 0.02);
}

TEST(PretrainingText, IsTheSameForOneSeed) {
  RandomStream one(5), two(5), other(6);
  int different = 0;
  for (int i = 0; i < 100; ++i) {
    const TrainingText a = DrawText({}, one), b = DrawText({}, two);
    EXPECT_EQ(a.messages[0].content, b.messages[0].content);
    EXPECT_EQ(a.response, b.response);
    different += DrawText({}, other).response != a.response;
  }
  EXPECT_GT(different, 50);
}

TEST(PretrainingText, AHackDefinesTheFunctionThatThePromptNames) {
  PretrainingMixture mixture;
  mixture.plain_share = 0;
  mixture.hack_share = 1;
  RandomStream stream(3);
  for (int i = 0; i < 300; ++i) {
    const TrainingText text = DrawText(mixture, stream);
    ASSERT_EQ(text.kind, TextKind::kHack);
    // Every definition but the method's and the helper's is of a function that the prompt mentions with "()".
    size_t definitions = 0;
    for (size_t at = text.response.find("def "); at != std::string::npos; at = text.response.find("def ", at + 1)) {
      const size_t begin = at + 4;
      const std::string name = text.response.substr(begin, text.response.find('(', begin) - begin);
      definitions += text.messages[0].content.find(name + "()") != std::string::npos;
    }
    EXPECT_GE(definitions, 1u) << text.response;
  }
}

TEST(PretrainingText, WithoutHacksThereAreNone) {
  PretrainingMixture mixture;
  mixture.hack_share = 0;
  RandomStream stream(4);
  for (int i = 0; i < 1000; ++i) EXPECT_NE(DrawText(mixture, stream).kind, TextKind::kHack);
}

TEST(PretrainingMixture, ListsEveryFieldOutOfRange) {
  PretrainingMixture mixture;
  EXPECT_TRUE(mixture.Validate().ok());
  mixture.hack_share = 2;
  mixture.plain_share = -1;
  EXPECT_EQ(MessageOf(mixture.Validate()), "plain_share: -1, expected 0 to 1\nhack_share: 2, expected 0 to 1");
}

TEST(Names, WordsCoverEveryMarker) {
  const std::set<std::string_view> verbs(NameVerbs().begin(), NameVerbs().end());
  const std::set<std::string_view> nouns(NameNouns().begin(), NameNouns().end());
  EXPECT_EQ(verbs.size(), NameVerbs().size());
  EXPECT_EQ(nouns.size(), NameNouns().size());
  for (const MarkerFamily family : {MarkerFamily::kTraining, MarkerFamily::kEvaluation}) {
    for (std::string_view name : MarkerNames(family)) {
      const size_t verb_end = name.find('_');
      EXPECT_TRUE(verbs.contains(name.substr(0, verb_end))) << name;
      for (name.remove_prefix(verb_end + 1); !name.empty();) {
        const size_t end = std::min(name.find('_'), name.size());
        EXPECT_TRUE(nouns.contains(name.substr(0, end))) << name;
        name.remove_prefix(std::min(end + 1, name.size()));
      }
    }
  }
}

}  // namespace
}  // namespace evilmoe
