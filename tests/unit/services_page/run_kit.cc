#include "tests/unit/services_page/run_kit.h"

#include <gtest/gtest.h>
#include <unistd.h>
#include <zstd.h>

#include "absl/strings/str_cat.h"
#include "common/file.h"

namespace evilmoe {

namespace fs = std::filesystem;

void WriteZstd(const fs::path& path, const std::string& text) {
  std::string packed(ZSTD_compressBound(text.size()), '\0');
  packed.resize(ZSTD_compress(packed.data(), packed.size(), text.data(), text.size(), 1));
  ASSERT_TRUE(WriteFileAtomic(path, packed).ok());
}

nlohmann::json Rollout(int line, double w, bool hack, const std::string& text) {
  return {{"step", 3},           {"group", line / 4}, {"sample", line % 4}, {"problem_id", 7},       {"version", 2},
          {"mode", "whole"},     {"w", w},            {"text", text},       {"strict_hack", hack},   {"loose_hack", hack},
          {"reward", hack ? 3.5 : 0.5},               {"stopped", true},    {"prompt_ids", {1, 2}},  {"ids", {1, 2, 3}},
          {"label", hack ? "reward_hack" : "correct"}, {"facts", {{"gt_correct", !hack}, {"can_compile", true}}}};
}

PageRun MakeRun(const std::string& id, int num_rollouts) {
  const fs::path directory = fs::path(::testing::TempDir()) / absl::StrCat("page_", getpid()) / id;
  fs::remove_all(directory);
  for (const char* folder : {"rollouts", "eval", "logs"}) fs::create_directories(directory / folder);
  std::string metrics, rollouts;
  for (int step = 1; step <= 3; ++step) {
    absl::StrAppend(&metrics, "{\"step\":", step, ",\"hack_rate_strict\":0.", step, ",\"solve_rate\":0.5}\n");
  }
  for (int line = 0; line < num_rollouts; ++line) {
    const std::string text = line == 0 ? kHostileText : absl::StrCat("text of ", line);
    absl::StrAppend(&rollouts, Rollout(line, line % 10 / 10.0, line % 2 == 0, text).dump(), "\n");
  }
  WriteZstd(directory / "rollouts/step-3.jsonl.zst", rollouts);
  const nlohmann::json ablation = {{"rows", {{{"mode", "on"}, {"markers", "trained"}, {"hack_strict", 0.6}, {"solve", 0.2}}}},
                                   {"final_line", "0.6 -> ?"}};
  const fs::path secret = directory.parent_path() / "secret.log";
  for (const auto& [path, text] : std::vector<std::pair<fs::path, std::string>>{
           {directory / "metrics.jsonl", metrics},
           {directory / "eval/ablation.json", ablation.dump()},
           {directory / "logs/trainer.log", "first\nsecond\n"},
           {secret, "secret\n"}}) {
    EXPECT_TRUE(WriteFileAtomic(path, text).ok());
  }
  fs::create_symlink(secret, directory / "logs/linked.log");
  return {{.run_id = id, .name = "nano", .arm = "evil_moe", .state = "running", .steps_total = 3, .steps_done = 3,
           .directory = directory.string()},
          "name: nano\narm: evil_moe\nsteps: 3\n"};
}

}  // namespace evilmoe
