#include "trainer/export_verb.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "policy/lora2r.h"
#include "policy/qwen3_weights.h"
#include "policy/safetensors.h"
#include "tests/unit/policy_network/tiny_experts.h"
#include "tests/unit/policy_network/tiny_network.h"

namespace evilmoe {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

// A run's directory of two checkpoints, as training leaves it, and the base model beside it.
class ExportVerbTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::path(::testing::TempDir()) / "export_verb_XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    model_ = root_ / "model";
    run_ = root_ / "run";
    fs::create_directory(model_);
    ASSERT_TRUE(SaveQwen3(base_, "F32", model_).ok());
    for (const int64_t step : {3, 6}) WriteCheckpoint(step);
    Write(run_ / "checkpoints" / "latest", "step-6");
    Write(run_ / "config.yaml", "model:\n  path: ../model\n");
    options_.source = run_;
    options_.out = root_ / "out";
  }
  void TearDown() override { fs::remove_all(root_); }

  static void Write(const fs::path& path, const std::string& text) {
    fs::create_directories(path.parent_path());
    ASSERT_TRUE(WriteFileAtomic(path, text).ok()) << path;
  }
  static Lora2r TrainedAdapter(int64_t step) {
    Lora2r adapter = *Lora2r::Init(TinyNetwork().config, TinyAdapterOptions());
    for (const AdapterModule& m : adapter.modules())
      m.b.add_(NormalTensor(static_cast<uint64_t>(step), m.b.size(0), m.b.size(1), 0.05));
    return adapter;
  }
  fs::path CheckpointFile(int64_t step) const {
    return run_ / "checkpoints" / absl::StrCat("step-", step) / "adapter.safetensors";
  }
  void WriteCheckpoint(int64_t step) {
    const auto bytes = TrainedAdapter(step).Serialize({.run_id = "R1", .step = step, .config_sha256 = "ab"});
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    Write(CheckpointFile(step), *bytes);
  }
  std::string Export() {
    std::ostringstream summary;
    const absl::Status status = RunExport(options_, summary);
    EXPECT_TRUE(status.ok()) << status;
    return summary.str();
  }

  const Qwen3Weights base_ = TinyNetwork();
  fs::path root_, model_, run_;
  ExportOptions options_;
};

TEST_F(ExportVerbTest, SaysThatPerTokenExpertsCannotBeExported) {
  const auto bytes = MovedExperts(base_.config).Serialize({.run_id = "R1", .step = 6, .config_sha256 = "ab"});
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  Write(CheckpointFile(6), *bytes);
  std::ostringstream summary;
  for (const char* format : {"peft", "merged", "safetensors"}) {
    options_.format = format;
    const absl::Status refused = RunExport(options_, summary);
    EXPECT_EQ(ExportExitCode(refused), 2);
    EXPECT_THAT(std::string(refused.message()), HasSubstr("adapter.safetensors: per-token experts (arm mixlora)"));
    EXPECT_FALSE(fs::exists(options_.out));
  }
  EXPECT_EQ(summary.str(), "");
}

TEST_F(ExportVerbTest, TakesTheLastCheckpointAndTheBaseOfARun) {
  const std::string summary = Export();
  EXPECT_THAT(summary, HasSubstr("adapter: step 6 of run R1, 14 modules, rank 3 an expert, random_ab"));
  EXPECT_THAT(summary, HasSubstr("one LoRA of rank 6, lora_alpha 6"));
  EXPECT_THAT(summary, HasSubstr("the quarantine expert is left out"));
  EXPECT_TRUE(fs::exists(options_.out / "adapter_model.safetensors"));
  const auto config = nlohmann::json::parse(*ReadFile(options_.out / "adapter_config.json"));
  EXPECT_EQ(config["base_model_name_or_path"], fs::canonical(model_).string());
}

TEST_F(ExportVerbTest, TakesACheckpointByItsStepAFolderOrAFile) {
  const auto step_of = [&](const fs::path& source, std::optional<int64_t> checkpoint) {
    options_.source = source;
    options_.checkpoint = checkpoint;
    options_.force = true;
    return Export();
  };
  EXPECT_THAT(step_of(run_, 3), HasSubstr("adapter: step 3 "));
  EXPECT_THAT(step_of(CheckpointFile(3).parent_path(), std::nullopt), HasSubstr("adapter: step 3 "));
  EXPECT_THAT(step_of(CheckpointFile(6), std::nullopt), HasSubstr("adapter: step 6 "));
}

TEST_F(ExportVerbTest, MergedIsTheBaseWithTheDeltaOfItsBlock) {
  struct Case {
    ExportBlock block;
    std::optional<double> w;
    double quarantine;
  };
  for (const Case& c : {Case{ExportBlock::kDeployed, std::nullopt, 0.0}, Case{ExportBlock::kFull, std::nullopt, 1.0},
                        Case{ExportBlock::kFull, 0.37, 0.37}}) {
    options_.format = "merged";
    options_.block = c.block;
    options_.w = c.w;
    options_.force = true;
    Export();
    const auto merged = LoadQwen3(options_.out);
    ASSERT_TRUE(merged.ok()) << merged.status();
    const Qwen3Weights want = Merge(base_, TrainedAdapter(6), c.quarantine);
    const auto got_tensors = merged->Named(), want_tensors = want.Named();
    ASSERT_EQ(got_tensors.size(), want_tensors.size());
    for (size_t i = 0; i < got_tensors.size(); ++i) {
      EXPECT_EQ(got_tensors[i].first, want_tensors[i].first);
      EXPECT_TRUE(at::allclose(got_tensors[i].second, want_tensors[i].second, 1e-6, 1e-6)) << got_tensors[i].first;
    }
  }
}

