#pragma once

#include <filesystem>
#include <string>

#include "nlohmann/json.hpp"
#include "services/page/run_source.h"

namespace evilmoe {

inline constexpr char kHostileText[] = "</pre><script>alert(1)</script>\x1b[31m & <img src=x onerror=alert(2)>";

// A directory of a run with `num_rollouts` samples in step 3, metrics of three steps, an ablation, a log, and, outside of
// it but linked into it, a secret. Gone with its test's folder.
PageRun MakeRun(const std::string& id, int num_rollouts = 4);
void WriteZstd(const std::filesystem::path& path, const std::string& text);
nlohmann::json Rollout(int line, double w, bool hack, const std::string& text);

}  // namespace evilmoe
