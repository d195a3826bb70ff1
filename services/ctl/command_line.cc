#include "services/ctl/command_line.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/exit_code.h"
#include "common/yaml_reader.h"
#include "services/ctl/help.h"
#include "services/ctl/process.h"
#include "services/ctl/verb_options.h"

namespace evilmoe {
namespace {

void AddGlobalOptions(VerbOptions& options, GivenOptions& given, bool& no_color) {
  options.Text("--endpoint", &given.endpoint, "ADDRESS",
               "Coordinator, host:port or unix:/path; '' for none",
               "of ctl.yaml, else the stack that `up` started, else private stacks");
  options.File("--token-file", &given.token_file, "File with the bearer token for the coordinator");
  options.File("--ca", &given.ca, "Certificates that the coordinator's is checked with (PEM)");
  options.File("--certificate", &given.certificate, "Own certificate for mutual TLS (PEM)");
  options.File("--key", &given.key, "Its key (PEM)");
  options
      .Value("--output", &given.output, {Completes::kChoice, {"table", "json"}, "FORMAT", "table"},
             "Text for people, or JSON")
      ->check(VerbOptions::OneOf({"table", "json"}));
  options.Flag("--no-color", &no_color, "Plain text; so does the variable NO_COLOR");
}

const Verb* FindSibling(std::span<const Verb> verbs, const std::vector<std::string>& arguments) {
  for (const Verb& verb : verbs) {
    if (!arguments.empty() && verb.add == nullptr && arguments[0] == verb.name) return &verb;
  }
  return nullptr;
}

CommandLineResult HandOver(const Verb& verb, const std::vector<std::string>& words) {
  const auto run = [binary = std::string(verb.binary), words](const VerbContext&) -> absl::StatusOr<int> {
    return ExecSibling(binary, words);
  };
  return {ParsedCommand{&verb, run, {}}, kExitOk, ""};
}

CommandLineResult Usage(const std::string& problem, const VerbEntry* entry) {
  return {std::nullopt, kExitUsage,
          absl::StrCat(problem, "; `evilmoe-ctl ", entry == nullptr ? "" : absl::StrCat(entry->verb->name, " "),
                       "--help` lists ", entry == nullptr ? "verbs and options" : "its options")};
}

// A word in the verb's place that is none, told with the verb nearest to it; else what CLI11 found.
std::string Problem(const CommandTree& tree, const std::vector<std::string>& arguments, const CLI::Error& error) {
  std::vector<std::string> verbs;
  for (const VerbEntry& entry : tree.entries()) verbs.emplace_back(entry.verb->name);
  const bool has_word = !arguments.empty() && arguments[0].rfind('-', 0) != 0;
  if (!has_word || std::find(verbs.begin(), verbs.end(), arguments[0]) != verbs.end()) return error.what();
  const std::string nearest = NearestName(arguments[0], verbs);
  return absl::StrCat(arguments[0], ": unknown verb",
                      nearest.empty() ? "" : absl::StrCat(", did you mean ", nearest, "?"));
}

const VerbEntry* Chosen(const CommandTree& tree) {
  for (const VerbEntry& entry : tree.entries()) {
    if (entry.app->parsed()) return &entry;
  }
  return nullptr;
}

}  // namespace

CommandTree::CommandTree(std::span<const Verb> verbs, int num_cores)
    : app_(std::make_unique<CLI::App>("", "evilmoe-ctl")),
      global_(std::make_unique<VerbOptions>(*app_, num_cores)) {
  app_->require_subcommand(1);
  AddGlobalOptions(*global_, given_, no_color_);
  app_->fallthrough();
  for (const Verb& verb : verbs) {
    VerbEntry entry;
    entry.verb = &verb;
    entry.app = app_->add_subcommand(verb.name, verb.summary);
    if (*verb.group == '\0') entry.app->group("");
    if (verb.add == nullptr) {
      entry.app->prefix_command();
    } else {
      entry.options = std::make_unique<VerbOptions>(*entry.app, num_cores);
      entry.run = verb.add(*entry.options);
    }
    entries_.push_back(std::move(entry));
  }
}

CommandTree::~CommandTree() = default;

GivenOptions CommandTree::given() const {
  GivenOptions given = given_;
  if (no_color_) given.no_color = true;
  return given;
}

CommandLineResult ParseCommandLine(std::span<const Verb> verbs, const std::vector<std::string>& arguments,
                                   int num_cores) {
  if (const Verb* sibling = FindSibling(verbs, arguments)) return HandOver(*sibling, arguments);
  CommandTree tree(verbs, num_cores);
  try {
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());  // as CLI11 takes them
    tree.app().parse(reversed);
  } catch (const CLI::CallForHelp&) {
    const VerbEntry* entry = Chosen(tree);
    return {std::nullopt, kExitOk, entry == nullptr ? HelpText(tree) : HelpText(*entry)};
  } catch (const CLI::Error& error) {
    return Usage(Problem(tree, arguments, error), Chosen(tree));
  }
  const VerbEntry* entry = Chosen(tree);
  if (entry->verb->add == nullptr) {
    return Usage(absl::StrCat(entry->verb->name, ": global options before an offline verb, expected the verb first"),
                 nullptr);
  }
  return {ParsedCommand{entry->verb, entry->run, tree.given()}, kExitOk, ""};
}

}  // namespace evilmoe
