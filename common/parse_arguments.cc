#include "common/parse_arguments.h"

#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>

#include "common/exit_code.h"

namespace evilmoe {

std::optional<int> ParseArguments(CLI::App& app, int argc, const char* const* argv) {
  const std::string program = argc > 0 ? std::filesystem::path(argv[0]).filename().string() : "";
  // Help shows the name as a person types it, without the folder.
  if (app.get_name().empty()) app.name(program);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& help) {
    app.exit(help);
    return kExitOk;
  } catch (const CLI::ParseError& error) {
    std::cerr << program << ": " << error.what() << "; --help lists verbs and options" << std::endl;
    return kExitUsage;
  }
  return std::nullopt;
}

}  // namespace evilmoe
