#include "services/ctl/local_verbs.h"

#include <iostream>
#include <set>

#include "absl/strings/str_cat.h"
#include "common/exit_code.h"
#include "common/shown_text.h"
#include "common/status_macros.h"
#include "policy/tokenize_verb.h"
#include "services/ctl/command_line.h"
#include "services/ctl/completion.h"
#include "services/ctl/run_catalog.h"
#include "services/ctl/verb_table.h"
#include "services/ctl/verbs.h"
#include "trainer/run_schema.h"

namespace evilmoe {
namespace {

constexpr absl::Duration kCompletionPatience = absl::Seconds(1);

absl::StatusOr<int> Tokenize(const TokenizeCommand& command, const VerbContext& context) {
  std::ios::sync_with_stdio(false);
  return RunTokenize({command.tokenizer, command.decode, command.thinking}, context.in, context.out, context.errors);
}

struct VersionCommand {};
void AddVersionOptions(VerbOptions&, VersionCommand&) {}
absl::StatusOr<int> Version(const VersionCommand&, const VerbContext& context) {
  if (context.global.json) {
    context.out << nlohmann::ordered_json({{"version", CtlVersion()}}).dump() << "\n";
  } else {
    context.out << "evilmoe-ctl " << CtlVersion() << "\n";
  }
  return kExitOk;
}

struct CompletionCommand {
  std::string shell;
};
void AddCompletionOptions(VerbOptions& options, CompletionCommand& command) {
  options.Choice("SHELL", &command.shell, {"bash", "zsh", "fish"}, "Shell")->required();
}
absl::StatusOr<int> Completion(const CompletionCommand& command, const VerbContext& context) {
  const CommandTree tree(AllVerbs(), 1);
  context.out << CompletionScript(tree, command.shell);
  return kExitOk;
}

struct SchemaCommand {
  bool markdown = false;
};
void AddSchemaOptions(VerbOptions& options, SchemaCommand& command) {
  options.Flag("--markdown", &command.markdown, "Tables of its fields in place of the schema");
}
absl::StatusOr<int> Schema(const SchemaCommand& command, const VerbContext& context) {
  context.out << (command.markdown ? RunReference() : RunJsonSchema());
  return kExitOk;
}

void AddCompleteRunsOptions(VerbOptions& options, CompleteRunsCommand& command) {
  options.Choice("--kind", &command.kind, {"runs", "sweeps"}, "");
}

// A line a word, and what it is behind a tab. Silent when the coordinator does not answer: a shell asks.
absl::StatusOr<int> CompleteRuns(const CompleteRunsCommand& command, const VerbContext& context) {
  VerbContext hurried = context;
  hurried.global.endpoint.patience = kCompletionPatience;
  RunCatalog catalog(hurried);
  const absl::StatusOr<std::vector<RunSummary>> runs = catalog.List();
  if (!runs.ok()) return ExitCodeOf(runs.status());
  std::set<std::string> told;
  for (auto run = runs->rbegin(); run != runs->rend(); ++run) {
    const std::string name = ShownLine(run->name);
    const std::string about = absl::StrCat(ShownLine(run->arm), ", ", ShownLine(run->state));
    if (command.kind == "sweeps") {
      if (!run->sweep.empty() && told.insert(run->sweep).second) context.out << ShownLine(run->sweep) << "\tsweep\n";
      continue;
    }
    if (told.insert(run->name).second) context.out << name << "\t" << about << "\n";
    context.out << ShownLine(run->run_id) << "\t" << name << ", " << about << "\n";
  }
  return kExitOk;
}

Verb Sibling(const char* name, const char* binary, const char* summary, std::vector<std::string> next_words = {}) {
  return {name, verb_group::kOffline, summary, nullptr, "", "", true, binary, std::move(next_words)};
}

}  // namespace

void AddTokenizeOptions(VerbOptions& options, TokenizeCommand& command) {
  options.Folder("--tokenizer", &command.tokenizer, "Folder with tokenizer.json")->required();
  options.Flag("--decode", &command.decode, "Ids to text");
  options.Flag("--thinking", &command.thinking, "Leave the thinking block to the model");
}

std::vector<Verb> OfflineVerbs() {
  return {{"tokenize", verb_group::kOffline, "Text or messages to token ids, or back",
           [](VerbOptions& options) { return Bound(options, AddTokenizeOptions, Tokenize); },
           "JSON lines: {\"text\"} or {\"messages\"} to {\"ids\"}; with --decode {\"ids\"} to {\"text\"}. A bad line "
           "gives {\"line\", \"error\"} in its place and exit code 1 at the end.",
           "echo '{\"text\": \"hello\"}' | evilmoe-ctl tokenize --tokenizer examples/nano/model", true},
          Sibling("score", "evilmoe-rollout", "Log-probabilities of token ids"),
          Sibling("generate", "evilmoe-rollout", "Sample answers to prompts"),
          Sibling("grade", "evilmoe-grader", "Grade answers to problems"),
          Sibling("sandbox", "evilmoe-grader", "Run one call of a Python file in the sandbox; check the sandbox",
                  {"run", "check"}),
          Sibling("dataset", "evilmoe-dataset", "Build, split and look into problem files",
                  {"build", "split", "inspect", "nano"}),
          Sibling("pretrain", "evilmoe-trainer", "Pretrain a small model from scratch"),
          Sibling("pairs", "evilmoe-rollout", "Check contrastive pairs", {"check"}),
          Sibling("probe", "evilmoe-rollout", "Train a probe on labelled rollouts", {"train"}),
          Sibling("verify", "evilmoe-rollout", "Check grader, routing, router, pin and sampler by their invariants",
                  {"--smoke", "--arm", "--json", "--threads"})};
}

std::vector<Verb> MoreVerbs() {
  return {{"version", verb_group::kMore, "Print the version",
           [](VerbOptions& options) { return Bound(options, AddVersionOptions, Version); }, "Of evilmoe-ctl.",
           "evilmoe-ctl version", true},
          {"schema", verb_group::kMore, "Print the JSON Schema of run.yaml",
           [](VerbOptions& options) { return Bound(options, AddSchemaOptions, Schema); },
           "Editors complete and check run files with it.", "evilmoe-ctl schema > run.schema.json", true},
          {"completion", verb_group::kMore, "Print a completion script for a shell",
           [](VerbOptions& options) { return Bound(options, AddCompletionOptions, Completion); },
           "It completes verbs, options, their values, runs and files.",
           "source <(evilmoe-ctl completion bash)\nevilmoe-ctl completion fish > ~/.config/fish/completions/evilmoe-ctl.fish",
           true},
          {"complete-runs", verb_group::kHidden, "",
           [](VerbOptions& options) { return Bound(options, AddCompleteRunsOptions, CompleteRuns); }}};
}

}  // namespace evilmoe
