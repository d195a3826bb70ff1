#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/yaml_field.h"

namespace evilmoe {

// What may stand in the place of an option's value or of an argument, for completion.
enum class Completes {
  kNothing,  // a flag
  kText,     // anything
  kFile,
  kFolder,
  kRun,
  kSweep,
  kChoice,      // one of `words`, and nothing else
  kSuggestion,  // one of `words`, or anything
};

// What is known of an option beside what CLI11 keeps.
struct OptionNote {
  Completes completes = Completes::kText;
  std::vector<std::string> words;
  std::string placeholder;           // "N"; empty for a flag
  std::string default_text;          // shown by help; empty = none
  bool repeated = false;
};

// How a verb says which options and arguments it has. Everything that a value goes to must outlive the parse.
class VerbOptions {
 public:
  // `app` must outlive it.
  VerbOptions(CLI::App& app, int num_cores) : app_(app), num_cores_(num_cores) {}

  // Cores that this process may use, for defaults.
  int num_cores() const { return num_cores_; }

  // A value of any type that CLI11 reads. `names`: "--out", "-f,--follow", or "FILE" for an argument.
  template <typename T>
  CLI::Option* Value(const char* names, T* value, OptionNote note, const char* what) {
    return Noted(app_.add_option(names, *value, what), std::move(note));
  }
  template <typename T>
  CLI::Option* Text(const char* names, T* value, const char* placeholder, const char* what,
                    const std::string& default_text = "") {
    return Value(names, value, {Completes::kText, {}, placeholder, default_text}, what);
  }
  template <typename T>
  CLI::Option* File(const char* names, T* value, const char* what, const std::string& default_text = "") {
    return Value(names, value, {Completes::kFile, {}, "FILE", default_text}, what);
  }
  template <typename T>
  CLI::Option* Folder(const char* names, T* value, const char* what, const std::string& default_text = "") {
    return Value(names, value, {Completes::kFolder, {}, "DIR", default_text}, what);
  }
  // In [low, high].
  template <typename T, typename Number>
  CLI::Option* Range(const char* names, T* value, Number low, Number high, const char* what,
                     const std::string& default_text = "") {
    return Text(names, value, "N", what, default_text)->check(InRange(low, high));
  }
  // One of `choices`.
  CLI::Option* Choice(const char* names, std::string* value, const std::vector<std::string>& choices, const char* what,
                      const std::string& default_text = "");
  CLI::Option* Flag(const char* names, bool* value, const char* what);
  // The run that a verb works on: an argument, needed.
  CLI::Option* Run(std::string* word);

  const OptionNote& NoteOf(const CLI::Option* option) const;
  CLI::App& app() { return app_; }
  const CLI::App& app() const { return app_; }

  // "got 70, expected 1 to 64".
  template <typename Number>
  static CLI::Validator InRange(Number low, Number high) {
    return CLI::Validator(
        [low, high](const std::string& text) {
          Number number;
          if (CLI::detail::lexical_cast(text, number) && number >= low && number <= high) return std::string();
          return absl::StrCat("got ", text, ", expected ", ShowYamlValue(low), " to ", ShowYamlValue(high));
        },
        "");
  }
  // "got xml, expected table or json".
  static CLI::Validator OneOf(const std::vector<std::string>& choices);

 private:
  CLI::Option* Noted(CLI::Option* option, OptionNote note);

  CLI::App& app_;
  const int num_cores_;
  std::map<const CLI::Option*, OptionNote> notes_;
};

}  // namespace evilmoe
