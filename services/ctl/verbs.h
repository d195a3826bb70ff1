#pragma once

#include <ostream>

#include "common/clock.h"
#include "services/ctl/command_line.h"
#include "services/ctl/stack_supervisor.h"

namespace evilmoe {

// What the verbs are given; everything must outlive them.
struct VerbContext {
  const Clock& clock;
  StackSupervisor::Connect connect;
  std::ostream& out;
  std::ostream& errors;
  bool terminal = false;  // `out` is one
};

// Runs one command to its end and returns the exit code (exit_code.h). Problems are one line each on `errors`.
int RunVerb(const CommandLine& command, const VerbContext& context);

}  // namespace evilmoe
