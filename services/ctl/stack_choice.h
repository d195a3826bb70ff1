#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/ctl/stack_layout.h"
#include "services/runs/run_directory.h"

namespace evilmoe {

class VerbOptions;

// What a person says of a private stack; unset = as before, or the default.
struct StackChoice {
  std::optional<int> workers;
  std::optional<int> ranks;
  std::optional<int> linger_s;
};

// --workers, --ranks, --linger.
void AddStackOptions(VerbOptions& options, StackChoice& choice);
// Of a new run: two workers where there are cores for them.
StackShape DefaultShape(int num_cores);
// `shape` with what `choice` says.
StackShape Chosen(StackShape shape, const StackChoice& choice);
// The processes that the run's stack was last started with, with what `choice` says; `fallback` for the rest, and where
// none were noted.
// InvalidArgument: the note is damaged.
absl::StatusOr<StackShape> ShapeOf(const RunDirectory& directory, const StackChoice& choice, const StackShape& fallback);
// InvalidArgument: something was chosen, but the run goes to `where`, whose processes are there already.
absl::Status CheckUnchosen(const StackChoice& choice, const std::string& where);

}  // namespace evilmoe
