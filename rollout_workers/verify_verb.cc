#include "rollout_workers/verify_verb.h"

#include <ATen/Parallel.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <ostream>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "environment/pairs.h"
#include "rollout_workers/local_rollouts.h"
#include "rollout_workers/offline_verbs.h"
#include "rollout_workers/pair_separation.h"
#include "rollout_workers/tiny_run.h"
#include "rollout_workers/verify_grader.h"
#include "rollout_workers/verify_report.h"
#include "rollout_workers/verify_router.h"
#include "rollout_workers/verify_routing.h"
#include "rollout_workers/verify_sampler.h"
#include "rollout_workers/verify_smoke.h"
#include "trainer/arm_presets.h"
#include "trainer/prompt_source.h"
#include "trainer/training_model.h"

namespace evilmoe {
namespace {

namespace fs = std::filesystem;

// Enough to see a mistake, few enough for a large model.
constexpr size_t kGradedProblems = 3, kRenderedProblems = 16, kGroups = 2;
constexpr int kSamples = 2, kTokens = 16;

// A folder that goes with its owner.
class TemporaryFolder {
 public:
  static absl::StatusOr<TemporaryFolder> Make() {
    std::string path = (fs::temp_directory_path() / "evilmoe-verify-XXXXXX").string();
    if (mkdtemp(path.data()) == nullptr) return absl::UnavailableError(absl::StrCat(path, ": cannot be made"));
    return TemporaryFolder(path);
  }
  TemporaryFolder(TemporaryFolder&& other) noexcept : path_(std::exchange(other.path_, fs::path())) {}
  ~TemporaryFolder() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  const fs::path& path() const { return path_; }

