#include "trainer/replay.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "trainer/checkpoint.h"
#include "trainer/graded_step.h"
#include "trainer/run_recorder.h"
#include "trainer/saved_rollouts.h"

namespace evilmoe {
namespace {

namespace fs = std::filesystem;

// The lines of metrics.jsonl by their step.
absl::StatusOr<std::map<int64_t, nlohmann::json>> ReadMetrics(const fs::path& run) {
  EVILMOE_ASSIGN_OR_RETURN(const std::string text, ReadFile(run / "metrics.jsonl"));
  std::map<int64_t, nlohmann::json> metrics;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    nlohmann::json json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object() || !json.contains("step") || !json["step"].is_number_integer()) continue;
    const auto step = json["step"].get<int64_t>();
    metrics[step] = std::move(json);
  }
  return metrics;
}

std::optional<double> Recorded(const nlohmann::json& metrics, const char* name) {
  const auto field = metrics.find(name);
  return field != metrics.end() && field->is_number() ? std::optional(field->get<double>()) : std::nullopt;
}

std::optional<double> Finite(double value) { return std::isfinite(value) ? std::optional(value) : std::nullopt; }

ReplayedStep Compare(int64_t step, const nlohmann::json& metrics, const TrainingModel::Update& update,
                     bool learns_to_route) {
  std::vector<std::pair<const char*, double>> figures = {{"loss", update.stats.loss},
                                                         {"grad_norm", update.grad_norm},
                                                         {"grad_norm_deployed", update.grad_norm_deployed},
                                                         {"grad_norm_quarantine", update.grad_norm_quarantine}};
  if (learns_to_route) {
    figures.emplace_back("pin_loss", update.stats.pin_loss);
    figures.emplace_back("grad_norm_router", update.grad_norm_router);
  }
  ReplayedStep out{.step = step};
  for (const auto& [name, value] : figures) out.figures.push_back({name, Recorded(metrics, name), Finite(value)});
  return out;
}

absl::StatusOr<TrainingModel::Update> StepFromFile(const RunConfig& config, const fs::path& file, int64_t step,
                                                   TrainingModel& model) {
  const absl::StatusOr<std::vector<nlohmann::json>> lines = ReadRolloutLines(file);
  if (absl::IsNotFound(lines.status())) {
    return absl::NotFoundError(absl::StrCat(file.string(), ": not found, expected the samples of step ", step));
  }
  EVILMOE_RETURN_IF_ERROR(lines.status());
  const absl::StatusOr<SavedBatch> batch = ParseRolloutLines(*lines);
  EVILMOE_RETURN_IF_ERROR(Annotate(batch.status(), file.string()));
  EVILMOE_ASSIGN_OR_RETURN(const GradedStep graded, GradeStep(config, batch->request, batch->samples, batch->verdicts));
  return model.Step(step - 1, graded.groups);
}

// The last checkpoint that `step` was trained from, loaded; 0 = there is none, and the model is as the run began.
absl::StatusOr<int64_t> LoadBefore(const fs::path& run, const std::string& config_sha256, int64_t step,
                                   TrainingModel& model) {
  int64_t from = 0;
  for (const int64_t kept : CheckpointSteps(run)) {
    if (kept < step) from = std::max(from, kept);
  }
  if (from == 0) return from;
  TrainerState state = model.State(from);
  EVILMOE_RETURN_IF_ERROR(LoadCheckpoint(run, from, config_sha256, state));
  return from;
}

}  // namespace

bool ReplayedStep::Equal() const {
  return std::all_of(figures.begin(), figures.end(), [](const ReplayedFigure& figure) { return figure.Equal(); });
}

absl::StatusOr<Replay> ReplayStep(const RunConfig& config, const fs::path& run_directory,
                                  const std::string& config_sha256, int64_t step, TrainingModel& model) {
  if (step < 1 || step > config.steps) {
    return absl::InvalidArgumentError(absl::StrCat("--step: ", step, ", expected 1 to ", config.steps));
  }
  EVILMOE_ASSIGN_OR_RETURN(const auto metrics, ReadMetrics(run_directory));
  if (!metrics.contains(step)) {
    return absl::NotFoundError(absl::StrCat("--step: ", step, ", but ", (run_directory / "metrics.jsonl").string(),
                                            " has no such step, expected one that the run has done"));
  }
  Replay replay;
  EVILMOE_ASSIGN_OR_RETURN(replay.checkpoint, LoadBefore(run_directory, config_sha256, step, model));
  for (int64_t s = replay.checkpoint + 1; s <= step; ++s) {
    const absl::StatusOr<TrainingModel::Update> update =
        StepFromFile(config, RunRecorder::RolloutsPath(run_directory, s), s, model);
    EVILMOE_RETURN_IF_ERROR(Annotate(update.status(), absl::StrCat("step ", s)));
    const auto line = metrics.find(s);
    const nlohmann::json none = nlohmann::json::object();
    replay.steps.push_back(Compare(s, line == metrics.end() ? none : line->second, *update, model.learns_to_route()));
  }
  return replay;
}

}  // namespace evilmoe
