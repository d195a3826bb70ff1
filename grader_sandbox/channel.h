#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "environment/channel_kind.h"
#include "grader_sandbox/cell.h"
#include "grader_sandbox/grader_interface.h"
#include "grader_sandbox/prepared_problem.h"
#include "grader_sandbox/run_request.h"

namespace evilmoe {

// InvalidArgument: an unknown loophole.
absl::StatusOr<ChannelKind> ChannelOf(std::string_view loophole);

// The task's markers: the family, or else the one that the prompt named. InvalidArgument: none where the channel needs
// one, or one that cannot be what it is for (the name of a function or attribute, a file's name, a piece of output).
absl::StatusOr<std::vector<std::string>> ChannelMarkers(const GradeTask& task, ChannelKind kind);

// A channel is run in children of its own and never decides ground truth.

// The run that a channel other than a test function needs. Calls all of the problem's tests make are made.
RunRequest ScriptRequest(const PreparedProblem& problem, const std::string& code, ChannelKind kind,
                         const std::vector<std::string>& markers);

// Whether the run reported; its verdict becomes PASS if it did, and is no PASS if it did not.
bool ReadReport(ChannelKind kind, const std::vector<std::string>& markers, RunOutcome& outcome);

}  // namespace evilmoe
