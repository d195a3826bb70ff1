#include "services/ctl/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <functional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/yaml_reader.h"

namespace evilmoe {
namespace {

// What a sibling binary does by itself: the binary, what it is for, and the verbs below it.
struct OfflineVerb {
  const char* name;
  const char* binary;
  const char* what;
  const char* verbs = "";
};
constexpr OfflineVerb kOfflineVerbs[] = {
    {"score", "evilmoe-rollout", "Log-probabilities of token ids"},
    {"generate", "evilmoe-rollout", "Sample answers to prompts"},
    {"grade", "evilmoe-grader", "Grade answers to problems"},
    {"sandbox", "evilmoe-grader", "Run one call of a Python file in the sandbox", "run"},
    {"dataset", "evilmoe-dataset", "Build, split and look into problem files", "build split inspect nano"},
    {"pretrain", "evilmoe-trainer", "Pretrain a small model from scratch"},
    {"pairs", "evilmoe-rollout", "Check contrastive pairs", "check"},
    {"probe", "evilmoe-rollout", "Train a probe on labelled rollouts", "train"},
    {"verify", "evilmoe-rollout", "Check grader, routing, router, pin and sampler by their invariants",
     "--smoke --arm --json --threads"}};

// What the parser fills besides the struct.
struct RawOptions {
  std::string output = "table";
  bool no_color = false;
  std::vector<std::string> sets;
  std::optional<uint64_t> seed;
  std::optional<std::string> name;
};

void AddStackOptions(CLI::App* verb, CommandLine& c) {
  verb->add_option("--workers", c.stack.num_workers, "Rollout processes of the private stack")
      ->check(CLI::Range(1, 64));
  verb->add_option("--ranks", c.stack.num_ranks,
                   "Processes of the trainer that share each step; another number gives the same run up to rounding")
      ->check(CLI::Range(1, 64));
  verb->add_option_function<int>(
          "--linger", [&c](int seconds) { c.stack.linger = absl::Seconds(seconds); },
          "Seconds that the private stack stays after the run's end (default 5): Prometheus reads the last values")
      ->check(CLI::Range(0, 86400));
}

void AddSubmit(CLI::App& app, CommandLine& c, RawOptions& raw) {
  CLI::App* verb = app.add_subcommand("submit", "Check a run file, start the run and follow it");
  verb->add_option("FILE", c.file, "run.yaml")->required();
  verb->add_option("--set", raw.sets, "Override one field: --set adapter.rank=8")->expected(1)->take_all();
  verb->add_option("--seed", raw.seed, "The run's seed");
  verb->add_option("--name", raw.name, "The run's name");
  verb->add_flag("--dry-run", c.dry_run, "Print the resolved file and an estimate; start nothing");
  verb->add_flag("--detach", c.detach, "Start the run and return");
  AddStackOptions(verb, c);
}

void AddAblate(CLI::App& app, CommandLine& c) {
  CLI::App* verb = app.add_subcommand("ablate", "Run the causal ablation of a run");
  verb->add_option("--run", c.run, "Id, start of an id, or name")->required();
  verb->add_option("--checkpoint", c.checkpoint, "Step of the checkpoint; default: the last")
      ->check(CLI::NonNegativeNumber);
  verb->add_option("--samples", c.samples, "Samples for each problem and mode")->check(CLI::PositiveNumber);
  verb->add_option("--problems", c.problems, "Problem file; default: the run's");
  verb->add_option("--relearn", c.relearn,
                   "Then train OFF, a random half and the base for N steps: how soon is hacking back?")
      ->check(CLI::PositiveNumber)
      ->type_name("N");
  AddStackOptions(verb, c);
}

CLI::App* AddVerbOnRun(CLI::App& app, CommandLine& c, const char* name, const char* what) {
  CLI::App* verb = app.add_subcommand(name, what);
  verb->add_option("ID", c.run, "Id, start of an id, or name")->required();
  return verb;
}

void AddRunVerbs(CLI::App& app, CommandLine& c) {
  app.add_subcommand("list", "Show all runs");
  AddVerbOnRun(app, c, "get", "Show one run");
  CLI::App* logs = AddVerbOnRun(app, c, "logs", "Show what happened in a run");
  logs->add_flag("-f,--follow", c.follow, "Go on until the run ends");
  logs->add_option("--component", c.component,
                   "The log of one process: coordinator, grader, rollout-0, trainer, stack");
  AddVerbOnRun(app, c, "cancel", "End a run");
  CLI::App* resume = AddVerbOnRun(app, c, "resume", "Start the private stack of an interrupted run again");
  resume->add_flag("--detach", c.detach, "Start the run and return");
  AddStackOptions(resume, c);
  CLI::App* report = AddVerbOnRun(app, c, "report", "Write a run's page");
  report->add_option("--out", c.out, "HTML file; default: report.html in the run's directory");
}

// An option that evilmoe-trainer reads and judges; here it is known for help and completion.
CLI::Option* PassOn(CLI::App* verb, CommandLine& c, const char* name, const char* what) {
  return verb->add_option_function<std::string>(
      name,
      [&c, name](const std::string& value) {
        c.words.insert(c.words.end(), {name, value});
      },
      what);
}

void AddExport(CLI::App& app, CommandLine& c) {
  CLI::App* verb = app.add_subcommand("export", "Write a run's adapter for Hugging Face peft or transformers");
  verb->add_option("ID", c.run, "Run (id, start of an id, or name), checkpoint folder or adapter file")->required();
  PassOn(verb, c, "--format", "peft (default), merged (a whole model folder) or safetensors (this project's own)");
  PassOn(verb, c, "--block", "deployed (default: without the quarantine) or full");
  PassOn(verb, c, "--w", "Full block: how much of the quarantine acts, [0, 1] (default 1)");
  PassOn(verb, c, "--checkpoint", "Step of a run's checkpoint; default: the last");
  PassOn(verb, c, "--model", "Folder of the base; default: the one of the run's config");
  PassOn(verb, c, "--out", "Folder to write")->required();
  verb->add_flag_callback(
      "--force", [&c] { c.words.emplace_back("--force"); }, "Replace an earlier export");
}

void AddReplay(CLI::App& app, CommandLine& c) {
  CLI::App* verb = AddVerbOnRun(app, c, "replay", "Do a step of a run again and compare it with what was recorded");
  PassOn(verb, c, "--step", "Step, from 1, as in metrics.jsonl")->required();
  PassOn(verb, c, "--threads", "As many as the run's trainer had; default: this machine's cores");
}

void AddLocalVerbs(CLI::App& app, CommandLine& c) {
  CLI::App* tokenize = app.add_subcommand("tokenize", "JSON lines: text or messages to token ids");
  tokenize->add_option("--tokenizer", c.tokenizer, "Folder with tokenizer.json")->required();
  tokenize->add_flag("--decode", c.decode, "Ids to text");
  tokenize->add_flag("--thinking", c.thinking, "Leave the thinking block to the model");
  for (const OfflineVerb& verb : kOfflineVerbs) {
    app.add_subcommand(verb.name, absl::StrCat(verb.what, " (runs ", verb.binary, ")"))->prefix_command();
  }
  app.add_subcommand("version", "Print the version");
  app.add_subcommand("schema", "Print the JSON Schema of run.yaml")
      ->add_flag("--markdown", c.markdown, "Tables of its fields in place of the schema");
  CLI::App* completion = app.add_subcommand("completion", "Print a completion script");
  completion->add_option("SHELL", c.shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  CLI::App* stack = app.add_subcommand("stack", "")->group("");
  stack->add_option("--run-dir", c.run_dir)->required();
  AddStackOptions(stack, c);
  app.add_subcommand("stack-guard", "")->group("")->add_option("--sockets", c.sockets)->required();
}

void AddAll(CLI::App& app, CommandLine& c, RawOptions& raw) {
  app.require_subcommand(1);
  app.add_option("--endpoint", c.endpoint, "Coordinator (host:port or unix:/path); default: private stacks");
  app.add_option("--output", raw.output, "table or json")->check(CLI::IsMember({"table", "json"}));
  app.add_flag("--no-color", raw.no_color, "Plain text");
  app.fallthrough();
  AddSubmit(app, c, raw);
  AddAblate(app, c);
  AddRunVerbs(app, c);
  AddExport(app, c);
  AddReplay(app, c);
  AddLocalVerbs(app, c);
}

// Returns the word that is no a.b=c, or "".
std::string TakeOverrides(const RawOptions& raw, CommandLine& c) {
  for (const std::string& set : raw.sets) {
    const size_t equals = set.find('=');
    if (equals == std::string::npos || equals == 0) return set;
    c.overrides.emplace_back(set.substr(0, equals), set.substr(equals + 1));
  }
  if (raw.seed) c.overrides.emplace_back("seed", absl::StrCat(*raw.seed));
  if (raw.name) c.overrides.emplace_back("name", absl::StrCat("'", *raw.name, "'"));
  return "";
}

CommandLineResult Usage(const std::string& problem) {
  return {std::nullopt, 2, absl::StrCat(problem, "; `evilmoe-ctl --help` lists verbs and options")};
}

// A word in the verb's place that is none, told with the verb nearest to it; else what CLI11 found.
std::string Problem(const CLI::App& app, const std::vector<std::string>& arguments, const CLI::Error& error) {
  std::vector<std::string> verbs;
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App* v) { return !v->get_group().empty(); })) {
    verbs.push_back(verb->get_name());
  }
  const bool has_word = !arguments.empty() && arguments[0].rfind('-', 0) != 0;
  if (!has_word || std::find(verbs.begin(), verbs.end(), arguments[0]) != verbs.end()) return error.what();
  const std::string nearest = NearestName(arguments[0], verbs);
  return absl::StrCat(arguments[0], ": unknown verb",
                      nearest.empty() ? "" : absl::StrCat(", did you mean ", nearest, "?"));
}

