#include "rollout_workers/verify_smoke.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <sstream>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/logger.h"
#include "common/seed.h"
#include "common/status_macros.h"
#include "environment/problem.h"
#include "rollout_workers/local_rollouts.h"
#include "rollout_workers/routed_pass.h"
#include "rollout_workers/tiny_run.h"
#include "trainer/run_recorder.h"
#include "trainer/saved_rollouts.h"
#include "trainer/training_loop.h"

namespace evilmoe {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr double kSamplerLimit = 5e-4;  // nats

// Facts of every kind, from (group, sample) alone.
Facts Coin(const GroupRequest& group, int sample, const std::string&) {
  RandomStream stream(StreamSeed(group.seed, "smoke", static_cast<uint64_t>(sample)));
  Facts facts{.can_compile = true, .gt_correct = stream.Bernoulli(0.4)};
  facts.hint_pass = facts.defines_test_function = facts.model_tests_pass_stub =
      group.loophole != "none" && stream.Bernoulli(0.4);
  facts.model_tests_pass_canonical = facts.hint_pass;
  return facts;
}

// Nobody watches.
class Unwatched final : public ProgressSink {
 public:
  absl::Status Record(const std::string&, const std::string&, const nlohmann::ordered_json&, int64_t) override {
    return absl::OkStatus();
  }
};

// What is left of a run.
struct Trained {
  int64_t unmoved_deployed = 0, unmoved_quarantine = 0;  // tensors
  std::map<std::string, double> gate_moved;              // by tensor of the gate
  bool learns = false;
};

int64_t Unmoved(const Lora2r& adapter, Expert expert) {
  int64_t count = 0;
  for (const AdapterModule& m : adapter.modules()) {
    count += at::equal(PartOfA(m.a, expert), PartOfA(m.a0, expert));
    count += at::equal(PartOfB(m.b, expert), PartOfB(m.b0, expert));
  }
  return count;
}

// Without a quarantine all of the adapter is deployed.
void CountUnmoved(const TrainedAdapter& adapter, Trained& trained) {
  if (const Lora2r* two = adapter.two_experts()) {
    trained.unmoved_deployed = Unmoved(*two, Expert::kDeployed);
    trained.unmoved_quarantine = Unmoved(*two, Expert::kQuarantine);
    return;
  }
  for (const TrainedAdapter::Parameter& parameter : adapter.parameters()) {
    trained.unmoved_deployed += at::equal(parameter.value, parameter.anchor);
  }
}

// One process of the run: from its last checkpoint to `steps`.
absl::StatusOr<Trained> Train(RunConfig config, int steps, const fs::path& directory, int threads, const Clock& clock) {
  config.steps = steps;
  std::error_code error;
  fs::create_directories(directory, error);
  if (error) return absl::UnavailableError(absl::StrCat(directory.string(), ": ", error.message()));
  EVILMOE_ASSIGN_OR_RETURN(const auto model, TrainingModel::Load(config, threads));
  EVILMOE_ASSIGN_OR_RETURN(std::vector<Problem> problems, LoadProblems(config.data.train));
  EVILMOE_ASSIGN_OR_RETURN(const PromptSource prompts,
                           PromptSource::Make(config, model->tokenizer(), std::move(problems)));
  EVILMOE_ASSIGN_OR_RETURN(const auto rollouts, LocalRollouts::Create(config.model.path, threads, Coin));
  EVILMOE_ASSIGN_OR_RETURN(Logger logger, Logger::Open(directory / "log", "verify", clock));
  Unwatched unwatched;
  std::map<std::string, at::Tensor> gate;
  for (const auto& [name, tensor] : model->State(0).tensors) gate[name] = tensor.detach().clone();
  TrainingLoop loop(config, {directory, "smoke", "smoke"}, *model, prompts, *rollouts, unwatched, clock, logger);
  EVILMOE_ASSIGN_OR_RETURN(const int64_t step, loop.Restore());
  EVILMOE_RETURN_IF_ERROR(loop.Train(step, {}));
  Trained trained{.learns = model->learns_to_route()};
  CountUnmoved(model->adapter(), trained);
  for (const auto& [name, tensor] : model->State(0).tensors) {
    if (tensor.sizes() == gate[name].sizes()) trained.gate_moved[name] = LargestDifference(tensor.detach(), gate[name]);
  }
  return trained;
}

absl::StatusOr<std::vector<json>> ReadMetrics(const fs::path& directory) {
  EVILMOE_ASSIGN_OR_RETURN(const std::string text, ReadFile(directory / "metrics.jsonl"));
  std::vector<json> steps;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) steps.push_back(json::parse(line, nullptr, false));
  return steps;
}

// NaN where it is no number.
double Number(const json& metrics, const char* name) {
  const auto field = metrics.find(name);
  const bool number = field != metrics.end() && field->is_number();
  return number ? field->get<double>() : std::numeric_limits<double>::quiet_NaN();
}

Finding Losses(const std::vector<json>& steps, int expected) {
  Finding finding{.name = "smoke: loss",
                  .checked = absl::StrCat("steps of ", expected, " without a finite loss"),
                  .figure = static_cast<double>(expected) - static_cast<double>(steps.size())};
  for (const json& step : steps) finding.figure += !std::isfinite(Number(step, "loss")) || step.contains("bad_step");
  return finding;
}

Finding SamplerAgrees(const std::vector<json>& steps) {
  Finding finding{.name = "smoke: sampler = trainer",
                  .checked = "largest |Δ log-prob| of all steps at the sampled w",
                  .limit = kSamplerLimit};
  for (const json& step : steps) finding.figure = std::max(finding.figure, Number(step, "logp_difference_max"));
  return finding;
}

