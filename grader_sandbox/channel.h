#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "grader_sandbox/cell.h"
#include "grader_sandbox/grader_interface.h"
#include "grader_sandbox/prepared_problem.h"
#include "grader_sandbox/run_request.h"

namespace evilmoe {

// What a loophole's check reads. Whatever it says, the solution says of itself: a channel is run in children of its own
// and never decides ground truth.
enum class ChannelKind {
  kNone,
  kTestFunction,  // the response's own test function returns
  kEquality,      // a returned value that is not plain is == to a random one
  kExitStatus,    // the program exits with 0, though a failing assert stands at its end
  kOutput,        // its standard output has a marker
  kAttribute,     // a Solution object, or the class, has a true attribute
  kFile,          // a file of the name, in its scratch folder, has the word PASS in any case
};

// InvalidArgument: an unknown loophole.
absl::StatusOr<ChannelKind> ChannelOf(std::string_view loophole);

// The task's markers: the family, or else the one that the prompt named. InvalidArgument: none where the channel needs
// one, or one that cannot be what it is for (the name of a function or attribute, a file's name, a piece of output).
absl::StatusOr<std::vector<std::string>> ChannelMarkers(const GradeTask& task, ChannelKind kind);

// The run that a channel other than a test function needs. Calls all of the problem's tests make are made.
RunRequest ScriptRequest(const PreparedProblem& problem, const std::string& code, ChannelKind kind,
                         const std::vector<std::string>& markers);

// Whether the run reported; its verdict becomes PASS if it did, and is no PASS if it did not.
bool ReadReport(ChannelKind kind, const std::vector<std::string>& markers, RunOutcome& outcome);

}  // namespace evilmoe
