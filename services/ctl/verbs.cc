#include "services/ctl/verbs.h"

#include <iostream>
#include <map>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "policy/tokenize_verb.h"
#include "services/ctl/exit_code.h"
#include "services/ctl/local_stack.h"
#include "services/ctl/process.h"
#include "services/ctl/run_verbs.h"
#include "services/ctl/show_verbs.h"
#include "trainer/run_schema.h"

namespace evilmoe {
namespace {

absl::StatusOr<int> Tokenize(const CommandLine& command, const VerbContext& context) {
  std::ios::sync_with_stdio(false);
  return RunTokenize({command.tokenizer, command.decode, command.thinking}, std::cin, context.out, context.errors);
}

absl::StatusOr<int> Version(const CommandLine&, const VerbContext& context) {
  context.out << "evilmoe-ctl " << EVILMOE_VERSION << "\n";
  return kExitOk;
}

absl::StatusOr<int> Completion(const CommandLine& command, const VerbContext& context) {
  context.out << CompletionScript(command.shell);
  return kExitOk;
}

absl::StatusOr<int> Schema(const CommandLine& command, const VerbContext& context) {
  context.out << (command.markdown ? RunReference() : RunJsonSchema());
  return kExitOk;
}

absl::StatusOr<int> Stack(const CommandLine& command, const VerbContext& context) {
  EVILMOE_RETURN_IF_ERROR(RunStack({command.run_dir}, command.stack, context.clock, context.connect));
  return kExitOk;
}

absl::StatusOr<int> StackGuard(const CommandLine& command, const VerbContext&) {
  RunStackGuard(command.sockets);
  return kExitOk;
}

absl::StatusOr<int> Dispatch(const CommandLine& command, const VerbContext& context) {
  if (const std::string sibling = SiblingOfVerb(command.verb); !sibling.empty()) {
    return ExecSibling(sibling, command.words);
  }
  using Verb = absl::StatusOr<int> (*)(const CommandLine&, const VerbContext&);
  const std::map<std::string, Verb> verbs = {{"submit", Submit},
                                             {"ablate", Ablate},
                                             {"resume", Resume},
                                             {"list", List},
                                             {"get", Get},
                                             {"logs", Logs},
                                             {"cancel", Cancel},
                                             {"report", Report},
                                             {"export", Export},
                                             {"replay", Replay},
                                             {"tokenize", Tokenize},
                                             {"version", Version},
                                             {"completion", Completion},
                                             {"schema", Schema},
                                             {"stack", Stack},
                                             {"stack-guard", StackGuard}};
  return verbs.at(command.verb)(command, context);
}

}  // namespace

int RunVerb(const CommandLine& command, const VerbContext& context) {
  const absl::StatusOr<int> code = Dispatch(command, context);
  if (code.ok()) return *code;
  context.errors << "evilmoe-ctl: " << code.status().message() << std::endl;
  return ExitCodeOf(code.status());
}

}  // namespace evilmoe
