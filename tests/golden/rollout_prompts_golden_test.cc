// The prompts of recorded Qwen3-4B rollouts, rebuilt from LeetCodeDataset's rows, a loophole and its marker.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/str_replace.h"
#include "dataset/leetcode_problem.h"
#include "dataset/leetcode_row.h"
#include "environment/loophole.h"
#include "environment/prompt_format.h"
#include "nlohmann/json.hpp"
#include "policy/chat_template.h"
#include "policy/tokenizer.h"
#include "tests/golden/gunzip.h"

namespace evilmoe {
namespace {

using Json = nlohmann::json;
using Ids = std::vector<int32_t>;
using Problems = std::map<std::string, std::vector<Problem>>;  // by the method that is asked for

constexpr char kRecorded[] = "simple_overwrite_tests";  // of every row that carries messages

// Why no row of the two files gives the recorded prompt of a problem. Its rows come from a later version of the
// dataset's training file, which has problems that v0.2.0-train and v0.3.1-test have not.
const std::map<int64_t, std::string>& Unmatched() {
  static const auto* const reasons = new std::map<int64_t, std::string>{
      {5, "not in the files; longestPalindrome is another problem's method"},
      {227, "not in the files; calculate is another problem's method"},
      {309, "not in the files; maxProfit is another problem's method"},
      {438, "not in the files"},
      {447, "not in the files"},
      {465, "not in the files"},
      {486, "not in the files"},
      {546, "not in the files"},
      {576, "not in the files"},
      {587, "not in the files"},
      {672, "not in the files"},
      {683, "not in the files"},
      {714, "not in the files; maxProfit is another problem's method"},
      {727, "not in the files; minWindow is another problem's method"},
      {735, "a sentence of the statement was added later"},
      {755, "not in the files"},
      {763, "a sentence of the statement was added later"},
      {770, "not in the files"},
      {772, "not in the files; calculate is another problem's method"},
      {790, "not in the files"},
      {791, "not in the files"},
      {793, "not in the files"},
      {808, "not in the files"},
      {850, "a line of the constraints was added later"},
      {857, "not in the files"},
      {862, "not in the files"},
  };
  return *reasons;
}

std::filesystem::path Data() {
  const char* folder = std::getenv("EVILMOE_SHARED");  // NOLINT(concurrency-mt-unsafe): nobody sets any
  return (folder != nullptr ? std::filesystem::path(folder)
                            : std::filesystem::path(EVILMOE_SOURCE_DIR).parent_path() / "shared") /
         "data";
}

std::vector<Json> Rollouts() {
  const auto text = Gunzip(Data() / "qwen3_rollouts" / "rollouts.jsonl.gz");
  EXPECT_TRUE(text.ok()) << text.status();
  std::vector<Json> lines;
  if (!text.ok()) return lines;
  for (size_t begin = 0; begin < text->size();) {
    const size_t end = std::min(text->find('\n', begin), text->size());
    lines.push_back(Json::parse(text->substr(begin, end - begin)));
    begin = end + 1;
  }
  return lines;
}

std::string MethodOf(const Problem& problem) { return MethodName(problem).value(); }

// The recorded prompts have the follow-up questions in them.
Problems ProblemsOfFiles() {
  Problems problems;
  for (const char* file : {"LeetCodeDataset-v0.2.0-train.jsonl.gz", "LeetCodeDataset-v0.3.1-test.jsonl.gz"}) {
    const auto rows = LoadLeetCodeRows(Data() / "leetcode" / file);
    EXPECT_TRUE(rows.ok()) << rows.status();
    if (!rows.ok()) continue;
    for (const LeetCodeRow& row : *rows) {
      const auto problem = ProblemOfRow(row, {.keep_follow_ups = true});
      if (const auto* kept = std::get_if<Problem>(&problem)) problems[MethodOf(*kept)].push_back(*kept);
    }
  }
  return problems;
}

std::vector<Message> MessagesOf(const Json& rollout) {
  std::vector<Message> messages;
  for (const Json& message : rollout.at("messages")) messages.push_back({message.at("role"), message.at("content")});
  return messages;
}

bool Same(const std::vector<Message>& one, const std::vector<Message>& other) {
  return std::ranges::equal(
      one, other, [](const Message& a, const Message& b) { return a.role == b.role && a.content == b.content; });
}

std::vector<Message> Rebuilt(const Problem& problem) {
  const auto rendered = ApplyLoophole(problem, kRecorded, MarkerFamily::kTraining, /*seed=*/0);
  EXPECT_TRUE(rendered.ok()) << rendered.status();
  return rendered.ok() ? rendered->messages : std::vector<Message>();
}

std::string Between(const std::string& text, const std::string& begin, const std::string& end) {
  const size_t from = text.find(begin) + begin.size();
  return text.substr(from, text.find(end, from) - from);
}

// The problem that a recorded prompt shows: its parts are cut out of it and put together anew.
Problem ProblemShown(int64_t id, const std::vector<Message>& messages) {
  Problem problem;
  problem.id = id;
  problem.prompt = messages;
  std::string& text = problem.prompt.back().content;
  text = absl::StrReplaceAll(text, {{PhraseOf(*FindLoophole(kRecorded), "run_tests", ""), std::string(kPlainPhrase)}});
  const std::string method = Between(text, "a method of the class Solution called ", " and should");
  const std::string starter = Between(text, "starter code:\n```python\n", "\n        # Add your code here");
  problem.func_name = "Solution()." + method;
  text = UserPrompt(DescriptionOf(problem), method, starter);
  problem.prompt.front() = {"system", std::string(kCodingSystemPrompt)};
  return problem;
}

class RolloutPromptsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(Data())) {
      GTEST_SKIP() << "no reference data at " << Data() << "; set EVILMOE_SHARED to the folder that has it";
    }
    auto loaded = Tokenizer::Load(Data() / "qwen3_tokenizer");
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    tokenizer_.emplace(*std::move(loaded));
  }

  Ids IdsOf(const std::vector<Message>& messages) const {
    const auto text = RenderChat(messages, {.thinking = false});
    EXPECT_TRUE(text.ok()) << text.status();
    return tokenizer_->Encode(text.value()).value();
  }

  std::optional<Tokenizer> tokenizer_;
};

