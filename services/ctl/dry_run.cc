#include "services/ctl/dry_run.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/status_macros.h"
#include "nlohmann/json.hpp"
#include "policy/known_models.h"
#include "policy/model_config.h"
#include "services/ctl/estimate.h"
#include "services/ctl/local_stack.h"
#include "services/runs/run_directory.h"

namespace evilmoe {
namespace {

namespace fs = std::filesystem;

constexpr double kBytesAToken = 4;  // of text, about
constexpr const char* kReadme = "examples/README.md";

struct Missing {
  std::string field, path, how;
};

// As the person would name it from here.
std::string FromHere(const fs::path& path) {
  std::error_code error;
  const fs::path near = fs::proximate(path, error);
  return error || absl::StartsWith(near.string(), "../../") ? path.string() : near.string();
}

std::string HowToGetModel(const fs::path& folder) {
  const KnownModel* known = FindKnownModel(folder.filename().string());
  if (known == nullptr) return absl::StrCat("a Qwen3 in the layout of the Hugging Face Hub; ", kReadme);
  return absl::StrFormat("`hf download Qwen/%s --local-dir %s` (%.1f GB); %s", known->name, FromHere(folder),
                         static_cast<double>(known->download_bytes) / 1e9, kReadme);
}

std::string HowToGet(const MissingFile& file) {
  if (file.field == "model.path") return HowToGetModel(file.path);
  if (file.field == "data.train" || file.field == "evaluation.problems") {
    return absl::StrCat("`evilmoe-ctl dataset build` writes problem files; ", kReadme);
  }
  if (file.field == "monitor.probe") return "`evilmoe-ctl probe train` writes one";
  if (file.field == "pairs") return "contrastive pairs; data/pairs has some";
  return "a file of your own";
}

bool HasWeights(const fs::path& folder) {
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().extension() == ".safetensors") return true;
  }
  return false;
}

std::vector<Missing> FindMissing(const RunFile& file) {
  std::vector<Missing> missing;
  for (const MissingFile& one : file.missing) missing.push_back({one.field, FromHere(one.path), HowToGet(one)});
  const fs::path& folder = file.config.model.path;
  std::error_code ignored;
  if (!fs::is_directory(folder, ignored)) return missing;
  const std::string how = HowToGetModel(folder);
  for (const char* name : {"config.json", "tokenizer.json"}) {
    if (!fs::exists(folder / name, ignored)) missing.push_back({"model.path", FromHere(folder / name), how});
  }
  if (!HasWeights(folder)) missing.push_back({"model.path", FromHere(folder / "*.safetensors"), how});
  return missing;
}

struct ModelFigures {
  Qwen3Config config;
  std::string source;
};

// Those of config.json; where there is none, those of a published model of the folder's name; else nullopt.
absl::StatusOr<std::optional<ModelFigures>> FiguresOf(const fs::path& folder) {
  const absl::StatusOr<Qwen3Config> config = ReadQwen3Config(folder);
  if (config.ok()) return ModelFigures{*config, FromHere(folder / "config.json")};
  if (!absl::IsNotFound(config.status())) return config.status();
  const KnownModel* known = FindKnownModel(folder.filename().string());
  if (known == nullptr) return std::nullopt;
  return ModelFigures{known->config, absl::StrCat("the published figures of ", known->name)};
}

int64_t CountLines(const fs::path& path) {
  std::ifstream in(path);
  int64_t lines = 0;
  for (std::string line; std::getline(in, line);) lines += line.empty() ? 0 : 1;
  return lines;
}

EstimateInput InputOf(const RunFile& file, const ModelFigures& model, const StackShape& stack) {
  EstimateInput input{.config = file.config,
                      .model = model.config,
                      .model_source = model.source,
                      .num_cores = NumCores(),
                      .stack = stack};
  std::error_code error;
  const fs::path& problems = file.config.evaluation.problems;
  if (fs::is_regular_file(problems, error)) input.held_out_problems = CountLines(problems);
  const auto pair_bytes = file.config.pairs.empty() ? 0 : fs::file_size(file.config.pairs, error);
  if (!error) input.pair_tokens = static_cast<int64_t>(static_cast<double>(pair_bytes) / kBytesAToken);
  return input;
}