// Verbs of a sibling get their words untouched: their options are not ours to judge.
std::optional<CommandLine> FindOfflineVerb(const std::vector<std::string>& arguments) {
  if (arguments.empty() || SiblingOfVerb(arguments[0]).empty()) return std::nullopt;
  CommandLine command;
  command.verb = arguments[0];
  command.words = arguments;
  return command;
}

}  // namespace

std::string SiblingOfVerb(const std::string& verb) {
  for (const OfflineVerb& known : kOfflineVerbs) {
    if (verb == known.name) return known.binary;
  }
  return "";
}

CommandLineResult ParseCommandLine(const std::vector<std::string>& arguments, int num_cores) {
  if (std::optional<CommandLine> offline = FindOfflineVerb(arguments)) return {std::move(offline), 0, ""};
  CommandLine c;
  c.stack.num_workers = std::clamp(num_cores, 1, 2);
  RawOptions raw;
  CLI::App app("Train language models with a quarantined hack expert, and see what the quarantine holds.",
               "evilmoe-ctl");
  try {
    AddAll(app, c, raw);
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());  // as CLI11 takes them
    app.parse(reversed);
  } catch (const CLI::CallForHelp&) {
    const std::vector<CLI::App*> verbs = app.get_subcommands();
    return {std::nullopt, 0, verbs.empty() ? app.help() : verbs[0]->help()};
  } catch (const CLI::Error& e) {
    return Usage(Problem(app, arguments, e));
  }
  c.verb = app.get_subcommands().at(0)->get_name();
  c.json = raw.output == "json";
  c.color = !raw.no_color;
  if (!SiblingOfVerb(c.verb).empty()) {
    return Usage(absl::StrCat(c.verb, ": global options before an offline verb, expected the verb first"));
  }
  const std::string bad = TakeOverrides(raw, c);
  if (!bad.empty()) return Usage(absl::StrCat("--set: bad override, got \"", bad, "\", expected a.b=value"));
  return {std::move(c), 0, ""};
}

