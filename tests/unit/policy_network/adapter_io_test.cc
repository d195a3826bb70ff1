// The adapter as a file: round trips, what its metadata says, and what is refused.

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>

#include "policy/lora2r.h"
#include "policy/safetensors.h"
#include "tests/unit/policy_network/tiny_network.h"

namespace evilmoe {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const AdapterProvenance kProvenance = {"01JABCDEF", 17, std::string(64, 'c')};

Lora2r PerturbedAdapter(const Qwen3Config& config, const Lora2rOptions& options) {
  Lora2r adapter = *Lora2r::Init(config, options);
  for (const AdapterModule& m : adapter.modules()) {
    const auto index = static_cast<uint64_t>(m.id.index());
    m.a.add_(NormalTensor(300 + index, m.a.size(0), m.a.size(1), 0.05));
    m.b.add_(NormalTensor(600 + index, m.b.size(0), m.b.size(1), 0.05));
  }
  return adapter;
}

// The same file with its tensors and metadata edited.
using Tensors = std::map<std::string, TensorView>;
using Edit = std::function<void(Tensors&, AdapterFields&)>;
std::string Edited(const std::string& bytes, const Edit& edit) {
  const Safetensors file = *Safetensors::Parse(bytes);
  Tensors tensors = file.tensors();
  AdapterFields fields = file.metadata();
  edit(tensors, fields);
  return *WriteSafetensors(tensors, fields);
}

class AdapterIoTest : public ::testing::TestWithParam<bool> {  // random_ab or zero_b
 protected:
  AdapterIoTest() : config_(TinyNetwork().config), options_(TinyAdapterOptions(GetParam())) {
    options_.scale = 1.0 / 3;
    options_.scope_completion = GetParam();
    options_.seed = ~uint64_t{0};
  }
  const Qwen3Config config_;
  Lora2rOptions options_;
};

TEST_P(AdapterIoTest, SurvivesBitForBit) {
  const Lora2r adapter = PerturbedAdapter(config_, options_);
  const auto bytes = adapter.Serialize(kProvenance);
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  const auto back = Lora2r::Deserialize(config_, *bytes);
  ASSERT_TRUE(back.ok()) << back.status();
  for (size_t i = 0; i < adapter.modules().size(); ++i) {
    EXPECT_TRUE(at::equal(back->modules()[i].a, adapter.modules()[i].a));
    EXPECT_TRUE(at::equal(back->modules()[i].b, adapter.modules()[i].b));
    EXPECT_TRUE(at::equal(back->modules()[i].a0, adapter.modules()[i].a0));
    EXPECT_TRUE(at::equal(back->modules()[i].b0, adapter.modules()[i].b0));
  }
  EXPECT_EQ(*back->Serialize(kProvenance), *bytes);
}

TEST_P(AdapterIoTest, MetadataSaysWhatItIsAndWhereItIsFrom) {
  const Lora2r adapter = PerturbedAdapter(config_, options_);
  const Safetensors file = *Safetensors::Parse(*adapter.Serialize(kProvenance));
  const auto metadata = ReadAdapterMetadata(file);
  ASSERT_TRUE(metadata.ok()) << metadata.status();
  EXPECT_EQ(metadata->provenance, kProvenance);
  EXPECT_EQ(metadata->options.rank, 3);
  EXPECT_EQ(metadata->options.random_ab, GetParam());
  EXPECT_EQ(metadata->options.scale, 1.0 / 3);
  EXPECT_EQ(metadata->options.scope_completion, GetParam());
  EXPECT_EQ(metadata->options.seed, ~uint64_t{0});
  EXPECT_EQ(metadata->options.targets, options_.targets);
  EXPECT_EQ(metadata->init_sha256, adapter.init_sha256());
  EXPECT_EQ(file.metadata().at("version"), "1");
}

TEST_P(AdapterIoTest, SharesTheInitOfThePreviousAdapterWhereItIsTheSame) {
  const Lora2r previous = *Lora2r::Init(config_, options_);
  const std::string bytes = *PerturbedAdapter(config_, options_).Serialize(kProvenance);
  const auto shared = Lora2r::Deserialize(config_, bytes, previous);
  ASSERT_TRUE(shared.ok()) << shared.status();
  const auto alone = Lora2r::Deserialize(config_, bytes);
  for (size_t i = 0; i < previous.modules().size(); ++i) {
    const AdapterModule &got = shared->modules()[i], &want = alone->modules()[i];
    EXPECT_EQ(got.a0.const_data_ptr(), previous.modules()[i].a0.const_data_ptr());
    EXPECT_EQ(got.b0.const_data_ptr(), previous.modules()[i].b0.const_data_ptr());
    EXPECT_TRUE(at::equal(got.a, want.a));
    EXPECT_TRUE(at::equal(got.b, want.b));
    EXPECT_TRUE(at::equal(previous.modules()[i].a, previous.modules()[i].a0)) << "the previous one must not move";
  }
  Lora2rOptions other = options_;
  other.seed = 8;
  const std::string other_bytes = *PerturbedAdapter(config_, other).Serialize();
  const auto redrawn = Lora2r::Deserialize(config_, other_bytes, previous);
  ASSERT_TRUE(redrawn.ok()) << redrawn.status();
  EXPECT_FALSE(at::equal(redrawn->modules()[0].a0, previous.modules()[0].a0));
  EXPECT_EQ(*redrawn->Serialize(), other_bytes);
}

INSTANTIATE_TEST_SUITE_P(Inits, AdapterIoTest, ::testing::Values(true, false),
                         [](const auto& c) { return c.param ? "random_ab" : "zero_b"; });

struct BadAdapterCase {
  const char* name;
  Edit edit;
  absl::StatusCode want;
  const char* says;
};
class BadAdapterTest : public ::testing::TestWithParam<BadAdapterCase> {};

TEST_P(BadAdapterTest, IsRefusedInOneLine) {
  const Qwen3Config config = TinyNetwork().config;
  const Lora2r previous = *Lora2r::Init(config, TinyAdapterOptions());
  const std::string bytes = Edited(*previous.Serialize(kProvenance), GetParam().edit);
  for (const absl::Status& status :
       {Lora2r::Deserialize(config, bytes).status(), Lora2r::Deserialize(config, bytes, previous).status()}) {
    EXPECT_EQ(status.code(), GetParam().want) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().says));
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("\n")));
  }
}

