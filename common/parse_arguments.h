#pragma once

#include <optional>

namespace CLI {
class App;
}

namespace evilmoe {

// Parses a program's own words with `app`. nullopt: go on with the program. Else the exit code to end with: 0 after
// printing the help that was asked for, 2 (exit_code.h) after one line on standard error about a wrong command line.
std::optional<int> ParseArguments(CLI::App& app, int argc, const char* const* argv);

}  // namespace evilmoe
