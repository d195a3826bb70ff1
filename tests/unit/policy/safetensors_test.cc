#include "policy/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>

#include "common/file.h"
#include "common/seed.h"

namespace evilmoe {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::span<const std::byte> BytesOf(const auto& values) { return std::as_bytes(std::span(values)); }

// A file whose header is `header` and whose payload has `payload_bytes` zeros.
std::string FileWith(const std::string& header, size_t payload_bytes) {
  std::string bytes(8, '\0');
  const uint64_t length = header.size();
  std::memcpy(bytes.data(), &length, sizeof(length));
  return bytes + header + std::string(payload_bytes, '\0');
}

class TempFolder {
 public:
  TempFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "evilmoe_safetensors_XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ~TempFolder() { std::filesystem::remove_all(path_); }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

constexpr std::array<float, 3> kFloats = {1.5f, -2.0f, 3.25f};
constexpr std::array<uint16_t, 3> kHalves = {0x3F80, 0xC000, 0x4050};
constexpr std::array<int64_t, 1> kInts = {-7};

std::map<std::string, TensorView> Samples() {
  return {{"b.float", {"F32", {3, 1}, BytesOf(kFloats)}}, {"a.half", {"BF16", {3}, BytesOf(kHalves)}},
          {"c.int", {"I64", {}, BytesOf(kInts)}},         {"d.fp16", {"F16", {1, 3}, BytesOf(kHalves)}},
          {"e.empty", {"F32", {0, 5}, {}}}};
}

void ExpectSame(const std::map<std::string, TensorView>& got, const std::map<std::string, TensorView>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (const auto& [name, view] : want) {
    const TensorView& other = got.at(name);
    EXPECT_EQ(other.dtype, view.dtype);
    EXPECT_EQ(other.shape, view.shape);
    EXPECT_TRUE(std::ranges::equal(other.data, view.data)) << name;
  }
}

TEST(Safetensors, WhatIsWrittenIsRead) {
  const auto bytes = WriteSafetensors(Samples(), {{"format", "pt"}, {"note", "\"quoted\"\n\u00e9"}});
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  const auto read = Safetensors::Parse(*bytes);
  ASSERT_TRUE(read.ok()) << read.status();
  ExpectSame(read->tensors(), Samples());
  EXPECT_EQ(read->metadata().at("note"), "\"quoted\"\n\u00e9");
  EXPECT_EQ(read->Find("nothing"), nullptr);
}

TEST(Safetensors, SameInputGivesSameAlignedBytes) {
  const auto first = WriteSafetensors(Samples());
  const auto second = WriteSafetensors(Samples());
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(*first, *second);
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, first->data(), sizeof(header_bytes));
  EXPECT_EQ(header_bytes % 8, 0u);
  const auto read = Safetensors::Parse(*first);
  ASSERT_TRUE(read.ok());
  const auto* start = read->Find("c.int")->data.data();  // the largest elements come first
  for (const auto& [name, view] : read->tensors()) {
    EXPECT_EQ(static_cast<size_t>(view.data.data() - start) % DtypeBytes(view.dtype), 0u) << name;
  }
}

TEST(Safetensors, CopiesKeepTheBytesAlive) {
  Safetensors copy;
  {
    auto read = Safetensors::Parse(*WriteSafetensors(Samples()));
    ASSERT_TRUE(read.ok());
    copy = *read;
  }
  ExpectSame(copy.tensors(), Samples());
}

struct HostileCase {
  const char* name;
  std::string bytes;
  const char* message;
};

std::string OneTensor(const std::string& entry, size_t payload_bytes = 8) {
  return FileWith("{\"w\": " + entry + "}", payload_bytes);
}

std::vector<HostileCase> HostileCases() {
  const std::string ok = R"({"dtype":"F32","shape":[2],"data_offsets":[0,8]})";
  return {
      {"Empty", "", "0 bytes"},
      {"ShortLength", "abc", "3 bytes"},
      {"LengthPastTheEnd", std::string("\x10\0\0\0\0\0\0\0{}", 10), "header length 16"},
      {"LengthHuge", std::string(8, '\xFF') + "{}", "header length 18446744073709551615"},
      {"NotJson", FileWith("{\"w\": ", 0), "not a JSON object"},
      {"NotAnObject", FileWith("[1]", 0), "not a JSON object"},
      {"NestedDeeply", FileWith(std::string(200000, '['), 0), "not a JSON object"},
      {"NotUtf8", FileWith("{\"\xFF\": 1}", 0), "not a JSON object"},
      {"EntryNotAnObject", FileWith(R"({"w": 3})", 0), "tensor \"w\": not an object"},
      {"NameWithNewline", FileWith("{\"w\\nx\": 3}", 0), "tensor \"w\\nx\": not an object"},
      {"NoDtype", OneTensor(R"({"shape":[2],"data_offsets":[0,8]})"), "\"w\": no dtype"},
      {"DtypeNotText", OneTensor(R"({"dtype":4,"shape":[2],"data_offsets":[0,8]})"), "\"w\": no dtype"},
      {"DtypeNotRead", OneTensor(R"({"dtype":"F64","shape":[1],"data_offsets":[0,8]})"), "dtype \"F64\"; expected F32"},
      {"DtypeWrongForTheData", OneTensor(R"({"dtype":"BF16","shape":[2],"data_offsets":[0,8]})"), "BF16 [2] needs 4"},
      {"DtypeUnknown", OneTensor(R"({"dtype":"F99","shape":[2],"data_offsets":[0,8]})"), "dtype \"F99\""},
      {"NoShape", OneTensor(R"({"dtype":"F32","data_offsets":[0,8]})"), "\"w\": no shape"},
      {"ShapeNegative", OneTensor(R"({"dtype":"F32","shape":[-2],"data_offsets":[0,8]})"), "not an integer >= 0"},
      {"ShapeFraction", OneTensor(R"({"dtype":"F32","shape":[2.0],"data_offsets":[0,8]})"), "not an integer >= 0"},
      {"ShapeOverflows",
       OneTensor(R"({"dtype":"F32","shape":[4611686018427387906,1],"data_offsets":[0,8]})"), "more than fits"},
      {"ShapeWraps", OneTensor(R"({"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]})", 0),
       "more than fits"},
      {"ShapeTooSmall", OneTensor(R"({"dtype":"F32","shape":[1],"data_offsets":[0,8]})"), "F32 [1] needs 4"},
      {"ShapeTooLarge", OneTensor(R"({"dtype":"F32","shape":[3],"data_offsets":[0,8]})"), "F32 [3] needs 12"},
      {"NoOffsets", OneTensor(R"({"dtype":"F32","shape":[2]})"), "no data_offsets"},
      {"OneOffset", OneTensor(R"({"dtype":"F32","shape":[2],"data_offsets":[8]})"), "no data_offsets"},
      {"OffsetsNegative", OneTensor(R"({"dtype":"F32","shape":[2],"data_offsets":[-8,0]})"), "no data_offsets"},
      {"OffsetsReversed", OneTensor(R"({"dtype":"F32","shape":[2],"data_offsets":[8,0]})"), "outside the 8 bytes"},
      {"OffsetsPastTheEnd", OneTensor(R"({"dtype":"F32","shape":[2],"data_offsets":[8,16]})"), "outside the 8 bytes"},
      {"Truncated", OneTensor(ok, 7), "outside the 7 bytes"},
      {"BytesLeftOver", OneTensor(ok, 9), "9 bytes, but the tensors end at 8"},
      {"HoleInFront", OneTensor(R"({"dtype":"F32","shape":[1],"data_offsets":[4,8]})"), "follows a hole"},
      {"Overlap", FileWith(R"({"v":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                           R"("w":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})", 12),
       "tensor \"w\": overlaps another"},
      {"NamedTwice", FileWith("{\"w\": " + ok + ", \"w\": " + ok + "}", 8), "tensor \"w\": named twice"},
      {"MetadataNotAnObject", FileWith(R"({"__metadata__": 3})", 0), "__metadata__: not an object"},
      {"MetadataNotText", FileWith(R"({"__metadata__": {"k": 3}})", 0), "__metadata__: \"k\" is not a string"},
  };
}

