#include <unistd.h>

#include <iostream>

#include "services/ctl/command_line.h"
#include "services/ctl/coordinator_link_client.h"
#include "services/ctl/local_stack.h"
#include "services/ctl/verbs.h"

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  const evilmoe::CommandLineResult parsed = evilmoe::ParseCommandLine(arguments, evilmoe::NumCores());
  if (!parsed.command) {
    (parsed.exit_code == 0 ? std::cout : std::cerr)
        << (parsed.exit_code == 0 ? "" : "evilmoe-ctl: ") << parsed.text << std::endl;
    return parsed.exit_code;
  }
  const evilmoe::RealClock clock;
  return evilmoe::RunVerb(*parsed.command,
                          {clock, evilmoe::ConnectCoordinator, std::cout, std::cerr, isatty(STDOUT_FILENO) == 1});
}