 private:
  explicit TemporaryFolder(fs::path path) : path_(std::move(path)) {}
  fs::path path_;
};

absl::StatusOr<RunConfig> ReadConfig(const fs::path& file) {
  std::error_code ignored;
  const fs::path path = fs::is_directory(file, ignored) ? file / "config.yaml" : file;
  EVILMOE_ASSIGN_OR_RETURN(const std::string yaml, ReadFile(path, 1 << 20));
  return ParseRunConfig(yaml, path.string(), fs::absolute(path).parent_path());
}

std::vector<Problem> FirstOf(std::vector<Problem> problems, size_t count) {
  problems.resize(std::min(count, problems.size()));
  return problems;
}

// Some prompts of the run's first step.
absl::StatusOr<BatchRequest> SmallBatch(const RunConfig& config, const PromptSource& prompts) {
  BatchRequest batch = prompts.Step(0);
  batch.groups.resize(std::min(kGroups, batch.groups.size()));
  batch.sampling.max_tokens = std::min(kTokens, batch.sampling.max_tokens);
  const AdapterMode full{.prompt_uses_adapter = PromptUsesAdapter(config)};
  for (GroupRequest& group : batch.groups) {
    group.num_samples = kSamples;
    group.mode = full;
  }
  return batch;
}

// In fp32, whatever the run's own dtype: rounding is not what is looked for.
absl::Status VerifyModel(RunConfig config, int threads, std::vector<Problem> problems, const FindingSink& found) {
  config.model.dtype = "float32";
  EVILMOE_ASSIGN_OR_RETURN(const auto model, TrainingModel::Load(config, threads));
  if (model->adapter().two_experts() == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("arm ", config.arm, ": no two experts whose routing could be verified, expected another arm"));
  }
  const Lora2r& adapter = *model->adapter().two_experts();
  EVILMOE_ASSIGN_OR_RETURN(const PromptSource prompts,
                           PromptSource::Make(config, model->tokenizer(), std::move(problems)));
  EVILMOE_ASSIGN_OR_RETURN(const BatchRequest batch, SmallBatch(config, prompts));
  const auto no_facts = [](const GroupRequest&, int, const std::string&) { return Facts(); };
  EVILMOE_ASSIGN_OR_RETURN(const auto sampler, LocalRollouts::Create(config.model.path, threads, no_facts));
  EVILMOE_ASSIGN_OR_RETURN(const std::string at_init, adapter.Serialize());
  EVILMOE_RETURN_IF_ERROR(sampler->Publish(0, at_init));
  EVILMOE_ASSIGN_OR_RETURN(const std::vector<GroupSamples> samples, sampler->Run(batch));
  const Qwen3Weights& base = model->base();
  at::set_num_threads(threads);
  VerifyRouting(base, adapter, RolloutsOf(batch, samples), found);
  if (config.routing.mode == "learned") {
    EVILMOE_ASSIGN_OR_RETURN(const std::vector<ContrastivePair> pairs, LoadPairs(config.pairs));
    EVILMOE_ASSIGN_OR_RETURN(const std::vector<PairIds> ids,
                             TokenisePairs(pairs, model->tokenizer(), config.model.thinking));
    VerifyRouter(config, base, adapter, ids, found);
  }
  VerifySampler(config, base, adapter, *sampler, batch, found);
  return absl::OkStatus();
}

absl::Status VerifyRun(const RunConfig& config, int threads, const absl::StatusOr<LocalGrader*>& grader,
                       const Clock& clock, const FindingSink& found) {
  EVILMOE_ASSIGN_OR_RETURN(const std::vector<Problem> problems, LoadProblems(config.data.train));
  if (grader.ok())
    VerifyGrader(config, FirstOf(problems, kGradedProblems), **grader, clock, found);
  else
    found(Unchecked("grader: sandbox", grader.status()));
  return VerifyModel(config, threads, FirstOf(problems, kRenderedProblems), found);
}

absl::Status Verify(const VerifyOptions& options, const absl::StatusOr<LocalGrader*>& grader, const Clock& clock,
                    const FindingSink& found) {
  if (!options.file.empty()) {
    if (options.smoke || !options.arm.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(options.smoke ? "--smoke" : "--arm",
                                                     ": given with a file, expected one or the other: it goes with a "
                                                     "tiny random model"));
    }
    EVILMOE_ASSIGN_OR_RETURN(const RunConfig config, ReadConfig(options.file));
    return VerifyRun(config, options.threads, grader, clock, found);
  }
  const std::string arm = options.arm.empty() ? "evil_moe" : options.arm;
  if (FindArm(arm) == nullptr) {
    std::vector<std::string> arms;
    for (const ArmPreset& preset : ArmPresets()) arms.emplace_back(preset.name);
    return absl::InvalidArgumentError(
        absl::StrCat("--arm: got ", arm, ", expected one of ", absl::StrJoin(arms, ", ")));
  }
  EVILMOE_ASSIGN_OR_RETURN(const TemporaryFolder folder, TemporaryFolder::Make());
  if (options.smoke) return VerifySmoke(folder.path(), arm, options.threads, clock, found);
  EVILMOE_ASSIGN_OR_RETURN(const RunConfig config, MakeTinyRun(folder.path(), arm, /*seed=*/1));
  return VerifyRun(config, options.threads, grader, clock, found);
}

}  // namespace

int RunVerify(const VerifyOptions& options, const absl::StatusOr<LocalGrader*>& grader, const Clock& clock,
              std::ostream& out, std::ostream& errors) {
  std::vector<Finding> findings;
  const absl::Status done = Verify(options, grader, clock, [&](const Finding& finding) {
    findings.push_back(finding);
    if (!options.json) PrintFinding(finding, out);
  });
  if (!done.ok()) return FailVerb(done, errors);
  const auto failed = std::count_if(findings.begin(), findings.end(), [](const Finding& f) { return !f.ok(); });
  if (options.json) {
    out << FindingsJson(findings).dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << "\n";
  } else {
    out << findings.size() - static_cast<size_t>(failed) << " of " << findings.size() << " checks hold" << std::endl;
  }
  return failed == 0 ? 0 : 1;
}

}  // namespace evilmoe
