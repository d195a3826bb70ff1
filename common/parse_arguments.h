#pragma once

#include <optional>

namespace CLI {
class App;
}

namespace evilmoe {

// Lets `app` and its verbs, as they are now, print their help as the project's programs do (help_text.h): usage, a
// paragraph, arguments, verbs, options with their defaults, the footer as an example.
void SetHelpStyle(CLI::App& app);

// Parses a program's own words with `app`, in the help style. nullopt: go on with the program. Else the exit code to end
// with: 0 after printing the help that was asked for, 2 (exit_code.h) after one line on standard error about a wrong
// command line.
std::optional<int> ParseArguments(CLI::App& app, int argc, const char* const* argv);

}  // namespace evilmoe
