#include "common/line_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>

#include <string>
#include <vector>

#include "common/file.h"

namespace evilmoe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class LineReaderTest : public ::testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(folder_); }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path Plain(const std::string& text) const {
    const std::filesystem::path path = folder_ / "file.txt";
    EXPECT_TRUE(WriteFileAtomic(path, text).ok());
    return path;
  }
  std::filesystem::path Packed(const std::string& text) const {
    const std::filesystem::path path = folder_ / "file.txt.gz";
    const gzFile file = gzopen(path.c_str(), "wb");
    EXPECT_EQ(gzwrite(file, text.data(), static_cast<unsigned>(text.size())), static_cast<int>(text.size()));
    EXPECT_EQ(gzclose(file), Z_OK);
    return path;
  }

  // "NUMBER:TEXT" of each line, then the error if one ended it.
  static std::vector<std::string> Lines(const std::filesystem::path& path, LineReader::Limits limits = {}) {
    std::vector<std::string> lines;
    absl::StatusOr<LineReader> reader = LineReader::Open(path, limits);
    if (!reader.ok()) return {std::string(reader.status().message())};
    while (true) {
      const auto line = reader->Next();
      if (!line.ok()) lines.emplace_back(line.status().message());
      if (!line.ok() || !*line) return lines;
      lines.push_back(std::to_string((*line)->number) + ":" + std::string((*line)->text) +
                      ((*line)->too_long ? "TOO LONG" : "") + ((*line)->cut ? "CUT" : ""));
    }
  }

  const std::filesystem::path folder_ =
      std::filesystem::path(::testing::TempDir()) / ("evilmoe_line_reader_test." + std::to_string(getpid()));
};

TEST_F(LineReaderTest, ReadsLines) {
  EXPECT_THAT(Lines(Plain("a\r\n\nbc\n")), ElementsAre("1:a", "2:", "3:bc"));
  EXPECT_THAT(Lines(Plain("a\nb")), ElementsAre("1:a", "2:bCUT"));
  EXPECT_THAT(Lines(Plain("")), ElementsAre());
}

TEST_F(LineReaderTest, ReadsGzipAsWhatIsInIt) {
  const std::string long_line(300'000, 'x');  // over several reads
  EXPECT_THAT(Lines(Packed("a\n" + long_line + "\nb\n")), ElementsAre("1:a", "2:" + long_line, "3:b"));
}

TEST_F(LineReaderTest, SkipsALineThatIsTooLong) {
  const std::string text = "a\n" + std::string(300'000, 'x') + "\nb\n" + std::string(11, 'y');
  EXPECT_THAT(Lines(Plain(text), {.max_line_bytes = 10}), ElementsAre("1:a", "2:TOO LONG", "3:b", "4:TOO LONGCUT"));
  EXPECT_THAT(Lines(Packed(text), {.max_line_bytes = 10}), ElementsAre("1:a", "2:TOO LONG", "3:b", "4:TOO LONGCUT"));
  EXPECT_THAT(Lines(Plain(std::string(10, 'x') + "\n"), {.max_line_bytes = 10}), ElementsAre("1:xxxxxxxxxx"));
}

TEST_F(LineReaderTest, StopsAtAFileThatIsTooLarge) {
  const std::filesystem::path path = Packed("a\n" + std::string(1'000'000, 'x'));
  EXPECT_THAT(Lines(path, {.max_file_bytes = 500'000}).back(),
              HasSubstr("file.txt.gz: line 2: the file is larger than 500000 bytes"));
}

TEST_F(LineReaderTest, TellsDamagedGzip) {
  const std::filesystem::path path = Packed("a\nb\n");
  const std::string bytes = *ReadFile(path);
  ASSERT_TRUE(WriteFileAtomic(path, bytes.substr(0, bytes.size() - 6)).ok());
  EXPECT_THAT(Lines(path).back(), HasSubstr("the gzip data is cut short"));
  std::string wrong = bytes;
  wrong[bytes.size() - 6] ^= 1;  // of its check sum
  ASSERT_TRUE(WriteFileAtomic(path, wrong).ok());
  EXPECT_THAT(Lines(path).back(), HasSubstr("the gzip data is damaged"));
}

TEST_F(LineReaderTest, SaysWhatIsNoFile) {
  EXPECT_EQ(LineReader::Open(folder_ / "none").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(LineReader::Open(folder_).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace evilmoe
