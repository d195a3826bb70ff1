#include "trainer/replay_verb.h"

#include <ostream>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/status_macros.h"
#include "trainer/replay.h"

namespace evilmoe {
namespace {

// Seventeen digits tell any two doubles apart.
std::string Show(const std::optional<double>& value) { return value ? absl::StrFormat("%.17g", *value) : "not finite"; }

void Print(const Replay& replay, std::ostream& out) {
  out << (replay.checkpoint > 0 ? absl::StrCat("from checkpoint step-", replay.checkpoint) : "from the run's start")
      << "\n";
  for (const ReplayedStep& step : replay.steps) {
    for (const ReplayedFigure& figure : step.figures) {
      out << absl::StrFormat("step %d  %-21s recorded %-24s replayed %-24s %s\n", step.step, figure.name,
                             Show(figure.recorded), Show(figure.replayed), figure.Equal() ? "equal" : "DIFFERS");
    }
  }
}

}  // namespace

absl::StatusOr<bool> RunReplay(const ReplayOptions& options, std::ostream& out) {
  const std::filesystem::path file = options.run / "config.yaml";
  const absl::StatusOr<std::string> yaml = ReadFile(file, 1 << 20);
  if (absl::IsNotFound(yaml.status())) {
    return absl::NotFoundError(absl::StrCat(options.run.string(), ": no config.yaml, expected a run's directory"));
  }
  EVILMOE_RETURN_IF_ERROR(yaml.status());
  EVILMOE_ASSIGN_OR_RETURN(const RunConfig config, ParseRunConfig(*yaml, file.string(), options.run));
  EVILMOE_ASSIGN_OR_RETURN(const std::unique_ptr<TrainingModel> model, TrainingModel::Load(config, options.threads));
  EVILMOE_ASSIGN_OR_RETURN(const Replay replay,
                           ReplayStep(config, options.run, Sha256Hex(*yaml), options.step, *model));
  Print(replay, out);
  bool equal = true;
  for (const ReplayedStep& step : replay.steps) equal = equal && step.Equal();
  const std::string threads = absl::StrCat(options.threads, options.threads == 1 ? " thread" : " threads");
  out << "step " << options.step << ": "
      << (equal ? absl::StrCat("equal bit for bit, with ", threads)
                : absl::StrCat("not equal with ", threads, "; the order of sums is another with another number"))
      << "\n";
  return equal;
}

int ReplayExitCode(const absl::StatusOr<bool>& equal) {
  if (equal.ok()) return *equal ? 0 : 1;
  switch (equal.status().code()) {
    case absl::StatusCode::kInvalidArgument: return 2;
    case absl::StatusCode::kNotFound: return 4;
    case absl::StatusCode::kDataLoss:
    case absl::StatusCode::kInternal: return 1;
    default: return 5;
  }
}

}  // namespace evilmoe
