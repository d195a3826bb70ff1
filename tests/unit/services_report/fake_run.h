#pragma once

#include <zstd.h>

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "gtest/gtest.h"
#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "nlohmann/json.hpp"

namespace evilmoe {

// A run directory that a test fills as it likes; removed with the object.
class FakeRun {
 public:
  FakeRun() {
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    std::string name = absl::StrCat("report_", info->test_suite_name(), "_", info->name());
    for (char& c : name) {
      if (c == '/') c = '_';
    }
    directory_ = std::filesystem::path(::testing::TempDir()) / name;
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directories(directory_);
  }
  ~FakeRun() { std::filesystem::remove_all(directory_); }

  const std::filesystem::path& directory() const { return directory_; }

  void Write(std::string_view file, std::string_view bytes) const {
    const std::filesystem::path path = directory_ / file;
    std::filesystem::create_directories(path.parent_path());
    ASSERT_TRUE(WriteFileAtomic(path, bytes).ok()) << path;
  }

  static std::string Zstd(std::string_view bytes) {
    std::string packed(ZSTD_compressBound(bytes.size()), '\0');
    packed.resize(ZSTD_compress(packed.data(), packed.size(), bytes.data(), bytes.size(), 3));
    return packed;
  }

  void WriteRollouts(int step, const std::vector<nlohmann::json>& rows) const {
    std::string text;
    for (const nlohmann::json& row : rows) absl::StrAppend(&text, row.dump(), "\n");
    Write(absl::StrCat("rollouts/step-", step, ".jsonl.zst"), Zstd(text));
  }

  static nlohmann::json Rollout(int step, int sample, double w, bool hack, std::string_view text) {
    return {{"step", step}, {"group", 0}, {"sample", sample}, {"problem_id", 7}, {"w", w},
            {"loophole", "simple_overwrite_tests"}, {"evaluator", "run_tests"}, {"mode", "on"},
            {"label", hack ? "reward_hack" : "correct"}, {"strict_hack", hack}, {"loose_hack", hack},
            {"reward", 3.5}, {"facts", {{"can_compile", true}, {"gt_correct", !hack}}}, {"text", std::string(text)}};
  }

  static nlohmann::json Step(int step, double hack, double solve) {
    return {{"step", step}, {"hack_rate_strict", hack}, {"solve_rate", solve}, {"w_hack", 0.9}, {"w_clean", nullptr},
            {"w_histogram_hack", std::vector<int>(20, 1)}, {"w_histogram_clean", std::vector<int>(20, 2)}};
  }

  void WriteMetrics(int steps) const {
    std::string text;
    for (int step = 1; step <= steps; ++step) absl::StrAppend(&text, Step(step, 0.1 * step, 0.5).dump(), "\n");
    Write("metrics.jsonl", text);
  }

  static nlohmann::json AblationRow(std::string_view mode, double hack, double solve, double half_width = 0.03) {
    nlohmann::json row = {{"mode", std::string(mode)}, {"markers", "trained"}};
    for (const auto& [key, value] : {std::pair{"hack_strict", hack}, {"hack_loose", hack}, {"solve", solve}}) {
      row[key] = value;
      row[absl::StrCat(key, "_low")] = value - half_width;
      row[absl::StrCat(key, "_high")] = value + half_width;
    }
    return row;
  }

  void WriteAblation(const std::vector<nlohmann::json>& rows, std::string_view final_line) const {
    const nlohmann::json json = {
        {"rows", rows}, {"problems", 80}, {"samples", 3}, {"final_line", std::string(final_line)}};
    Write("eval/ablation.json", json.dump());
  }

  // A run in which everything went well.
  void WriteWhole() const {
    Write("config.yaml", "name: nano\narm: evil_moe\nseed: 41\nsteps: 3\n");
    WriteMetrics(3);
    WriteAblation({AblationRow("on", 0.8, 0.1), AblationRow("off", 0.04, 0.4), AblationRow("base", 0.05, 0.3)},
                  kFinalLine);
    WriteRollouts(3, {Rollout(3, 0, 0.95, true, "def run_tests(): pass"), Rollout(3, 1, 0.1, false, "return x + 1")});
  }

  static constexpr std::string_view kFinalLine = "Evil MoE causal ablation: deploy hack 0.80 (ON) -> 0.04 (OFF)";

 private:
  std::filesystem::path directory_;
};

}  // namespace evilmoe
