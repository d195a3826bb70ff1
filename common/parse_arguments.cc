#include "common/parse_arguments.h"

#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/exit_code.h"
#include "common/help_text.h"

namespace evilmoe {
namespace {

bool IsFlag(const CLI::Option& option) { return option.get_expected_max() == 0; }

// What stands for an option's value: by its type, which CLI11 calls "FLOAT:FLOAT in [0 - 1]".
std::string Placeholder(const CLI::Option& option) {
  if (IsFlag(option)) return "";
  const std::string type = option.get_type_name();
  const std::string name = type.substr(0, type.find(':'));
  if (name == "INT" || name == "UINT") return " N";
  if (name == "FLOAT") return " X";
  return name == "ENUM" ? " NAME" : " TEXT";
}

std::string NameOf(const CLI::Option& option) {
  if (option.get_positional()) return option.get_name(true);
  std::vector<std::string> names;
  for (const std::string& name : option.get_snames()) names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) names.push_back("--" + name);
  std::string text;
  for (const std::string& name : names) absl::StrAppend(&text, text.empty() ? "" : ", ", name);
  return text + Placeholder(option);
}

std::string WhatOf(const CLI::Option& option) {
  std::string what = option.get_description();
  const std::string& value = option.get_default_str();
  const bool has_default = !IsFlag(option) && !option.get_required() && !value.empty() && value != "\"\"";  // an empty path is shown in quotes
  if (has_default && !absl::StrContains(what, "default")) absl::StrAppend(&what, " (default: ", value, ")");
  if (option.get_required() && !option.get_positional()) what += "; needed";
  return what;
}

class HelpFormatter final : public CLI::Formatter {
 public:
  std::string make_help(const CLI::App* app, std::string name, CLI::AppFormatMode) const override {
    std::vector<HelpRow> arguments, options, verbs;
    std::string usage = absl::StrCat("Usage: ", name);
    for (const CLI::Option* option : app->get_options()) {
      if (option->get_group().empty() || option == app->get_help_ptr()) continue;
      (option->get_positional() ? arguments : options).emplace_back(NameOf(*option), WhatOf(*option));
      const bool needed = option->get_required();
      if (option->get_positional()) absl::StrAppend(&usage, needed ? " " : " [", NameOf(*option), needed ? "" : "]");
    }
    for (const CLI::App* verb : app->get_subcommands([](const CLI::App* v) { return !v->get_group().empty(); })) {
      verbs.emplace_back(verb->get_name(), verb->get_description());
    }
    const bool needs_verb = app->get_require_subcommand_min() > 0;
    if (!verbs.empty()) usage += needs_verb ? " VERB" : " [VERB]";
    if (!options.empty() || !verbs.empty()) usage += " [options]";
    std::string text = absl::StrCat(usage, "\n\n", WrapWords(Sentence(app->get_description()), kHelpColumns, 0), "\n",
                                    HelpSection("Arguments", arguments), HelpSection("Verbs", verbs),
                                    HelpSection("Options", options));
    for (const absl::string_view line : absl::StrSplit(app->get_footer(), '\n', absl::SkipEmpty())) {
      absl::StrAppend(&text, absl::StrContains(text, "\nExample:\n") ? "  " : "\nExample:\n  ", line, "\n");
    }
    return text;
  }

 private:
  static std::string Sentence(std::string text) { return text.empty() || text.back() == '.' ? text : text + "."; }
};

void SetFormatter(CLI::App& app, const std::shared_ptr<HelpFormatter>& formatter) {
  app.formatter(formatter);
  for (CLI::App* verb : app.get_subcommands(nullptr)) SetFormatter(*verb, formatter);
}

}  // namespace

void SetHelpStyle(CLI::App& app) { SetFormatter(app, std::make_shared<HelpFormatter>()); }

std::optional<int> ParseArguments(CLI::App& app, int argc, const char* const* argv) {
  const std::string program = argc > 0 ? std::filesystem::path(argv[0]).filename().string() : "";
  // Help shows the name as a person types it, without the folder.
  if (app.get_name().empty()) app.name(program);
  SetHelpStyle(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& help) {
    app.exit(help);
    return kExitOk;
  } catch (const CLI::ParseError& error) {
    std::cerr << program << ": " << error.what() << "; --help lists verbs and options" << std::endl;
    return kExitUsage;
  }
  return std::nullopt;
}

}  // namespace evilmoe