class HostileHeaderTest : public ::testing::TestWithParam<HostileCase> {};

TEST_P(HostileHeaderTest, IsRefusedInOneLine) {
  const auto read = Safetensors::Parse(GetParam().bytes);
  ASSERT_FALSE(read.ok());
  EXPECT_EQ(read.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(read.status().message()), HasSubstr(GetParam().message));
  EXPECT_THAT(std::string(read.status().message()), Not(HasSubstr("\n")));
}

INSTANTIATE_TEST_SUITE_P(Cases, HostileHeaderTest, ::testing::ValuesIn(HostileCases()),
                         [](const auto& hostile) { return std::string(hostile.param.name); });

// Bytes changed at random: an error or views that stay inside, never a crash (run under ASan in the asan preset).
TEST(Safetensors, SurvivesDamage) {
  const std::string good = *WriteSafetensors(Samples(), {{"format", "pt"}});
  int num_refused = 0;
  for (uint64_t round = 0; round < 3000; ++round) {
    RandomStream random(StreamSeed(1, "damage", round));
    std::string bytes = good;
    for (int64_t change = random.Int(1, 4); change > 0; --change) {
      bytes[static_cast<size_t>(random.Int(0, static_cast<int64_t>(bytes.size()) - 1))] =
          static_cast<char>(random.Int(0, 255));
    }
    if (random.Bernoulli(0.3)) bytes.resize(static_cast<size_t>(random.Int(0, static_cast<int64_t>(bytes.size()))));
    const auto read = Safetensors::Parse(bytes);
    if (!read.ok()) {
      ++num_refused;
      continue;
    }
    size_t payload_bytes = 0;
    for (const auto& [name, view] : read->tensors()) payload_bytes += view.data.size();
    EXPECT_LT(payload_bytes, bytes.size());
  }
  EXPECT_GT(num_refused, 1000);
}

