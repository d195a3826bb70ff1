#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "services/ctl/global_options.h"
#include "services/ctl/verb.h"

namespace CLI {
class App;
}

namespace evilmoe {

// A verb with its options, as the parser, help and completion see it.
struct VerbEntry {
  const Verb* verb = nullptr;
  CLI::App* app = nullptr;
  std::unique_ptr<VerbOptions> options;
  VerbFunction run;  // null for a sibling's
};

// Every verb with every option. `verbs` must outlive it.
class CommandTree {
 public:
  CommandTree(std::span<const Verb> verbs, int num_cores);
  ~CommandTree();
  CommandTree(const CommandTree&) = delete;
  CommandTree& operator=(const CommandTree&) = delete;

  CLI::App& app() { return *app_; }
  const std::vector<VerbEntry>& entries() const { return entries_; }
  const VerbOptions& global() const { return *global_; }
  GivenOptions given() const;  // after a parse

 private:
  std::unique_ptr<CLI::App> app_;
  GivenOptions given_;
  bool no_color_ = false;
  std::unique_ptr<VerbOptions> global_;
  std::vector<VerbEntry> entries_;
};

struct ParsedCommand {
  const Verb* verb = nullptr;
  VerbFunction run;
  GivenOptions given;
};

struct CommandLineResult {
  std::optional<ParsedCommand> command;  // unset: print `text` and exit with `exit_code`
  int exit_code = 0;                     // 0 = --help, 2 = usage
  std::string text;
};

// `arguments` without the program's name. `verbs` must outlive the result.
CommandLineResult ParseCommandLine(std::span<const Verb> verbs, const std::vector<std::string>& arguments,
                                   int num_cores);

}  // namespace evilmoe
