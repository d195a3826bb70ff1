#include "services/ctl/help.h"

#include <algorithm>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "services/ctl/verb_options.h"

namespace evilmoe {
namespace {

constexpr size_t kColumns = 100;
constexpr size_t kGap = 2;

// Words of `text` in lines of at most `columns`, every line but the first with `indent` spaces in front.
std::string Wrapped(const std::string& text, size_t columns, size_t indent) {
  std::string wrapped;
  size_t at = 0;
  for (const absl::string_view word : absl::StrSplit(text, ' ', absl::SkipEmpty())) {
    if (at > 0 && at + 1 + word.size() > columns) {
      absl::StrAppend(&wrapped, "\n", std::string(indent, ' '));
      at = 0;
    }
    absl::StrAppend(&wrapped, at > 0 ? " " : "", word);
    at += (at > 0 ? 1 : 0) + word.size();
  }
  return wrapped;
}

// What stands to the left and to the right of one line of a list.
using Row = std::pair<std::string, std::string>;

std::string Rows(const std::vector<Row>& rows, size_t left) {
  std::string text;
  for (const auto& [name, what] : rows) {
    const size_t start = 2 + left + kGap;
    const bool too_long = name.size() > left;
    absl::StrAppend(&text, "  ", name,
                    too_long ? absl::StrCat("\n", std::string(start, ' ')) : std::string(left - name.size() + kGap, ' '),
                    Wrapped(what, kColumns - start, start), "\n");
  }
  return text;
}

size_t LeftColumn(const std::vector<Row>& rows, size_t most) {
  size_t left = 0;
  for (const Row& row : rows) left = std::max(left, row.first.size() > most ? 0 : row.first.size());
  return left;
}

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

std::vector<Row> RowsOf(const VerbOptions& options, bool arguments) {
  std::vector<Row> rows;
  for (const CLI::Option* option : options.app().get_options()) {
    if (!IsShown(option) || IsHelp(option) || option->get_positional() != arguments) continue;
    rows.emplace_back(NameOf(*option, options.NoteOf(option)), WhatOf(*option, options.NoteOf(option)));
  }
  return rows;
}

std::string Section(const char* title, const std::vector<Row>& rows) {
  return rows.empty() ? "" : absl::StrCat("\n", title, ":\n", Rows(rows, LeftColumn(rows, 26)));
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
  return absl::StrCat(UsageLine(entry), "\n", Wrapped(text, kColumns, 0), "\n",
                      Section("Arguments", RowsOf(*entry.options, true)),
                      Section("Options", RowsOf(*entry.options, false)), ExampleOf(*entry.verb),
                      "\nOptions of every verb: `evilmoe-ctl --help`.\n");
}

std::string HelpText(const CommandTree& tree) {
  std::vector<std::string> groups;
  size_t left = 0;
  for (const VerbEntry& entry : tree.entries()) {
    const std::string group = entry.verb->group;
    if (!group.empty() && std::find(groups.begin(), groups.end(), group) == groups.end()) groups.push_back(group);
    if (!group.empty()) left = std::max(left, std::string_view(entry.verb->name).size());
  }
  std::string text =
      "Usage: evilmoe-ctl VERB [options]\n\n"
      "Train language models with a quarantined hack expert, and see what the quarantine holds.\n";
  for (const std::string& group : groups) {
    std::vector<Row> rows;
    for (const VerbEntry& entry : tree.entries()) {
      if (group == entry.verb->group) rows.emplace_back(entry.verb->name, entry.verb->summary);
    }
    absl::StrAppend(&text, "\n", group, ":\n", Rows(rows, left));
  }
  absl::StrAppend(&text, Section("Options of every verb", RowsOf(tree.global(), false)),
                  "\nThe same names in ~/.config/evilmoe/ctl.yaml are defaults. Exit codes: 0 ok, 1 the run failed, "
                  "2 usage,\n3 not reachable, 4 not found, 5 refused. `evilmoe-ctl VERB --help` tells more of a "
                  "verb.\n");
  return text;
}

}  // namespace evilmoe
