// evilmoe-dataset: makes, splits and shows problem files. `evilmoe-ctl dataset ...` runs it.

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <memory>
#include <thread>

#include "common/clock.h"
#include "common/exit_code.h"
#include "common/parse_arguments.h"
#include "dataset/build.h"
#include "dataset/inspect.h"
#include "dataset/nano.h"
#include "dataset/split.h"
#include "grader_sandbox/grader.h"

namespace evilmoe {
namespace {

constexpr int kMaxNanoProblems = 999'999;  // of a split

int NumCores() { return std::max(1, static_cast<int>(std::thread::hardware_concurrency())); }

// A grader with the sandbox that this machine offers, and all that it needs.
class SandboxGrader final : public Grader {
 public:
  static absl::StatusOr<std::unique_ptr<SandboxGrader>> Start(int slots, const Clock& clock) {
    std::error_code error;
    const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
    absl::StatusOr<std::unique_ptr<SandboxHost>> host =
        SandboxHost::Probe({.zygote_binary = self.parent_path() / "evilmoe-zygote"});
    if (!host.ok()) return host.status();
    return std::unique_ptr<SandboxGrader>(new SandboxGrader(*std::move(host), slots, clock));
  }
  absl::StatusOr<GradeResult> Grade(const GradeTask& task, absl::Time deadline) override {
    return grader_.Grade(task, deadline);
  }
  LocalGrader& local() { return grader_; }

 private:
  SandboxGrader(std::unique_ptr<SandboxHost> host, int slots, const Clock& clock)
      : host_(std::move(host)), grader_({.slots = slots}, *host_, comparer_, clock, nullptr) {}