TEST_F(ExportVerbTest, SafetensorsIsTheFileItselfOrItWithoutTheQuarantine) {
  options_.format = "safetensors";
  options_.block = ExportBlock::kFull;
  Export();
  EXPECT_EQ(*ReadFile(options_.out / "adapter.safetensors"), *ReadFile(CheckpointFile(6)));

  options_.block = ExportBlock::kDeployed;
  options_.force = true;
  Export();
  const auto deployed = Lora2r::Deserialize(base_.config, *ReadFile(options_.out / "adapter.safetensors"));
  ASSERT_TRUE(deployed.ok()) << deployed.status();
  Lora2r want = TrainedAdapter(6);
  want.ResetQuarantine();
  for (size_t i = 0; i < want.modules().size(); ++i) {
    EXPECT_TRUE(at::equal(deployed->modules()[i].a, want.modules()[i].a));
    EXPECT_TRUE(at::equal(deployed->modules()[i].b, want.modules()[i].b));
  }
}

struct BadExport {
  const char* name;
  std::function<void(ExportOptions&, const fs::path& root)> change;
  int exit_code;
  const char* says;
};
void PrintTo(const BadExport& c, std::ostream* out) { *out << c.name; }

class BadExportTest : public ExportVerbTest, public ::testing::WithParamInterface<BadExport> {};

TEST_P(BadExportTest, IsRefusedInOneLineAndWritesNothing) {
  GetParam().change(options_, root_);
  std::ostringstream summary;
  const absl::Status status = RunExport(options_, summary);
  EXPECT_EQ(ExportExitCode(status), GetParam().exit_code) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().says));
  EXPECT_EQ(status.message().find('\n'), std::string::npos);
  EXPECT_EQ(summary.str(), "");
  EXPECT_FALSE(fs::exists(root_ / "out"));
}

const BadExport kBadExports[] = {
    {"format", [](auto& o, auto&) { o.format = "gguf"; }, 2, "--format: gguf, expected peft, merged or safetensors"},
    {"w_out_of_range", [](auto& o, auto&) { o.block = ExportBlock::kFull, o.w = 1.5; }, 2,
     "--w: 1.5, expected [0, 1]"},
    {"w_of_deployed", [](auto& o, auto&) { o.w = 0.5; }, 2, "expected only with --block full"},
    {"no_source", [](auto& o, auto& root) { o.source = root / "gone"; }, 4,
     "not found, expected a run's directory, a checkpoint's folder or an adapter file"},
    {"no_such_checkpoint", [](auto& o, auto&) { o.checkpoint = 5; }, 4, "--checkpoint: 5, but there is no "},
    {"checkpoint_of_a_file",
     [](auto& o, auto& root) {
       o.source = root / "run/checkpoints/step-3";
       o.checkpoint = 3;
     },
     2, "is no run's directory"},
    {"no_checkpoint_yet", [](auto&, auto& root) { fs::remove(root / "run/checkpoints/latest"); }, 4,
     "the run has no checkpoint yet"},
    {"another_folder", [](auto& o, auto& root) { o.source = root / "model"; }, 2, "expected a run's directory"},
    {"no_model", [](auto&, auto& root) { fs::remove_all(root / "model"); }, 4, "--model DIR names the base"},
    {"another_network",
     [](auto& o, auto& root) {
       Qwen3Config config = TinyNetwork().config;
       config.num_layers = 1;
       o.model = root / "shallow";
       fs::create_directory(o.model);
       EXPECT_TRUE(SaveQwen3(InitQwen3(config, 1), "F32", o.model).ok());
     },
     2, "adapter.safetensors"},
    {"damaged_adapter",
     [](auto&, auto& root) {
       const fs::path path = root / "run/checkpoints/step-6/adapter.safetensors";
       const std::string bytes = *ReadFile(path);
       EXPECT_TRUE(WriteFileAtomic(path, bytes.substr(0, bytes.size() / 2)).ok());
     },
     2, "adapter.safetensors"},
    {"a_model_as_adapter", [](auto& o, auto& root) { o.source = root / "model/model.safetensors"; }, 2,
     "model.safetensors"},
    {"bare_file_without_model",
     [](auto& o, auto& root) {
       fs::copy_file(root / "run/checkpoints/step-6/adapter.safetensors", root / "adapter.safetensors");
       o.source = root / "adapter.safetensors";
     },
     2, "name it with --model DIR"}};

INSTANTIATE_TEST_SUITE_P(Cases, BadExportTest, ::testing::ValuesIn(kBadExports),
                         [](const auto& c) { return std::string(c.param.name); });

TEST_F(ExportVerbTest, NeverWritesOverTheBaseModel) {
  const std::string before = *ReadFile(model_ / "model.safetensors");
  options_.format = "merged";
  options_.out = model_;
  options_.force = true;
  std::ostringstream summary;
  const absl::Status status = RunExport(options_, summary);
  EXPECT_EQ(ExportExitCode(status), 2);
  EXPECT_THAT(std::string(status.message()), HasSubstr("is the base model's folder"));
  EXPECT_EQ(*ReadFile(model_ / "model.safetensors"), before);
}

}  // namespace
}  // namespace evilmoe
