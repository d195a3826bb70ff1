#pragma once

#include <memory>
#include <vector>

#include "services/ctl/verb.h"
#include "services/ctl/verb_options.h"

namespace evilmoe {

// What ties a verb's options to its function: the options are read into a Command, which the function is given.
template <typename Command>
VerbFunction Bound(VerbOptions& options, void (*add)(VerbOptions&, Command&),
                   absl::StatusOr<int> (*run)(const Command&, const VerbContext&)) {
  auto command = std::make_shared<Command>();
  add(options, *command);
  return [command, run](const VerbContext& context) { return run(*command, context); };
}

// Headings of --help.
namespace verb_group {
inline constexpr char kRuns[] = "Start and steer runs";
inline constexpr char kLook[] = "Look at runs";
inline constexpr char kCompare[] = "Several runs";
inline constexpr char kTake[] = "What a run leaves";
inline constexpr char kMachine[] = "This machine";
inline constexpr char kOffline[] = "Without a service (JSON lines in and out, or files)";
inline constexpr char kMore[] = "More";
inline constexpr char kHidden[] = "";
}  // namespace verb_group

}  // namespace evilmoe