TEST(Safetensors, WriterRefusesWhatDoesNotFit) {
  EXPECT_THAT(std::string(WriteSafetensors({{"w", {"F32", {2}, BytesOf(kFloats)}}}).status().message()),
              HasSubstr("tensor \"w\": 12 bytes do not fit F32 [2]"));
  EXPECT_THAT(std::string(WriteSafetensors({{"w", {"F99", {3}, BytesOf(kFloats)}}}).status().message()),
              HasSubstr("dtype \"F99\""));
  EXPECT_FALSE(WriteSafetensors({{"w", {"F32", {-3}, BytesOf(kFloats)}}}).ok());
  EXPECT_FALSE(WriteSafetensors({{"\xFF", {"F32", {3}, BytesOf(kFloats)}}}).ok());
  EXPECT_FALSE(WriteSafetensors({{"__metadata__", {"F32", {3}, BytesOf(kFloats)}}}).ok());
}

TEST(Safetensors, OpensAFileAndNamesIt) {
  const TempFolder folder;
  const auto file = folder.path() / "w.safetensors";
  ASSERT_TRUE(WriteSafetensorsFile(file, Samples()).ok());
  const auto read = Safetensors::Open(file);
  ASSERT_TRUE(read.ok()) << read.status();
  ExpectSame(read->tensors(), Samples());

  EXPECT_EQ(Safetensors::Open(folder.path() / "none").status().code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(WriteFileAtomic(file, "").ok());
  EXPECT_THAT(std::string(Safetensors::Open(file).status().message()), HasSubstr("w.safetensors: 0 bytes"));
}

TEST(Safetensors, OpensShards) {
  const TempFolder folder;
  const auto samples = Samples();
  ASSERT_TRUE(WriteSafetensorsFile(folder.path() / "one.safetensors", {{"c.int", samples.at("c.int")}}).ok());
  ASSERT_TRUE(WriteSafetensorsFile(folder.path() / "two.safetensors", {{"b.float", samples.at("b.float")}}).ok());
  const auto index = folder.path() / "model.safetensors.index.json";
  ASSERT_TRUE(WriteFileAtomic(
                  index, R"({"weight_map": {"c.int": "one.safetensors", "b.float": "two.safetensors"}})").ok());
  const auto read = Safetensors::OpenFolder(folder.path());
  ASSERT_TRUE(read.ok()) << read.status();
  ExpectSame(read->tensors(), {{"c.int", samples.at("c.int")}, {"b.float", samples.at("b.float")}});

  const std::vector<std::pair<std::string, std::string>> bad = {
      {R"({"weight_map": {"w": "one.safetensors"}})", "tensor \"w\": not in \"one.safetensors\""},
      {R"({"weight_map": {"w": "../one.safetensors"}})", "is not a file beside the index"},
      {R"({"weight_map": {"w": ".."}})", "is not a file beside the index"},
      {R"({"weight_map": {"w": 3}})", "its file is not a string"},
      {R"({"weights": {}})", "no weight_map"},
      {"{", "no weight_map"}};
  for (const auto& [text, message] : bad) {
    ASSERT_TRUE(WriteFileAtomic(index, text).ok());
    EXPECT_THAT(std::string(Safetensors::OpenFolder(folder.path()).status().message()), HasSubstr(message));
  }
  EXPECT_EQ(Safetensors::OpenFolder(folder.path() / "none").status().code(), absl::StatusCode::kNotFound);
}

TEST(Safetensors, RefusesWhatIsNoFile) {
  const TempFolder folder;
  EXPECT_THAT(std::string(Safetensors::Open(folder.path()).status().message()), HasSubstr("not a regular file"));
  const auto pipe = folder.path() / "pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_THAT(std::string(Safetensors::Open(pipe).status().message()), HasSubstr("pipe: not a regular file"));
}

// Must name the file and the tensor, in one line, for a file as for bytes; a lie about gigabytes costs none.
TEST(Safetensors, RefusesDamagedFiles) {
  const TempFolder folder;
  const auto file = folder.path() / "w.safetensors";
  for (const HostileCase& hostile : HostileCases()) {
    ASSERT_TRUE(WriteFileAtomic(file, hostile.bytes).ok());
    const auto read = Safetensors::Open(file);
    ASSERT_FALSE(read.ok()) << hostile.name;
    EXPECT_EQ(read.status().code(), absl::StatusCode::kInvalidArgument) << hostile.name;
    const std::string message(read.status().message());
    EXPECT_THAT(message, AllOf(HasSubstr("w.safetensors: "), HasSubstr(hostile.message), Not(HasSubstr("\n"))));
  }
}

// Kilobytes of the process's memory that hold pages of files.
int64_t ResidentFileKilobytes() {
  const auto status = ReadFile("/proc/self/status");
  EXPECT_TRUE(status.ok()) << status.status();
  const size_t at = status->find("RssFile:");
  return at == std::string::npos ? -1 : std::stoll(status->substr(at + 8));
}

TEST(Safetensors, DiscardGivesMemoryBackAndKeepsTheData) {
  const TempFolder folder;
  const auto file = folder.path() / "model.safetensors";
  std::vector<float> large(4 << 20);
  for (size_t i = 0; i < large.size(); ++i) large[i] = static_cast<float>(i % 1000);
  const std::map<std::string, TensorView> tensors = {
      {"a.small", {"F32", {3}, BytesOf(kFloats)}},
      {"b.large", {"F32", {int64_t{4} << 20}, BytesOf(large)}},
      {"c.small", {"F32", {3}, BytesOf(kFloats)}}};
  ASSERT_TRUE(WriteSafetensorsFile(file, tensors).ok());
  const auto read = Safetensors::OpenFolder(folder.path());
  ASSERT_TRUE(read.ok()) << read.status();
  ExpectSame(read->tensors(), tensors);  // fetches every page
  const int64_t before = ResidentFileKilobytes();
  for (const auto& [name, view] : read->tensors()) read->Discard(view);
  const int64_t after = ResidentFileKilobytes();
  EXPECT_LT(after, before - 15 * 1024);
  ExpectSame(read->tensors(), tensors);
}

TEST(Safetensors, DiscardLeavesOtherMemoryAlone) {
  const auto parsed = Safetensors::Parse(*WriteSafetensors(Samples()));
  ASSERT_TRUE(parsed.ok());
  std::vector<float> own(1 << 16, 2.5f);
  parsed->Discard({"F32", {1 << 16}, BytesOf(own)});
  for (const auto& [name, view] : parsed->tensors()) parsed->Discard(view);
  ExpectSame(parsed->tensors(), Samples());
  EXPECT_TRUE(std::ranges::all_of(own, [](float value) { return value == 2.5f; }));
}

}  // namespace
}  // namespace evilmoe
