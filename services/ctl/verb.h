#pragma once

#include <functional>
#include <istream>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/clock.h"
#include "services/ctl/coordinator_link.h"
#include "services/ctl/global_options.h"

namespace evilmoe {

class VerbOptions;

// What a verb is given to run with; everything must outlive it.
struct VerbContext {
  const Clock& clock;
  std::function<std::unique_ptr<CoordinatorLink>(const Endpoint&)> connect;
  std::istream& in;
  std::ostream& out;
  std::ostream& errors;
  bool terminal = false;  // `out` is one
  GlobalOptions global;
  std::filesystem::path home;  // folder of the runs, absolute
};

// Runs a verb to its end and returns the exit code (common/exit_code.h), or an error for one line on the terminal.
using VerbFunction = std::function<absl::StatusOr<int>(const VerbContext&)>;

// A verb: how it is spelt, what is said of it, and what it does.
struct Verb {
  const char* name;
  const char* group;    // heading in --help; empty: hidden
  const char* summary;  // one line
  // Says which options the verb has; what it returns runs with the values that they hold by then. Null: a sibling binary
  // does the verb, which gets every word from the verb on, untouched.
  VerbFunction (*add)(VerbOptions& options);
  const char* text = "";     // a paragraph, of its own --help
  const char* example = "";  // command lines, one a line
  bool local = false;        // asks no coordinator and needs no ctl.yaml
  const char* binary = "";   // of a sibling
  std::vector<std::string> next_words = {};  // of a sibling: what may follow the verb
};

}  // namespace evilmoe
