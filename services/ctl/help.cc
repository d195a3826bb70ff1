#include "services/ctl/help.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/help_text.h"
#include "services/ctl/verb_options.h"

namespace evilmoe {
namespace {

bool IsHelp(const CLI::Option* option) { return option->check_lname("help"); }
bool IsShown(const CLI::Option* option) { return !option->get_group().empty(); }

// "-f,--follow", "--out FILE", "FILE".
std::string NameOf(const CLI::Option& option, const OptionNote& note) {
  if (option.get_positional()) return option.get_name(true);
  std::vector<std::string> names;
  for (const std::string& name : option.get_snames()) names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) names.push_back("--" + name);
  const std::string name = absl::StrJoin(names, ", ");
  return note.placeholder.empty() ? name : absl::StrCat(name, " ", note.placeholder);
}

std::string WhatOf(const CLI::Option& option, const OptionNote& note) {
  std::string what = option.get_description();
  if (note.completes == Completes::kChoice) absl::StrAppend(&what, ": ", absl::StrJoin(note.words, ", "));
  if (!note.default_text.empty()) absl::StrAppend(&what, " (default: ", note.default_text, ")");
  if (note.repeated) what += "; may be given again";
  if (option.get_required() && !option.get_positional()) what += "; needed";
  return what;
}

std::vector<HelpRow> RowsOf(const VerbOptions& options, bool arguments) {
  std::vector<HelpRow> rows;
  for (const CLI::Option* option : options.app().get_options()) {
    if (!IsShown(option) || IsHelp(option) || option->get_positional() != arguments) continue;
    rows.emplace_back(NameOf(*option, options.NoteOf(option)), WhatOf(*option, options.NoteOf(option)));
  }
  return rows;
}

std::string UsageLine(const VerbEntry& entry) {
  std::string line = absl::StrCat("Usage: evilmoe-ctl ", entry.verb->name);
  for (const CLI::Option* option : entry.options->app().get_options()) {
    if (!option->get_positional()) continue;
    const OptionNote& note = entry.options->NoteOf(option);
    const std::string name = absl::StrCat(option->get_name(true), note.repeated ? "..." : "");
    absl::StrAppend(&line, " ", option->get_required() ? name : absl::StrCat("[", name, "]"));
  }
  for (const CLI::Option* option : entry.options->app().get_options()) {
    if (option->get_positional() || !option->get_required()) continue;
    absl::StrAppend(&line, " ", NameOf(*option, entry.options->NoteOf(option)));
  }
  return line + " [options]\n";
}

std::string ExampleOf(const Verb& verb) {
  std::string text;
  for (const absl::string_view line : absl::StrSplit(verb.example, '\n', absl::SkipEmpty())) {
    absl::StrAppend(&text, text.empty() ? "\nExample:\n" : "", "  ", line, "\n");
  }
  return text;
}

}  // namespace

std::string HelpText(const VerbEntry& entry) {
  if (entry.options == nullptr) {
    return absl::StrCat("`evilmoe-ctl ", entry.verb->name, " --help`: options of an offline verb are told by ",
                        entry.verb->binary, "\n");
  }
  const std::string text = absl::StrCat(entry.verb->summary, ". ", entry.verb->text);
  return absl::StrCat(UsageLine(entry), "\n", WrapWords(text, kHelpColumns, 0), "\n",
                      HelpSection("Arguments", RowsOf(*entry.options, true)),
                      HelpSection("Options", RowsOf(*entry.options, false)), ExampleOf(*entry.verb),
                      "\nOptions of every verb: `evilmoe-ctl --help`.\n");
}

std::string HelpText(const CommandTree& tree) {
  std::vector<std::string> groups;
  for (const VerbEntry& entry : tree.entries()) {
    const std::string group = entry.verb->group;
    if (!group.empty() && std::find(groups.begin(), groups.end(), group) == groups.end()) groups.push_back(group);
  }
  std::string text =
      "Usage: evilmoe-ctl VERB [options]\n\n"
      "Train language models with a quarantined hack expert, and see what the quarantine holds.\n";
  for (const std::string& group : groups) {
    std::vector<HelpRow> rows;
    for (const VerbEntry& entry : tree.entries()) {
      // One column for all groups.
      if (group == entry.verb->group) rows.emplace_back(absl::StrFormat("%-10s", entry.verb->name), entry.verb->summary);
    }
    absl::StrAppend(&text, HelpSection(group, rows));
  }
  absl::StrAppend(&text, HelpSection("Options of every verb", RowsOf(tree.global(), false)),
                  "\nThe same names in ~/.config/evilmoe/ctl.yaml are defaults. Exit codes: 0 ok, 1 the run failed, "
                  "2 usage,\n3 not reachable, 4 not found, 5 refused. `evilmoe-ctl VERB --help` tells more of a "
                  "verb.\n");
  return text;
}

}  // namespace evilmoe
