#include "policy/tokenize_verb.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "common/file.h"
#include "tests/unit/policy/tiny_tokenizer.h"

namespace evilmoe {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

class TokenizeVerbTest : public ::testing::Test {
 protected:
  TokenizeVerbTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "evilmoe_tokenize_XXXXXX").string();
    options_.tokenizer = mkdtemp(pattern.data());
    EXPECT_TRUE(WriteFileAtomic(options_.tokenizer / "tokenizer.json", TinyTokenizerJson().dump()).ok());
  }
  ~TokenizeVerbTest() override { std::filesystem::remove_all(options_.tokenizer); }

  // Runs the verb and returns its lines.
  std::vector<Json> Run(const std::string& input) {
    std::istringstream in(input);
    std::ostringstream out;
    std::ostringstream errors;
    exit_code_ = RunTokenize(options_, in, out, errors);
    errors_ = errors.str();
    std::vector<Json> lines;
    std::istringstream answers(out.str());
    for (std::string line; std::getline(answers, line);) lines.push_back(Json::parse(line));
    return lines;
  }

  TokenizeOptions options_;
  int exit_code_ = -1;
  std::string errors_;
};

TEST_F(TokenizeVerbTest, AnswersLineByLine) {
  const auto lines = Run("{\"text\": \"hello hello\"}\n{\"text\": \"\"}");
  EXPECT_EQ(exit_code_, 0);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0], (Json{{"ids", {259, 260}}}));
  EXPECT_EQ(lines[1], (Json{{"ids", Json::array()}}));
}

TEST_F(TokenizeVerbTest, RendersMessages) {
  const std::string input = R"({"messages": [{"role": "user", "content": "hello"}]})";
  const auto off = Run(input);
  ASSERT_EQ(off.size(), 1u);
  EXPECT_EQ(off[0]["text"], "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n");
  EXPECT_EQ(off[0]["ids"][0], 261);
  options_.thinking = true;
  EXPECT_EQ(Run(input)[0]["text"], "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n");
}

TEST_F(TokenizeVerbTest, DecodesBack) {
  options_.decode = true;
  const auto lines = Run("{\"ids\": [261, 259, 262]}\n{\"ids\": []}\n");
  EXPECT_EQ(exit_code_, 0);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0], (Json{{"text", "<|im_start|>hello<|im_end|>"}}));
  EXPECT_EQ(lines[1], (Json{{"text", ""}}));
}

TEST_F(TokenizeVerbTest, BadLinesAreAnsweredInPlace) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "not a JSON object"},
      {"{", "not a JSON object"},
      {"[1]", "not a JSON object"},
      {"{\"text\": \"\xFF\"}", "not a JSON object"},
      {R"({"other": 1})", "expected \"text\" or \"messages\""},
      {R"({"text": "a", "messages": []})", "one of the two"},
      {R"({"text": 3})", "text: not a string"},
      {R"({"messages": []})", "messages: empty"},
      {R"({"messages": "x"})", "messages: not an array"},
      {R"({"messages": [{"role": "user"}]})", "messages[0]: expected"},
      {R"({"messages": [3]})", "messages[0]: expected"},
      {R"({"messages": [{"role": "tool", "content": ""}]})", "messages[0].role"}};
  for (const auto& [line, message] : cases) {
    const auto lines = Run("{\"text\": \"hello\"}\n" + line + "\n{\"text\": \"hello\"}\n");
    EXPECT_EQ(exit_code_, 1) << line;
    ASSERT_EQ(lines.size(), 3u) << line;
    EXPECT_EQ(lines[1]["line"], 2);
    EXPECT_THAT(lines[1]["error"].get<std::string>(), HasSubstr(message));
    EXPECT_EQ(lines[2], (Json{{"ids", {259}}}));
  }
}

TEST_F(TokenizeVerbTest, BadIdsAreNamed) {
  options_.decode = true;
  for (const char* line : {R"({"ids": [259, 265]})", R"({"ids": [259, -1]})", R"({"ids": [259, 1.5]})",
                           R"({"ids": [259, "a"]})", R"({"ids": [259, 99999999999]})"}) {
    const auto lines = Run(line);
    EXPECT_EQ(exit_code_, 1);
    ASSERT_EQ(lines.size(), 1u);
    EXPECT_THAT(lines[0]["error"].get<std::string>(), HasSubstr("ids[1]: ")) << line;
  }
  EXPECT_THAT(Run(R"({"text": "a"})")[0]["error"].get<std::string>(), HasSubstr("expected \"ids\""));
}

TEST_F(TokenizeVerbTest, SaysWhyThereIsNoTokenizer) {
  ASSERT_TRUE(WriteFileAtomic(options_.tokenizer / "tokenizer.json", "{}").ok());
  EXPECT_TRUE(Run("{\"text\": \"a\"}\n").empty());
  EXPECT_EQ(exit_code_, 2);
  EXPECT_THAT(errors_, HasSubstr("tokenizer.json: decoder: null"));
  std::filesystem::remove(options_.tokenizer / "tokenizer.json");
  EXPECT_TRUE(Run("{\"text\": \"a\"}\n").empty());
  EXPECT_EQ(exit_code_, 4);
}

}  // namespace
}  // namespace evilmoe