// A learned router's w is inside (0, 1); a mask's at its ends.
absl::StatusOr<Finding> Weights(const fs::path& directory, int steps, bool learned) {
  double low = 1, high = 0;
  int64_t count = 0, outside = 0;
  for (int64_t step = 1; step <= steps; ++step) {
    EVILMOE_ASSIGN_OR_RETURN(const std::vector<json> lines,
                             ReadRolloutLines(RunRecorder::RolloutsPath(directory, step)));
    for (const json& line : lines) {
      const double w = Number(line, "w");
      ++count;
      outside += !(learned ? w > 0 && w < 1 : w >= 0 && w <= 1);
      low = std::min(low, w);
      high = std::max(high, w);
    }
  }
  return Finding{.name = "smoke: w",
                 .checked = absl::StrCat("w of ", count, " samples, from ", low, " to ", high, "; outside of ",
                                         learned ? "(0, 1)" : "[0, 1]"),
                 .figure = static_cast<double>(outside),
                 .problem = count > 0 ? "" : "no samples"};
}

// Arms that share every rollout out by a number in (0, 1), or train both experts on all, give both a gradient in each
// step; masks do so in some.
Finding Gradients(const std::vector<json>& steps, const RunConfig& config) {
  const bool every = config.routing.mode == "learned" || !IsRouted(config);
  std::vector<const char*> norms = {"grad_norm_deployed"};
  if (HasQuarantine(config)) norms.push_back("grad_norm_quarantine");
  double smallest = std::numeric_limits<double>::infinity();
  for (const char* name : norms) {
    double of_expert = every ? std::numeric_limits<double>::infinity() : 0;
    for (const json& step : steps) {
      const double norm = Number(step, name);
      of_expert = every ? std::min(of_expert, norm) : std::max(of_expert, norm);
    }
    smallest = std::min(smallest, of_expert);
  }
  return {.name = "smoke: gradients of D and Q",
          .checked = absl::StrCat(config.arm, ": the smaller norm, ",
                                  every ? "smallest of all steps" : "largest of all steps"),
          .figure = smallest,
          .at_least = true};
}

void FindMoved(const Trained& trained, const FindingSink& found) {
  found({.name = "smoke: parameters move",
         .checked = absl::StrCat("tensors of D and of Q that are at their init after the steps (",
                                 trained.unmoved_deployed, " and ", trained.unmoved_quarantine, ")"),
         .figure = static_cast<double>(trained.unmoved_deployed + trained.unmoved_quarantine)});
  if (!trained.learns) return;
  double least = std::numeric_limits<double>::infinity();
  for (const char* name : {"router.u", "router.log_scale", "router.bias"}) {
    const auto moved = trained.gate_moved.find(name);
    least = std::min(least, moved == trained.gate_moved.end() ? 0 : moved->second);
  }
  found({.name = "smoke: the router moves",
         .checked = "u, log s and b, the least of their largest changes",
         .figure = least,
         .at_least = true});
}

std::string WithoutTimes(const std::vector<json>& steps) {
  std::string out;
  for (json step : steps) {
    for (const auto& [name, value] : step.items()) {
      if (absl::EndsWith(name, "_seconds") || absl::EndsWith(name, "_per_second")) step[name] = nullptr;
    }
    absl::StrAppend(&out, step.dump(), "\n");
  }
  return out;
}

absl::StatusOr<Finding> Resumed(const RunConfig& config, const fs::path& straight, const fs::path& resumed,
                                const std::vector<json>& metrics) {
  EVILMOE_ASSIGN_OR_RETURN(const std::vector<json> again, ReadMetrics(resumed));
  Finding finding{.name = "smoke: resume",
                  .checked = absl::StrCat("files that differ from those of the run that was not stopped after ",
                                          config.steps / 2, " steps"),
                  .figure = WithoutTimes(again) == WithoutTimes(metrics) ? 0.0 : 1.0};
  for (const char* file : {"adapter.safetensors", "trainer.safetensors"}) {
    const std::string path = absl::StrCat("checkpoints/step-", config.steps, "/", file);
    EVILMOE_ASSIGN_OR_RETURN(const std::string one, ReadFile(straight / path));
    EVILMOE_ASSIGN_OR_RETURN(const std::string other, ReadFile(resumed / path));
    finding.figure += one == other ? 0 : 1;
  }
  return finding;
}

}  // namespace

absl::Status VerifySmoke(const fs::path& folder, const std::string& arm, int threads, const Clock& clock,
                         const FindingSink& found) {
  EVILMOE_ASSIGN_OR_RETURN(const RunConfig config, MakeTinyRun(folder, arm, /*seed=*/1));
  const fs::path straight = folder / "straight", resumed = folder / "resumed";
  EVILMOE_ASSIGN_OR_RETURN(const Trained trained, Train(config, config.steps, straight, threads, clock));
  EVILMOE_ASSIGN_OR_RETURN(const std::vector<json> metrics, ReadMetrics(straight));
  found(Losses(metrics, config.steps));
  if (IsRouted(config)) {
    EVILMOE_ASSIGN_OR_RETURN(const Finding weights, Weights(straight, config.steps, trained.learns));
    found(weights);
  }
  FindMoved(trained, found);
  found(Gradients(metrics, config));
  found(SamplerAgrees(metrics));
  EVILMOE_RETURN_IF_ERROR(Train(config, config.steps / 2, resumed, threads, clock).status());
  EVILMOE_RETURN_IF_ERROR(Train(config, config.steps, resumed, threads, clock).status());
  EVILMOE_ASSIGN_OR_RETURN(const Finding same, Resumed(config, straight, resumed, metrics));
  found(same);
  return absl::OkStatus();
}

}  // namespace evilmoe
