#include <unistd.h>

#include <iostream>

#include "services/ctl/coordinator_link_client.h"
#include "services/ctl/verbs.h"

int main(int argc, char** argv) {
  const evilmoe::RealClock clock;
  return evilmoe::RunCommand({argv + 1, argv + argc}, {.clock = clock,
                                                       .connect = evilmoe::ConnectCoordinator,
                                                       .in = std::cin,
                                                       .out = std::cout,
                                                       .errors = std::cerr,
                                                       .terminal = isatty(STDOUT_FILENO) == 1,
                                                       .global = {},
                                                       .home = {}});
}