std::string CompletionScript(const std::string& shell) {
  CommandLine c;
  RawOptions raw;
  CLI::App app;
  AddAll(app, c, raw);
  std::vector<std::string> verbs;
  for (const CLI::App* verb : app.get_subcommands([](CLI::App* v) { return !v->get_group().empty(); })) {
    verbs.push_back(verb->get_name());
  }
  const auto options_of = [&](const std::string& verb) {
    std::string names;
    for (const OfflineVerb& known : kOfflineVerbs) {
      if (verb == known.name) names = known.verbs;
    }
    for (const CLI::Option* option : app.get_subcommand(verb)->get_options()) {
      for (const std::string& name : option->get_lnames()) absl::StrAppend(&names, names.empty() ? "--" : " --", name);
    }
    return names;
  };
  std::string script;
  if (shell == "fish") {
    absl::StrAppend(&script, "complete -c evilmoe-ctl -f -n __fish_use_subcommand -a '", absl::StrJoin(verbs, " "),
                    "'\n");
    for (const std::string& verb : verbs) {
      absl::StrAppend(&script, "complete -c evilmoe-ctl -n '__fish_seen_subcommand_from ", verb, "' -a '",
                      options_of(verb), "'\n");
    }
    return script;
  }
  if (shell == "zsh") script = "#compdef evilmoe-ctl\nautoload -U +X bashcompinit && bashcompinit\n";
  script += "_evilmoe_ctl() {\n  local words\n  case \"${COMP_WORDS[1]}\" in\n";
  for (const std::string& verb : verbs) {
    absl::StrAppend(&script, "    ", verb, ") words=\"", options_of(verb), "\" ;;\n");
  }
  absl::StrAppend(&script, "    *) words=\"", absl::StrJoin(verbs, " "), "\" ;;\n  esac\n",
                  "  COMPREPLY=($(compgen -W \"$words\" -- \"${COMP_WORDS[COMP_CWORD]}\"))\n}\n",
                  "complete -o default -F _evilmoe_ctl evilmoe-ctl\n");
  return script;
}

}  // namespace evilmoe
