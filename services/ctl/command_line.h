#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "services/ctl/stack_layout.h"
#include "trainer/run_config.h"

namespace evilmoe {

// The words of a command line as a struct. Which fields matter depends on the verb.
struct CommandLine {
  std::string verb;
  // Global.
  std::string endpoint;  // empty = run directories and private stacks
  bool json = false;     // --output json
  bool color = true;
  // submit
  std::filesystem::path file;
  std::vector<Override> overrides;  // --set, --seed and --name, in that order
  bool dry_run = false;
  bool detach = false;
  StackShape stack;  // default num_workers: the cores, at most 2
  // get, logs, cancel, resume, report, ablate, replay, export (there a path too)
  std::string run;
  bool follow = false;
  std::string component;
  std::filesystem::path out;
  // ablate
  std::optional<int64_t> checkpoint;
  std::optional<int64_t> samples;
  std::optional<int64_t> relearn;
  std::filesystem::path problems;
  // tokenize
  std::filesystem::path tokenizer;
  bool decode = false;
  bool thinking = false;
  // completion
  std::string shell;
  // schema
  bool markdown = false;
  // stack, stack-guard (hidden)
  std::filesystem::path run_dir;
  std::filesystem::path sockets;
  // Offline verbs of a sibling binary: every word from the verb on, untouched. export, replay: their options, for
  // the trainer.
  std::vector<std::string> words;
};

struct CommandLineResult {
  std::optional<CommandLine> command;  // unset: print `text` and exit with `exit_code`
  int exit_code = 0;                   // 0 = --help, 2 = usage
  std::string text;
};

// `arguments` without the program's name.
CommandLineResult ParseCommandLine(const std::vector<std::string>& arguments, int num_cores);

// The binary that runs an offline verb; "" for a verb of evilmoe-ctl itself.
std::string SiblingOfVerb(const std::string& verb);
// The script that completes verbs and options in "bash", "zsh" or "fish".
std::string CompletionScript(const std::string& shell);

}  // namespace evilmoe
