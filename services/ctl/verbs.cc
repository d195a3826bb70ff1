#include "services/ctl/verbs.h"

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "common/exit_code.h"
#include "common/shown_text.h"
#include "common/status_macros.h"
#include "services/ctl/command_line.h"
#include "services/ctl/compare_verb.h"
#include "services/ctl/control_verbs.h"
#include "services/ctl/doctor_verb.h"
#include "services/ctl/file_verbs.h"
#include "services/ctl/local_stack.h"
#include "services/ctl/local_verbs.h"
#include "services/ctl/record_verbs.h"
#include "services/ctl/report_verb.h"
#include "services/ctl/run_verbs.h"
#include "services/ctl/show_verbs.h"
#include "services/ctl/stack_verbs.h"
#include "services/ctl/sweep_verb.h"

namespace evilmoe {
namespace {

bool WantsColor(const VerbContext& context) {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value == nullptr ? "" : value);
  };
  return context.global.color && context.terminal && variable("NO_COLOR").empty() && variable("TERM") != "dumb";
}

absl::StatusOr<int> Run(const ParsedCommand& command, VerbContext& context) {
  GivenOptions file;
  if (!command.verb->local) {
    EVILMOE_ASSIGN_OR_RETURN(file, ReadCtlConfig());
  }
  EVILMOE_ASSIGN_OR_RETURN(context.global, ResolveOptions(command.given, file));
  context.global.color = WantsColor(context);
  context.home = RunsHome();
  return command.run(context);
}

}  // namespace

const std::vector<Verb>& AllVerbs() {
  static const auto* verbs = [] {
    auto* all = new std::vector<Verb>;
    for (auto* family : {&RunVerbs, &ControlVerbs, &ShowVerbs, &RecordVerbs, &SweepVerbs, &CompareVerbs, &ReportVerbs, &FileVerbs,
                         &StackVerbs, &DoctorVerbs, &OfflineVerbs, &MoreVerbs}) {
      for (Verb& verb : family()) all->push_back(std::move(verb));
    }
    return all;
  }();
  return *verbs;
}

std::string CtlVersion() { return EVILMOE_VERSION; }

int RunCommand(const std::vector<std::string>& arguments, VerbContext context) {
  const CommandLineResult parsed = ParseCommandLine(AllVerbs(), arguments, NumCores());
  if (!parsed.command) {
    if (parsed.exit_code == kExitOk) {
      context.out << parsed.text;
    } else {
      context.errors << "evilmoe-ctl: " << parsed.text << std::endl;
    }
    return parsed.exit_code;
  }
  const absl::StatusOr<int> code = Run(*parsed.command, context);
  context.out.flush();
  if (code.ok()) return *code;
  context.errors << "evilmoe-ctl: " << ShownLines(std::string(code.status().message())) << std::endl;
  return ExitCodeOf(code.status());
}

}  // namespace evilmoe