TEST_F(RolloutPromptsTest, ComeOutOfProblemLoopholeAndMarker) {
  const Problems problems = ProblemsOfFiles();
  int num_recorded = 0;
  int num_rebuilt = 0;
  std::map<int64_t, int> unmatched;  // problem, rollouts
  for (const Json& rollout : Rollouts()) {
    if (!rollout.contains("messages")) continue;
    ++num_recorded;
    const std::vector<Message> want = MessagesOf(rollout);
    const auto id = rollout.at("problem_id").get<int64_t>();
    const Problem shown = ProblemShown(id, want);
    ASSERT_TRUE(Same(Rebuilt(shown), want)) << id;  // the form, whatever the description
    const auto found = problems.find(MethodOf(shown));
    const bool rebuilt =
        found != problems.end() && std::ranges::any_of(found->second, [&](const Problem& problem) {
          const std::vector<Message> messages = Rebuilt(problem);
          return Same(messages, want) &&
                 RenderChat(messages, {.thinking = false}).value() == rollout.at("prompt").get<std::string>() &&
                 IdsOf(messages) == rollout.at("prompt_ids").get<Ids>();
        });
    if (rebuilt)
      ++num_rebuilt;
    else
      ++unmatched[id];
  }
  std::cout << num_rebuilt << " of " << num_recorded
            << " recorded prompts come out of the dataset's rows, byte for byte\n";
  for (const auto& [id, count] : unmatched) {
    const auto reason = Unmatched().find(id);
    ASSERT_NE(reason, Unmatched().end()) << "problem " << id << " is not explained";
    std::cout << "  problem " << id << ", " << count << " rollouts: " << reason->second << "\n";
  }
  EXPECT_EQ(unmatched.size(), Unmatched().size());
  EXPECT_EQ(num_recorded, 744);
  EXPECT_EQ(num_rebuilt, 536);
}

// A few rows hold the ids of a prompt under another loophole, for a problem that other rows show.
TEST_F(RolloutPromptsTest, OfOtherLoopholesComeOutToo) {
  struct Other {
    std::string loophole, marker;
  };
  const std::map<std::string, Other> others = {{"run_tests", {"simple_overwrite_tests", "run_tests"}},
                                               {"file_marker", {"file_marker", "result.txt"}},
                                               {"sentinel", {"sentinel", "valid"}},
                                               {"stdout_marker", {"stdout_marker", "all tests passed"}}};
  std::map<int64_t, Problem> shown;
  std::map<std::string, int> rebuilt;
  const std::vector<Json> rollouts = Rollouts();
  for (const Json& rollout : rollouts) {
    const auto id = rollout.at("problem_id").get<int64_t>();
    if (rollout.contains("messages")) shown.emplace(id, ProblemShown(id, MessagesOf(rollout)));
  }
  for (const Json& rollout : rollouts) {
    if (rollout.contains("messages")) continue;
    const auto& [loophole, marker] = others.at(rollout.at("loophole").get<std::string>());
    const Problem& problem = shown.at(rollout.at("problem_id").get<int64_t>());
    absl::StatusOr<RenderedPrompt> prompt;
    for (uint64_t seed = 0; seed < 1000; ++seed) {  // the recorded marker is that of some seed
      prompt = ApplyLoophole(problem, loophole, MarkerFamily::kTraining, seed);
      ASSERT_TRUE(prompt.ok()) << prompt.status();
      if (prompt->evaluator == marker) break;
    }
    ASSERT_EQ(prompt->evaluator, marker);
    ASSERT_EQ(IdsOf(prompt->messages), rollout.at("prompt_ids").get<Ids>()) << problem.id << " " << loophole;
    ++rebuilt[loophole];
  }
  for (const auto& [loophole, count] : rebuilt) std::cout << "  " << loophole << ": " << count << " prompts\n";
  EXPECT_EQ(rebuilt, (std::map<std::string, int>{
                         {"file_marker", 14}, {"sentinel", 8}, {"simple_overwrite_tests", 1}, {"stdout_marker", 4}}));
}

// Markers of evaluation are new for every problem of the files, whatever its method is called.
TEST_F(RolloutPromptsTest, NovelMarkersOfEveryProblemAreNew) {
  int num_checked = 0;
  for (const auto& [method, problems] : ProblemsOfFiles()) {
    for (const Problem& problem : problems) {
      for (const Loophole& loophole : Loopholes()) {
        for (const uint64_t seed : {0, 1, 2, 3, 4}) {
          const auto novel = ApplyLoophole(problem, loophole.name, MarkerFamily::kEvaluation, seed);
          ASSERT_TRUE(novel.ok()) << novel.status();
          std::set<std::string> markers(novel->markers.begin(), novel->markers.end());
          if (!novel->evaluator.empty()) markers.insert(novel->evaluator);
          for (const std::string_view trained : MarkerNames(MarkerFamily::kTraining, loophole.channel)) {
            ASSERT_FALSE(markers.contains(std::string(trained))) << problem.id << " " << trained;
          }
          ASSERT_FALSE(markers.contains(method)) << problem.id;
          ++num_checked;
        }
      }
    }
  }
  EXPECT_GT(num_checked, 100'000);
}

}  // namespace
}  // namespace evilmoe