  const PythonComparer comparer_;
  const std::unique_ptr<SandboxHost> host_;
  LocalGrader grader_;
};

struct Options {
  BuildOptions build;
  std::vector<std::string> difficulties = {"easy", "medium", "hard"};
  SplitOptions split;
  InspectOptions inspect;
  std::string output = "table";
  NanoDatasetOptions nano;
};

void AddBuild(CLI::App& app, Options& options) {
  BuildOptions& build = options.build;
  CLI::App* verb = app.add_subcommand("build", "A problem file out of a LeetCodeDataset file");
  verb->footer("evilmoe-ctl dataset build --from LeetCodeDataset-train.jsonl --out data/leetcode_train.jsonl");
  verb->add_option("--from", build.from, "LeetCodeDataset-*.jsonl or .jsonl.gz, of any version")->required();
  verb->add_option("--out", build.out, "Problem file to write; verdicts are kept beside it, in OUT.verdicts.jsonl")
      ->required();
  verb->add_option("--difficulty", options.difficulties, "Those to take: easy,medium,hard")
      ->delimiter(',')
      ->check(CLI::IsMember({"easy", "medium", "hard"}));
  verb->add_option("--ids", build.ids, "File with one number a line: these problems alone, in this order");
  verb->add_flag("--allow-dropped", build.allow_dropped, "With --ids: write the rest when one of them is dropped");
  CLI::Option* tokenizer = verb->add_option("--tokenizer", build.tokenizer, "Folder with the run's tokenizer.json");
  verb->add_option("--max-prompt-tokens", build.max_prompt_tokens, "Drop longer prompts (default 1536)")
      ->check(CLI::Range(1, 1 << 20))
      ->needs(tokenizer);
  verb->add_flag("--follow-ups", build.format.keep_follow_ups, "Leave follow-up questions in the prompts");
  verb->add_option("--dropped", build.dropped, "File for a JSON line on every problem that is dropped");
  verb->add_option("--jobs", build.num_threads, "Problems in the sandbox at once; default: the cores")
      ->check(CLI::Range(1, 1024));
}

void AddSplit(CLI::App& app, SplitOptions& split) {
  CLI::App* verb = app.add_subcommand("split", "Disjoint shares of a problem file");
  verb->footer("evilmoe-ctl dataset split --from data/leetcode_train.jsonl --out data/splits");
  verb->add_option("--from", split.from, "Problem file")->required();
  verb->add_option("--out", split.out, "Folder for NAME.jsonl of every share")->required();
  verb->add_option("--splits", split.shares, "NAME=FRACTION,...; default train=0.8,validation=0.1,test=0.1");
  verb->add_option("--seed", split.seed, "Seed of the draw");
  verb->add_option("--against", split.against,
                   "Problem file that must have no id and no description in common with it");
}

void AddInspect(CLI::App& app, Options& options) {
  CLI::App* verb = app.add_subcommand("inspect", "What is in a problem file");
  verb->footer("evilmoe-ctl dataset inspect examples/nano/train.jsonl");
  verb->add_option("FILE", options.inspect.file, "Problem file")->required();
  verb->add_option("--id", options.inspect.id, "Show this problem");
  verb->add_option("--tokenizer", options.inspect.tokenizer, "Folder with tokenizer.json: count the prompts' tokens");
  verb->add_option("--output", options.output, "table or json")->check(CLI::IsMember({"table", "json"}));
}

void AddNano(CLI::App& app, NanoDatasetOptions& nano) {
  CLI::App* verb = app.add_subcommand("nano", "The small procedural environment");
  verb->footer("evilmoe-ctl dataset nano --out problems --train 200 --seed 1");
  verb->add_option("--out", nano.out, "Folder for train.jsonl, validation.jsonl and test.jsonl")->required();
  verb->add_option("--train", nano.num_train, "Problems to train on")->check(CLI::Range(1, kMaxNanoProblems));
  verb->add_option("--validation", nano.num_validation, "Problems to choose settings by")
      ->check(CLI::Range(1, kMaxNanoProblems));
  verb->add_option("--test", nano.num_test, "Problems to report on")->check(CLI::Range(1, kMaxNanoProblems));
  verb->add_option("--seed", nano.seed, "Seed of the draws");
  verb->add_option("--hard-share", nano.hard_share, "Share of hard problems")->check(CLI::Range(0.0, 1.0));
}

int Usage(const std::string& problem) {
  std::cerr << "evilmoe-dataset: " << problem << "; `evilmoe-ctl dataset --help` lists verbs and options\n";
  return kExitUsage;
}

absl::Status Build(Options& options, const Clock& clock) {
  options.build.difficulties = {options.difficulties.begin(), options.difficulties.end()};
  options.build.terminal = isatty(STDERR_FILENO) == 1;
  const MakeGrader make_grader = [&]() -> absl::StatusOr<std::unique_ptr<Grader>> {
    return SandboxGrader::Start(options.build.num_threads, clock);
  };
  return BuildProblems(options.build, make_grader, clock, std::cerr, std::cout);
}

absl::Status Nano(const Options& options, const Clock& clock) {
  const absl::StatusOr<std::unique_ptr<SandboxGrader>> grader = SandboxGrader::Start(NumCores(), clock);
  if (!grader.ok()) return grader.status();
  return WriteNanoDataset(options.nano, (*grader)->local(), clock, std::cerr);
}

absl::Status Run(const CLI::App& app, Options& options) {
  const RealClock clock;
  if (app.got_subcommand("build")) return Build(options, clock);
  if (app.got_subcommand("split")) return SplitProblems(options.split, std::cout);
  if (app.got_subcommand("nano")) return Nano(options, clock);
  options.inspect.json = options.output == "json";
  return InspectProblems(options.inspect, std::cout);
}

}  // namespace
}  // namespace evilmoe

int main(int argc, char** argv) {
  using namespace evilmoe;
  CLI::App app{"Makes, splits and shows problem files.", "evilmoe-ctl dataset"};
  app.option_defaults()->always_capture_default();
  app.require_subcommand(1);
  Options options;
  options.build.num_threads = NumCores();
  AddBuild(app, options);
  AddSplit(app, options.split);
  AddInspect(app, options);
  AddNano(app, options.nano);
  // evilmoe-ctl hands its words on with the verb in front.
  const int skipped = argc > 1 && std::string_view(argv[1]) == "dataset" ? 1 : 0;
  const std::string verb = argc > skipped + 1 ? argv[skipped + 1] : "";
  const auto is_verb = [&verb](CLI::App* known) { return known->get_name() == verb; };
  if (!verb.empty() && verb[0] != '-' && app.get_subcommands(is_verb).empty()) {
    return Usage(verb + ": unknown verb, expected build, split, inspect or nano");
  }
  SetHelpStyle(app);
  try {
    app.parse(argc - skipped, argv + skipped);
  } catch (const CLI::CallForHelp& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    return Usage(error.what());
  }
  const absl::Status status = Run(app, options);
  if (status.ok()) return 0;
  std::cerr << "evilmoe-dataset: " << status.message() << "\n";
  return ExitCodeOf(status);
}