constexpr char kA[] = "layers.1.up_proj.A";
const std::vector<std::byte> kZeros(1 << 16);

Edit SetField(const std::string& name, const std::string& value) {
  return [=](Tensors&, AdapterFields& fields) { fields[name] = value; };
}
Edit DropField(const std::string& name) {
  return [=](Tensors&, AdapterFields& fields) { fields.erase(name); };
}
Edit SetArray(const std::string& name, const std::string& dtype, const std::vector<int64_t>& shape) {
  return [=](Tensors& tensors, AdapterFields&) {
    size_t bytes = DtypeBytes(dtype);
    for (const int64_t size : shape) bytes *= static_cast<size_t>(size);
    tensors[name] = {dtype, shape, std::span(kZeros).first(bytes)};
  };
}

using enum absl::StatusCode;
INSTANTIATE_TEST_SUITE_P(
    Cases, BadAdapterTest,
    ::testing::ValuesIn(std::vector<BadAdapterCase>{
        {"MissingTensor", [](Tensors& tensors, AdapterFields&) { tensors.erase(kA); }, kDataLoss, "up_proj.A is missing"},
        {"WrongShape", SetArray(kA, "F32", {6, 23}), kInvalidArgument, "shape [6, 23], this network expects [6, 24]"},
        {"OtherRank", SetField("rank", "2"), kInvalidArgument, "shape [6, 24], this network expects [4, 24]"},
        {"WrongDtype", SetArray(kA, "BF16", {6, 24}), kDataLoss, "up_proj.A has dtype BF16, expected F32"},
        {"UnknownTensor", SetArray("layers.2.up_proj.A", "F32", {6, 24}), kInvalidArgument, "29 arrays"},
        {"UnknownInit", SetField("init", "orthogonal"), kDataLoss, "init \"orthogonal\""},
        {"UnknownScope", SetField("scope", "prompt"), kDataLoss, "scope \"prompt\""},
        {"NewerVersion", SetField("version", "2"), kDataLoss, "version 2 of evilmoe.lora2r, this program reads 1 to 1"},
        {"NoVersion", DropField("version"), kDataLoss, "version"},
        {"OtherFormat", SetField("format", "pt"), kDataLoss, "format \"pt\" in the metadata, expected evilmoe.lora2r"},
        {"ForeignFile", [](Tensors&, AdapterFields& fields) { fields.clear(); }, kDataLoss, "format \"\""},
        {"OtherSeed", SetField("seed", "8"), kDataLoss, "init rebuilds to sha256"},
        {"OtherInitHash", SetField("init_sha256", std::string(64, '0')), kDataLoss, "init rebuilds to sha256"},
        {"RankIsNoNumber", SetField("rank", "x"), kDataLoss, "rank in the metadata: \"x\""},
        {"HugeRank", SetField("rank", "99999999999"), kDataLoss, "rank 99999999999"},
        {"ScaleIsNotFinite", SetField("scale", "inf"), kDataLoss, "scale in the metadata: \"inf\""},
    }),
    [](const auto& c) { return c.param.name; });

TEST(DamagedAdapter, TruncatedOrScribbledBytesAreRefused) {
  const Qwen3Config config = TinyNetwork().config;
  const std::string bytes = *Lora2r::Init(config, TinyAdapterOptions())->Serialize();
  for (const size_t size : {size_t{0}, size_t{7}, size_t{100}, bytes.size() - 1}) {
    EXPECT_EQ(Lora2r::Deserialize(config, bytes.substr(0, size)).status().code(), kDataLoss) << size;
  }
  std::string scribbled = bytes;
  scribbled[8] = '[';
  EXPECT_EQ(Lora2r::Deserialize(config, scribbled).status().code(), kDataLoss);
}

TEST(DamagedAdapter, OfAnotherNetworkIsRefused) {
  const Qwen3Config config = TinyNetwork().config;
  const Lora2r adapter = *Lora2r::Init(config, TinyAdapterOptions());
  const std::string bytes = *adapter.Serialize();
  Qwen3Config wider = config, shallower = config;
  wider.intermediate_size = 48;
  shallower.num_layers = 1;
  EXPECT_EQ(Lora2r::Deserialize(wider, bytes, adapter).status().code(), kInvalidArgument);
  EXPECT_EQ(Lora2r::Deserialize(shallower, bytes, adapter).status().code(), kInvalidArgument);
}

}  // namespace
}  // namespace evilmoe
