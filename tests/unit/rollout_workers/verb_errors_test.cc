#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "common/exit_code.h"
#include "common/file.h"
#include "tests/unit/rollout_workers/verb_fixture.h"

namespace evilmoe {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

using VerbErrors = VerbFixture;

// Every answer is one line on `errors`, the exit code and nothing else.
template <typename Result>
void ExpectRefusal(const Result& got, int exit_code, const std::string& substring) {
  EXPECT_EQ(got.exit_code, exit_code);
  EXPECT_TRUE(got.lines.empty());
  EXPECT_EQ(std::count(got.errors.begin(), got.errors.end(), '\n'), 1) << got.errors;
  EXPECT_THAT(got.errors, HasSubstr(substring));
}

TEST_F(VerbErrors, AnUnusableModelOrAdapterIsOneLine) {
  struct Case {
    std::string name;
    std::string expected;
    std::function<void()> damage;
    int exit_code = kExitUsage;
  };
  const auto replace = [](const std::filesystem::path& file, const std::string& text) {
    ASSERT_TRUE(WriteFileAtomic(file, text).ok());
  };
  const std::string config = ReadFile(model() / "config.json").value();
  const std::string weights = ReadFile(model() / "model.safetensors").value();
  const std::string tensors = ReadFile(adapter()).value();
  const auto restore = [&] {
    replace(model() / "config.json", config);
    replace(model() / "model.safetensors", weights);
    replace(adapter(), tensors);
    source_.model = model();
    source_.adapter = adapter();
  };
  const std::string huge(8, '\x7f');
  const std::vector<Case> cases = {
      {"no model", "no/such/model", [&] { source_.model = "no/such/model"; }, kExitNotFound},
      {"no config", "config.json", [&] { std::filesystem::remove(model() / "config.json"); }, kExitNotFound},
      {"config is no JSON", "config.json", [&] { replace(model() / "config.json", "{"); }},
      {"config of another model", "config.json", [&] { replace(model() / "config.json", "{\"model_type\":\"llama\"}"); }},
      {"no weights", "safetensors", [&] { std::filesystem::remove(model() / "model.safetensors"); }, kExitNotFound},
      {"truncated weights", "model.safetensors",
       [&] { replace(model() / "model.safetensors", weights.substr(0, weights.size() - 64)); }},
      {"huge header", "model.safetensors", [&] { replace(model() / "model.safetensors", huge + weights.substr(8)); }},
      {"empty weights", "model.safetensors", [&] { replace(model() / "model.safetensors", ""); }},
      {"unknown adapter", "no/such/adapter", [&] { source_.adapter = "no/such/adapter"; }, kExitNotFound},
      {"a folder without an adapter", "adapter.safetensors", [&] { source_.adapter = model(); }, kExitNotFound},
      {"truncated adapter", "adapter.safetensors", [&] { replace(adapter(), tensors.substr(0, 1000)); }},
      {"an adapter that is a model", "model.safetensors", [&] { source_.adapter = model() / "model.safetensors"; }},
      {"an adapter that is text", "config.json", [&] { source_.adapter = model() / "config.json"; }}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    restore();
    c.damage();
    const Result score = Score("{\"ids\": [1, 2]}\n");
    ExpectRefusal(score, c.exit_code, c.expected);
    const Result generate = Generate("{\"ids\": [1, 2]}\n");
    ExpectRefusal(generate, c.exit_code, c.expected);
  }
}

TEST_F(VerbErrors, GenerateSaysWhyThereIsNoTokenizer) {
  for (const char* text : {"", "{}", "[", "{\"model\": {\"type\": \"WordPiece\"}}"}) {
    ASSERT_TRUE(WriteFileAtomic(model() / "tokenizer.json", text).ok());
    const Result got = Generate("{\"ids\": [1]}\n");
    ExpectRefusal(got, kExitUsage, "tokenizer.json");
  }
}

TEST_F(VerbErrors, BadLinesAreAnsweredInPlace) {
  const std::string good = "{\"ids\": [1, 2, 3]}";
  const std::string long_ids = json{{"ids", std::vector<int>(300, 1)}}.dump();
  struct Case {
    const char* line;
    const char* score;
    const char* generate;
  };
  const std::vector<Case> cases = {
      {"", "not a JSON object", "not a JSON object"},
      {"{\"ids\": [1, 2", "not a JSON object", "not a JSON object"},
      {"[1, 2]", "not a JSON object", "not a JSON object"},
      {"{}", "ids: missing", "expected one of ids, prompt, messages"},
      {"{\"ids\": [1, 265]}", "ids[1]: 265, expected a token id from 0 to 264", "ids[1]: 265"},
      {"{\"ids\": [1, -1]}", "ids[1]: -1", "ids[1]: -1"},
      {"{\"ids\": [1, 1e99]}", "ids[1]: 1e+99", "ids[1]: 1e+99"},
      {"{\"ids\": [1, \"a\"]}", "ids[1]: \"a\"", "ids[1]: \"a\""},
      {"{\"ids\": []}", "start: 1", "prompt"},
      {long_ids.c_str(), "300 tokens, expected at most 256", "256"},
      {"{\"ids\": [1, 2], \"start\": 0}", "start: 0, expected an integer from 1 to 1", nullptr},
      {"{\"ids\": [1, 2], \"start\": 2}", "start: 2, expected an integer from 1 to 1", nullptr},
      {"{\"ids\": [1, 2], \"start\": \"x\"}", "start: \"x\"", nullptr},
      {"{\"messages\": []}", "ids: missing", "messages: empty"},
      {"{\"messages\": [{\"role\": \"user\"}]}", "ids: missing", "messages[0]: expected"}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.line);
    for (const bool generate : {false, true}) {
      const char* expected = generate ? c.generate : c.score;
      if (expected == nullptr) continue;
      const std::string input = good + "\n" + c.line + "\n" + good + "\n";
      const Result got = generate ? Generate(input) : Score(input);
      EXPECT_EQ(got.exit_code, 1);
      ASSERT_EQ(got.lines.size(), 3u);
      EXPECT_TRUE(got.lines[0].contains("logprobs") && got.lines[2].contains("logprobs"));
      EXPECT_EQ(got.lines[1]["line"], 2);
      EXPECT_THAT(got.lines[1]["error"].get<std::string>(), HasSubstr(expected));
    }
  }
}

TEST_F(VerbErrors, APromptAndItsCompletionMustFit) {
  options_.sampling.max_tokens = 250;
  const Result got = Generate("{\"ids\": [1, 2, 3, 4, 5, 6, 7, 8]}\n");
  EXPECT_EQ(got.exit_code, 1);
  ASSERT_EQ(got.lines.size(), 1u);
  EXPECT_THAT(got.lines[0]["error"].get<std::string>(), HasSubstr("256"));
}

}  // namespace
}  // namespace evilmoe