// "" or why the model cannot take the run's longest samples.
std::string PositionsProblem(const RunConfig& config, const ModelFigures& model) {
  const int64_t longest = int64_t{config.rollout.max_prompt_tokens} + config.rollout.max_completion_tokens;
  if (longest <= model.config.max_position_embeddings) return "";
  return absl::StrCat("rollout.max_prompt_tokens and max_completion_tokens: more than the model's positions, got ",
                      longest, " together, expected at most ", model.config.max_position_embeddings, " (", model.source,
                      ")");
}

// What there is on this machine, and whether it will do.
std::string Here(const Estimate& estimate) {
  const double memory = static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
  std::string text =
      absl::StrFormat("here: %d %s, %.1f GB of memory", NumCores(), NumCores() == 1 ? "core" : "cores", memory / 1e9);
  fs::path home = RunsHome();
  std::error_code error;
  while (!home.empty() && home.has_parent_path() && !fs::exists(home, error)) home = home.parent_path();
  if (const fs::space_info space = fs::space(home.empty() ? "." : home, error); !error) {
    absl::StrAppendFormat(&text, ", %.1f GB of disk left for runs", static_cast<double>(space.available) / 1e9);
  }
  if (memory > 0 && estimate.all_bytes.low > memory)
    text += "; the memory will not do";
  else if (memory > 0 && estimate.all_bytes.high > memory)
    text += "; the memory may not do";
  return text;
}

void PrintJson(const RunFile& file, const std::vector<Missing>& missing, const std::optional<Estimate>& estimate,
               std::ostream& out) {
  nlohmann::ordered_json lines = nlohmann::ordered_json::array();
  for (const Missing& one : missing) lines.push_back({{"field", one.field}, {"path", one.path}, {"how", one.how}});
  nlohmann::ordered_json json = {{"config", ToYaml(file.config)}, {"notices", file.notices}, {"missing", lines}};
  json["estimate"] = estimate ? EstimateJson(*estimate) : nullptr;
  out << json.dump() << std::endl;
}

void PrintText(const RunFile& file, const std::vector<Missing>& missing, const std::optional<Estimate>& estimate,
               std::ostream& errors) {
  if (estimate) {
    errors << EstimateText(*estimate) << Here(*estimate) << "\n";
  } else {
    errors << "no estimate: " << FromHere(file.config.model.path)
           << " is not there and is no published model by its name\n";
  }
  for (const Missing& one : missing) errors << "missing: " << one.field << ": " << one.path << "; " << one.how << "\n";
  errors << std::flush;
}

}  // namespace

absl::Status DryRun(const RunFile& file, const StackShape& shape, bool json, std::ostream& out, std::ostream& errors) {
  EVILMOE_ASSIGN_OR_RETURN(const std::optional<ModelFigures> model, FiguresOf(file.config.model.path));
  const std::vector<Missing> missing = FindMissing(file);
  std::optional<Estimate> estimate;
  std::string problem;
  if (model) {
    estimate = EstimateRun(InputOf(file, *model, shape));
    problem = PositionsProblem(file.config, *model);
  }
  if (json) {
    PrintJson(file, missing, estimate, out);
  } else {
    out << ToYaml(file.config) << std::flush;
    PrintText(file, missing, estimate, errors);
  }
  if (!problem.empty()) return absl::InvalidArgumentError(problem);
  if (missing.empty()) return absl::OkStatus();
  return absl::NotFoundError(absl::StrCat("not ready to start: ", missing.size(),
                                          missing.size() == 1 ? " thing" : " things",
                                          " missing, expected none; see above"));
}

}  // namespace evilmoe
