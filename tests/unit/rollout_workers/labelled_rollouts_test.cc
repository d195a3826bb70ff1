#include "rollout_workers/labelled_rollouts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zstd.h>

#include <filesystem>

#include "common/file.h"
#include "tests/unit/policy/tiny_tokenizer.h"

namespace evilmoe {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;
constexpr int32_t kEndOfTurn = 262;

class LabelledRolloutsTest : public ::testing::Test {
 protected:
  LabelledRolloutsTest() : folder_(fs::temp_directory_path() / ("evilmoe_labelled_" + std::to_string(::getpid()))) {
    fs::create_directories(folder_);
  }
  ~LabelledRolloutsTest() override { fs::remove_all(folder_); }

  fs::path Write(const std::string& name, const std::string& bytes) const {
    EXPECT_TRUE(WriteFileAtomic(folder_ / name, bytes).ok());
    return folder_ / name;
  }
  absl::StatusOr<std::vector<LabelledResponse>> Read(const std::vector<fs::path>& files) const {
    return ReadLabelledRollouts(files, tokenizer_, {});
  }
  static std::string Compressed(const std::string& text) {
    std::string bytes(ZSTD_compressBound(text.size()), '\0');
    bytes.resize(ZSTD_compress(bytes.data(), bytes.size(), text.data(), text.size(), 1));
    return bytes;
  }

  const fs::path folder_;
  const Tokenizer tokenizer_ = *Tokenizer::Parse(TinyTokenizerJson().dump());
};

const char kOfARun[] =
    R"({"step": 1, "problem_id": 7, "prompt_ids": [64, 65], "ids": [66, 262], "text": "c", "strict_hack": true})";

TEST_F(LabelledRolloutsTest, ReadsTokensAsARunWritesThem) {
  const std::string text = std::string(kOfARun) + "\n" + R"({"problem_id": 8, "masked": true})" + "\n" +
                           R"({"problem_id": 9, "failure": "INFRA_LOST"})" + "\n";
  for (const fs::path& file : {Write("step-1.jsonl", text), Write("step-1.jsonl.zst", Compressed(text))}) {
    const auto read = Read({file});
    ASSERT_TRUE(read.ok()) << read.status();
    ASSERT_EQ(read->size(), 1u);
    EXPECT_EQ(read->front().problem, 7);
    EXPECT_EQ(read->front().prompt_ids, (std::vector<int32_t>{64, 65}));
    EXPECT_EQ(read->front().response_ids, (std::vector<int32_t>{66, 262}));
    EXPECT_TRUE(read->front().is_hack);
  }
}

TEST_F(LabelledRolloutsTest, ReadsTextAndMessages) {
  const auto read = Read(
      {Write("a.jsonl", R"({"prompt": "ab", "text": "c", "strict_hack": false})"
                        "\n"
                        R"({"prompt": "ab", "response": "d", "strict_hack": true})"
                        "\n"
                        R"({"messages": [{"role": "user", "content": "hello"}], "text": "", "strict_hack": true})")});
  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_EQ(read->size(), 3u);
  EXPECT_EQ((*read)[0].prompt_ids, (std::vector<int32_t>{64, 65}));
  EXPECT_EQ((*read)[0].response_ids, (std::vector<int32_t>{66, kEndOfTurn}));
  EXPECT_EQ((*read)[1].response_ids, (std::vector<int32_t>{67, kEndOfTurn}));
  EXPECT_EQ((*read)[0].problem, (*read)[1].problem);  // the same prompt
  EXPECT_NE((*read)[0].problem, (*read)[2].problem);
  EXPECT_EQ((*read)[2].prompt_ids[0], 261);  // rendered as a chat
  EXPECT_EQ((*read)[2].response_ids, std::vector<int32_t>{kEndOfTurn});
}

struct BadLine {
  std::string name, line, says;
};
class BadLineTest : public LabelledRolloutsTest, public ::testing::WithParamInterface<BadLine> {};

TEST_P(BadLineTest, IsNamedByFileAndLine) {
  const fs::path file = Write("bad.jsonl", std::string(kOfARun) + "\n" + GetParam().line + "\n");
  const absl::Status status = Read({file}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr(file.string() + ":2: "));
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().says));
}

INSTANTIATE_TEST_SUITE_P(
    Cases, BadLineTest,
    ::testing::ValuesIn(std::vector<BadLine>{
        {"Truncated", R"({"ids": [1)", ""},
        {"Empty", "", ""},
        {"NoLabel", R"({"prompt": "a", "text": "b"})", "strict_hack: expected true or false"},
        {"LabelOfText", R"({"prompt": "a", "text": "b", "strict_hack": "yes"})", "strict_hack: expected true or false"},
        {"NoPrompt", R"({"text": "b", "strict_hack": true})", "no prompt"},
        {"NoResponse", R"({"prompt": "a", "strict_hack": true})", "no response"},
        {"TokenOutOfRange", R"({"prompt_ids": [999], "ids": [1], "strict_hack": true})", ""},
        {"NoTokens", R"({"prompt_ids": [], "ids": [1], "strict_hack": true})", "no tokens"},
        {"ProblemOfText", R"({"problem_id": "x", "prompt": "a", "text": "b", "strict_hack": true})", "problem_id"}}),
    [](const auto& c) { return c.param.name; });

TEST_F(LabelledRolloutsTest, RefusesADamagedArchive) {
  const std::string whole = Compressed(std::string(kOfARun) + "\n");
  EXPECT_THAT(std::string(Read({Write("cut.zst", whole.substr(0, whole.size() - 4))}).status().message()),
              HasSubstr("the file ends within a frame"));
  EXPECT_THAT(std::string(Read({Write("no.zst", kOfARun)}).status().message()), HasSubstr("zstd: "));
  EXPECT_EQ(Read({folder_ / "none.jsonl"}).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace evilmoe
