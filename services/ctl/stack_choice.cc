#include "services/ctl/stack_choice.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "services/ctl/verb_options.h"

namespace evilmoe {

void AddStackOptions(VerbOptions& options, StackChoice& choice) {
  const StackShape shape = DefaultShape(options.num_cores());
  options.Range("--workers", &choice.workers, 1, 64, "Rollout processes of a private stack",
                "the cores, at most 2; later those of the run's first start");
  options.Range("--ranks", &choice.ranks, 1, 64,
                "Processes of its trainer that share each step; another number gives the same run up to rounding",
                absl::StrCat(shape.num_ranks));
  options.Range("--linger", &choice.linger_s, 0, 86400,
                "Seconds that it stays after the run's end, for Prometheus to read the last values",
                absl::StrCat(absl::ToInt64Seconds(shape.linger)));
}

StackShape DefaultShape(int num_cores) {
  StackShape shape;
  shape.num_workers = std::clamp(num_cores, 1, 2);
  return shape;
}

StackShape Chosen(StackShape shape, const StackChoice& choice) {
  shape.num_workers = choice.workers.value_or(shape.num_workers);
  shape.num_ranks = choice.ranks.value_or(shape.num_ranks);
  if (choice.linger_s) shape.linger = absl::Seconds(*choice.linger_s);
  return shape;
}

absl::StatusOr<StackShape> ShapeOf(const RunDirectory& directory, const StackChoice& choice,
                                   const StackShape& fallback) {
  const absl::StatusOr<std::string> yaml = ReadFile(directory.Shape(), 4096);
  if (absl::IsNotFound(yaml.status())) return Chosen(fallback, choice);  // of an earlier version
  EVILMOE_RETURN_IF_ERROR(yaml.status());
  EVILMOE_ASSIGN_OR_RETURN(StackShape shape, ParseStackShape(*yaml, directory.Shape().string()));
  shape.linger = fallback.linger;  // of the run's first end, and no part of its shape
  return Chosen(shape, choice);
}

absl::Status CheckUnchosen(const StackChoice& choice, const std::string& where) {
  const char* chosen = choice.workers ? "--workers" : choice.ranks ? "--ranks" : choice.linger_s ? "--linger" : nullptr;
  if (chosen == nullptr) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(chosen, ": is for a private stack, but the run goes to ", where,
                                                 ", which has its processes already; `--endpoint ''` for a private one"));
}

}  // namespace evilmoe
