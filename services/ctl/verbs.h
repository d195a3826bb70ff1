#pragma once

#include <string>
#include <vector>

#include "services/ctl/verb.h"

namespace evilmoe {

// Every verb, in the order of --help.
const std::vector<Verb>& AllVerbs();

// "0.1.0".
std::string CtlVersion();

// What evilmoe-ctl does: parses `arguments` (without the program's name), reads ctl.yaml, runs the verb. Returns the exit
// code (common/exit_code.h). Problems are one line each on context.errors; of `context` the options and the home are
// filled in.
int RunCommand(const std::vector<std::string>& arguments, VerbContext context);

}  // namespace evilmoe
