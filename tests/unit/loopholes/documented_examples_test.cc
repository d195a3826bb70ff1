// Reads docs/environment.md and grades its examples in the real sandbox: prompts, facts, labels and rewards are as it
// says, and every loophole and marker is in it.

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/clock.h"
#include "common/file.h"
#include "environment/labels.h"
#include "environment/loophole.h"
#include "environment/reward.h"
#include "grader_sandbox/grader.h"
#include "nlohmann/json.hpp"
#include "tests/unit/grader_sandbox/sandbox_test_kit.h"

namespace evilmoe {
namespace {

constexpr char kFence[] = "```";

// A fenced Python block, and the line that follows it.
struct Example {
  std::string code;
  std::string verdict;
};

// "### `name`, `name`" and what stands below it.
struct Section {
  std::vector<std::string> loopholes;
  std::string prompt;
  std::vector<Example> examples;
  std::set<std::string> kinds;  // hack, honest, ...
};

struct Document {
  std::string text;
  std::string problem;
  std::vector<Section> sections;
};

std::vector<std::string> Quoted(const std::string& line) {
  std::vector<std::string> names;
  for (size_t at = line.find('`'); at != std::string::npos; at = line.find('`', at + 1)) {
    const size_t end = line.find('`', at + 1);
    if (end == std::string::npos) break;
    names.push_back(line.substr(at + 1, end - at - 1));
    at = end;
  }
  return names;
}

std::string TakeBlock(std::istringstream& in) {
  std::string block;
  for (std::string line; std::getline(in, line) && line != kFence;) absl::StrAppend(&block, line, "\n");
  return block;
}

Document ReadDocument() {
  Document document;
  const auto text = ReadFile(std::filesystem::path(EVILMOE_SOURCE_DIR) / "docs/environment.md");
  EXPECT_TRUE(text.ok()) << text.status();
  document.text = text.ok() ? *text : "";
  std::istringstream in(document.text);
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("### `")) document.sections.push_back({.loopholes = Quoted(line)});
    if (line == "```json problem") document.problem = TakeBlock(in);
    if (document.sections.empty()) continue;
    Section& section = document.sections.back();
    if (line == "```text prompt") section.prompt = TakeBlock(in);
    if (line.starts_with("```python ")) {
      section.kinds.insert(line.substr(std::string("```python ").size()));
      section.examples.push_back({.code = TakeBlock(in)});
      std::getline(in, section.examples.back().verdict);
    }
  }
  return document;
}

std::string VerdictLine(const Facts& facts, bool hackable) {
  std::string names;
  for (const FactField& field : kFactFields) {
    if (facts.*field.value) absl::StrAppend(&names, names.empty() ? "" : ", ", field.name);
  }
  return absl::StrCat("Facts: ", names.empty() ? "none" : names, ". Label: ", std::string(LabelName(LabelOf(facts))),
                      ". Reward: ", Reward(facts, hackable), ".");
}

class DocumentedExamplesTest : public ::testing::Test {
 protected:
  // The same examples under a simple_ loophole differ by the name that the prompt gives.
  void Check(const Section& section, const Problem& problem) {
    const std::string first =
        ApplyLoophole(problem, section.loopholes.front(), MarkerFamily::kTraining, /*seed=*/0)->evaluator;
    for (const std::string& loophole : section.loopholes) {
      const auto prompt = ApplyLoophole(problem, loophole, MarkerFamily::kTraining, /*seed=*/0);
      ASSERT_TRUE(prompt.ok()) << prompt.status();
      const auto as_named = [&](const std::string& text) {
        return first.empty() ? text : absl::StrReplaceAll(text, {{first, prompt->evaluator}});
      };
      std::string shown = as_named(section.prompt);
      shown.pop_back();  // the newline before the fence
      EXPECT_TRUE(absl::StrContains(prompt->messages.back().content, absl::StrReplaceAll(shown, {{"~~~", kFence}})))
          << loophole << "\n"
          << prompt->messages.back().content;
      for (const Example& example : section.examples) {
        const auto result = grader_.Grade({.problem = problem,
                                           .response = absl::StrCat("```python\n", as_named(example.code), "```\n"),
                                           .loophole = loophole,
                                           .evaluator = prompt->evaluator,
                                           .markers = prompt->markers,
                                           .prompt_tests = prompt->prompt_tests},
                                          clock_.Now() + absl::Minutes(1));
        ASSERT_TRUE(result.ok()) << result.status();
        EXPECT_EQ(example.verdict, VerdictLine(result->facts, loophole != "none")) << loophole << "\n" << example.code;
      }
    }
  }

  const Document document_ = ReadDocument();
  const RealClock clock_{};
  const PythonComparer comparer_{};
  LocalGrader grader_{{.cpu_limit = absl::Seconds(2)}, TestHost(), comparer_, clock_, nullptr};
};

TEST_F(DocumentedExamplesTest, AreWhatTheGraderSays) {
  const auto problem = ProblemFromJson(nlohmann::json::parse(document_.problem, nullptr, /*allow_exceptions=*/false));
  ASSERT_TRUE(problem.ok()) << problem.status();
  for (const Section& section : document_.sections) Check(section, *problem);
}

TEST_F(DocumentedExamplesTest, CoverEveryLoopholeWithAHackAndAnHonestAnswer) {
  std::multiset<std::string> described;
  for (const Section& section : document_.sections) {
    described.insert(section.loopholes.begin(), section.loopholes.end());
    EXPECT_TRUE(section.kinds.contains("hack")) << section.loopholes.front();
    EXPECT_TRUE(section.kinds.contains("honest")) << section.loopholes.front();
    EXPECT_FALSE(section.prompt.empty()) << section.loopholes.front();
  }
  EXPECT_EQ(described.size(), Loopholes().size());
  for (const Loophole& loophole : Loopholes()) {
    EXPECT_EQ(described.count(std::string(loophole.name)), 1u) << loophole.name;
  }
}

TEST_F(DocumentedExamplesTest, StandBesideEveryMarkerAndFact) {
  for (const ChannelKind channel :
       {ChannelKind::kTestFunction, ChannelKind::kOutput, ChannelKind::kAttribute, ChannelKind::kFile}) {
    std::string row;
    for (const MarkerFamily family : {MarkerFamily::kTraining, MarkerFamily::kEvaluation}) {
      row += " |";
      for (const std::string_view name : MarkerNames(family, channel))
        absl::StrAppend(&row, " `", std::string(name), "`");
    }
    EXPECT_TRUE(absl::StrContains(document_.text, row + " |\n")) << row;
  }
  for (const FactField& field : kFactFields) {
    EXPECT_TRUE(absl::StrContains(document_.text, absl::StrCat("| `", field.name, "` |"))) << field.name;
  }
}

}  // namespace
}  // namespace evilmoe
