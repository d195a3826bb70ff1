#include "dataset/nano.h"

#include <ostream>
#include <string>
#include <system_error>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "environment/nano/draft.h"
#include "grader_sandbox/literal_parser.h"
#include "grader_sandbox/run_request.h"

namespace evilmoe {
namespace {

constexpr absl::Duration kProblemTimeout = absl::Minutes(2);

// Fills in gt_answer.
absl::StatusOr<Problem> Finish(const ProblemDraft& draft, LocalGrader& grader, const Clock& clock) {
  Problem problem = draft.problem;
  RunRequest request{
      .kind = RunKind::kGroundTruth, .setup_code = problem.setup_code, .source = problem.canonical_solution};
  EVILMOE_ASSIGN_OR_RETURN(request.name, MethodName(problem));
  for (const std::string& text : draft.calls) {
    EVILMOE_ASSIGN_OR_RETURN(const Call call, ParseCall(text));
    EVILMOE_ASSIGN_OR_RETURN(std::string encoded, EncodeCall(call));
    request.encoded_calls.push_back(std::move(encoded));
  }
  EVILMOE_ASSIGN_OR_RETURN(const std::vector<Value> values, grader.Evaluate(request, clock.Now() + kProblemTimeout));
  for (size_t i = 0; i < values.size(); ++i) {
    EVILMOE_ASSIGN_OR_RETURN(const std::string literal, WriteLiteral(values[i]));
    problem.gt_answer.push_back(absl::StrCat("assert ", draft.calls[i], " == ", literal));
  }
  return problem;
}

}  // namespace

absl::Status WriteNanoDataset(const NanoDatasetOptions& options, LocalGrader& grader, const Clock& clock,
                              std::ostream& progress) {
  const struct {
    NanoSplit split;
    int count;
    const char* name;
  } parts[] = {{NanoSplit::kTrain, options.num_train, "train"},
               {NanoSplit::kValidation, options.num_validation, "validation"},
               {NanoSplit::kTest, options.num_test, "test"}};
  std::error_code error;
  std::filesystem::create_directories(options.out, error);
  if (error) return absl::InvalidArgumentError(absl::StrCat("--out: ", options.out.string(), ": ", error.message()));
  for (const auto& [split, count, name] : parts) {
    EVILMOE_ASSIGN_OR_RETURN(const std::vector<ProblemDraft> drafts,
                             DraftProblems(split, count, options.seed, options.hard_share));
    std::string lines;
    int done = 0;
    for (const ProblemDraft& draft : drafts) {
      const absl::StatusOr<Problem> problem = Finish(draft, grader, clock);
      if (!problem.ok()) return Annotate(problem.status(), absl::StrCat(name, ": problem ", draft.problem.id));
      absl::StrAppend(&lines, ProblemToJson(*problem).dump(), "\n");
      if (++done % 50 == 0) progress << name << ": " << done << " of " << drafts.size() << " problems" << std::endl;
    }
    EVILMOE_RETURN_IF_ERROR(WriteFileAtomic(options.out / absl::StrCat(name, ".jsonl"), lines));
    progress << (options.out / absl::StrCat(name, ".jsonl")).string() << ": " << drafts.size() << " problems"
             << std::endl;
  }
  return absl::OkStatus();
}

}  // namespace evilmoe
