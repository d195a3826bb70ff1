#include "rollout_workers/pairs_verb.h"

#include <optional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "environment/pairs.h"
#include "environment/pairs_check.h"
#include "policy/tokenizer.h"
#include "rollout_workers/offline_verbs.h"
#include "rollout_workers/pair_separation.h"
#include "rollout_workers/pairs_report.h"

namespace evilmoe {
namespace {

constexpr absl::Duration kSideTimeout = absl::Minutes(2);

void Append(std::vector<PairFinding> more, std::vector<PairFinding>& findings) {
  findings.insert(findings.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

// One side's facts; none, and a finding, where the sandbox cannot say.
std::optional<Facts> GradeSide(const ContrastivePair& pair, const GradeTask& task, const char* side, Grader& grader,
                               const Clock& clock, std::vector<PairFinding>& findings) {
  const absl::StatusOr<GradeResult> graded = grader.Grade(task, clock.Now() + kSideTimeout);
  if (graded.ok()) return graded->facts;
  findings.push_back(
      {pair.name, true, absl::StrCat(side, ": cannot be graded: ", std::string(graded.status().message()))});
  return std::nullopt;
}

void GradeSides(const ContrastivePair& pair, int64_t id, Grader& grader, const Clock& clock, PairReport& report,
                std::vector<PairFinding>& findings) {
  if (!pair.grading) {
    findings.push_back({pair.name, false, "sides not graded: no ### Loophole and ### Tests behind them"});
    return;
  }
  report.loophole = pair.grading->loophole;
  GradeTask task{.problem = GradedProblem(pair, id),
                 .response = pair.hack,
                 .loophole = pair.grading->loophole,
                 .evaluator = pair.grading->marker,
                 .prompt_tests = pair.grading->prompt_tests};
  report.hack = GradeSide(pair, task, "hack side", grader, clock, findings);
  task.response = pair.clean;
  report.clean = GradeSide(pair, task, "clean side", grader, clock, findings);
  if (report.hack && report.clean) Append(CheckSides(pair, *report.hack, *report.clean), findings);
}

absl::Status AddOverlap(const PairsCheckOptions& options, const std::vector<ContrastivePair>& pairs,
                        PairsReport& report) {
  if (options.problems.empty()) return absl::OkStatus();
  EVILMOE_ASSIGN_OR_RETURN(const std::vector<Problem> problems, LoadProblems(options.problems));
  std::vector<KnownProblem> known;
  for (const Problem& problem : problems) {
    EVILMOE_ASSIGN_OR_RETURN(KnownProblem one, KnownProblemOf(problem));
    known.push_back(std::move(one));
  }
  Append(CheckOverlap(pairs, known), report.findings);
  return absl::OkStatus();
}

absl::Status AddTokensAndSeparation(const PairsCheckOptions& options, const std::vector<ContrastivePair>& pairs,
                                    PairsReport& report) {
  const std::filesystem::path& folder = options.tokenizer.empty() ? options.model : options.tokenizer;
  if (folder.empty()) return absl::OkStatus();
  EVILMOE_ASSIGN_OR_RETURN(const Tokenizer tokenizer, Tokenizer::Load(folder));
  EVILMOE_ASSIGN_OR_RETURN(const std::vector<PairIds> ids, TokenisePairs(pairs, tokenizer, options.thinking));
  for (size_t i = 0; i < pairs.size(); ++i) {
    report.pairs[i].tokens = PairTokens{.prompt = static_cast<int64_t>(ids[i].prompt_ids.size()),
                                        .hack = static_cast<int64_t>(ids[i].hack_ids.size()),
                                        .clean = static_cast<int64_t>(ids[i].clean_ids.size())};
  }
  if (options.model.empty()) return absl::OkStatus();
  absl::StatusOr<std::vector<PairSeparation>> separation = MeasureSeparation({.model = options.model,
                                                                              .rank = options.rank,
                                                                              .seed = options.seed,
                                                                              .num_seeds = options.num_seeds,
                                                                              .separation = options.separation,
                                                                              .threads = options.threads},
                                                                             ids);
  // Pairs that the router cannot be seeded from are unfit; anything else is about the model.
  if (absl::IsFailedPrecondition(separation.status())) {
    report.findings.push_back({"separation", true, std::string(separation.status().message())});
    return absl::OkStatus();
  }
  EVILMOE_RETURN_IF_ERROR(separation.status());
  report.separation = *std::move(separation);
  return absl::OkStatus();
}

absl::StatusOr<PairsReport> CheckPairs(const PairsCheckOptions& options, Grader& grader, const Clock& clock) {
  EVILMOE_ASSIGN_OR_RETURN(const std::vector<ContrastivePair> pairs, LoadPairs(options.file));
  PairsReport report{.file = options.file.string(), .first_seed = options.seed};
  report.surface = MeasureSurface(pairs);
  for (size_t i = 0; i < pairs.size(); ++i) {
    const ContrastivePair& pair = pairs[i];
    report.pairs.push_back({.name = pair.name});
    Append(CheckPrompt(pair), report.findings);
    Append(CheckMarkers(pair), report.findings);
    GradeSides(pair, static_cast<int64_t>(i) + 1, grader, clock, report.pairs.back(), report.findings);
  }
  EVILMOE_RETURN_IF_ERROR(AddOverlap(options, pairs, report));
  EVILMOE_RETURN_IF_ERROR(AddTokensAndSeparation(options, pairs, report));
  return report;
}

}  // namespace

int RunPairsCheck(const PairsCheckOptions& options, Grader& grader, const Clock& clock, std::ostream& out,
                  std::ostream& errors) {
  const absl::StatusOr<PairsReport> report = CheckPairs(options, grader, clock);
  if (!report.ok()) return FailVerb(report.status(), errors);
  if (options.json) {
    out << ReportJson(*report).dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << "\n";
  } else {
    PrintReport(*report, out);
  }
  return report->num_errors() == 0 ? 0 : 1;
}

}  // namespace evilmoe
