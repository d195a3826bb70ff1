#pragma once

#include <string>

#include "services/ctl/command_line.h"

namespace evilmoe {

// What --help prints, lines of 100 columns at most where the words allow it.

// Of evilmoe-ctl: the verbs by group, the options that all have.
std::string HelpText(const CommandTree& tree);
// Of one verb: usage, paragraph, arguments, options with their defaults, example.
std::string HelpText(const VerbEntry& entry);

}  // namespace evilmoe
