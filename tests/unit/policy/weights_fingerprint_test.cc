#include "policy/weights_fingerprint.h"

#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "common/file.h"
#include "policy/safetensors.h"

namespace evilmoe {
namespace {

namespace fs = std::filesystem;
using Tensors = std::map<std::string, TensorView>;

constexpr std::array<float, 3> kFloats = {1.5f, -2.0f, 3.25f};
constexpr std::array<float, 3> kOtherFloats = {1.5f, -2.0f, 3.2500002f};  // one bit off
constexpr std::array<uint16_t, 3> kHalves = {0x3F80, 0xC000, 0x4050};
// scripts/golden/weights_fingerprint.py
constexpr char kGolden[] = "ecfa2ee63f431f32c5b19f9e06adeb02c20cc4b879033890ab281ba78d0c56d9";
constexpr char kGoldenNano[] = "82159c0b71943728c7bcab379ff43760c108cf85759ae5c627a620c9adeadcde";

std::span<const std::byte> BytesOf(const auto& values) { return std::as_bytes(std::span(values)); }

Tensors Samples() {
  return {{"b.float", {"F32", {3, 1}, BytesOf(kFloats)}}, {"a.half", {"BF16", {3}, BytesOf(kHalves)}}};
}

class WeightsFingerprintTest : public ::testing::Test {
 protected:
  WeightsFingerprintTest() {
    std::string pattern = (fs::temp_directory_path() / "evilmoe_fingerprint_XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
  }
  ~WeightsFingerprintTest() override { fs::remove_all(folder_); }

  std::string Of(const Tensors& tensors, const std::map<std::string, std::string>& metadata = {}) const {
    EXPECT_TRUE(WriteSafetensorsFile(folder_ / "model.safetensors", tensors, metadata).ok());
    return *WeightsFingerprint(folder_);
  }

  fs::path folder_;
};

TEST_F(WeightsFingerprintTest, IsWhatAnotherProgramMakesOfTheSameTensors) {
  EXPECT_EQ(Of(Samples()), kGolden);
  EXPECT_EQ(*WeightsFingerprint(fs::path(EVILMOE_SOURCE_DIR) / "examples/nano/model"), kGoldenNano);
}

TEST_F(WeightsFingerprintTest, DoesNotSeeHowTensorsAreStoredNorWhatElseIsInTheFolder) {
  EXPECT_EQ(Of(Samples(), {{"format", "pt"}}), kGolden);
  fs::remove(folder_ / "model.safetensors");
  for (const auto& [name, tensor] : Samples()) {
    EXPECT_TRUE(WriteSafetensorsFile(folder_ / (name + ".safetensors"), {{name, tensor}}).ok());
  }
  ASSERT_TRUE(WriteFileAtomic(folder_ / "model.safetensors.index.json",
                              R"({"weight_map": {"b.float": "b.float.safetensors", "a.half": "a.half.safetensors"}})")
                  .ok());
  ASSERT_TRUE(WriteFileAtomic(folder_ / "config.json", "{}").ok());
  EXPECT_EQ(*WeightsFingerprint(folder_), kGolden);
}

TEST_F(WeightsFingerprintTest, SeesEveryChangeOfATensor) {
  struct Change {
    const char* name;
    std::function<void(Tensors&)> make;
  };
  const std::vector<Change> changes = {
      {"one bit", [](Tensors& t) { t["b.float"].data = BytesOf(kOtherFloats); }},
      {"shape",
       [](Tensors& t) {
         t["b.float"].shape = {1, 3};
       }},
      {"dtype", [](Tensors& t) { t["a.half"].dtype = "F16"; }},
      {"one less", [](Tensors& t) { t.erase("a.half"); }},
      {"one more",
       [](Tensors& t) {
         t["c"] = {"F32", {0}, {}};
       }},
      {"renamed",
       [](Tensors& t) {
         t["a.hale"] = t["a.half"];
         t.erase("a.half");
       }},
      {"swapped names", [](Tensors& t) { std::swap(t["a.half"], t["b.float"]); }},
  };
  std::map<std::string, std::string> seen = {{kGolden, "none"}};
  for (const Change& change : changes) {
    Tensors tensors = Samples();
    change.make(tensors);
    const auto [same, is_new] = seen.emplace(Of(tensors), change.name);
    EXPECT_TRUE(is_new) << change.name << " looks like " << same->second;
  }
}

// More than one slice, and an end in the middle of a page.
TEST_F(WeightsFingerprintTest, OfALargeTensorSeesItsFirstAndItsLastByte) {
  std::vector<float> large((size_t{16} << 20) / sizeof(float) * 2 + 5);
  const Tensors tensors = {{"large", {"F32", {static_cast<int64_t>(large.size())}, BytesOf(large)}}};
  const std::string zeros = Of(tensors);
  large.back() = 1;
  const std::string last = Of(tensors);
  large.back() = 0;
  large.front() = 1;
  const std::string first = Of(tensors);
  EXPECT_NE(zeros, last);
  EXPECT_NE(zeros, first);
  EXPECT_NE(first, last);
  large.front() = 0;
  EXPECT_EQ(Of(tensors), zeros);
}

TEST_F(WeightsFingerprintTest, OfAFolderWithoutWeightsIsNotFound) {
  EXPECT_TRUE(absl::IsNotFound(WeightsFingerprint(folder_ / "none").status()));
  ASSERT_TRUE(WriteFileAtomic(folder_ / "model.safetensors", "no weights").ok());
  EXPECT_TRUE(absl::IsInvalidArgument(WeightsFingerprint(folder_).status()));
}

}  // namespace
}  // namespace evilmoe
