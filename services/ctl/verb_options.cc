#include "services/ctl/verb_options.h"

#include <algorithm>
#include <utility>

#include "common/status_macros.h"
#include "common/yaml_reader.h"

namespace evilmoe {

CLI::Validator VerbOptions::OneOf(const std::vector<std::string>& choices) {
  return CLI::Validator(
      [choices](const std::string& text) {
        if (std::find(choices.begin(), choices.end(), text) != choices.end()) return std::string();
        const std::string nearest = NearestName(text, choices);
        return absl::StrCat("got ", text, ", expected ", JoinChoices(choices),
                            nearest.empty() ? "" : absl::StrCat(" (did you mean ", nearest, "?)"));
      },
      "");
}

CLI::Option* VerbOptions::Choice(const char* names, std::string* value, const std::vector<std::string>& choices,
                                 const char* what, const std::string& default_text) {
  const bool is_option = names[0] == '-';
  const std::string placeholder = is_option ? names + std::string(names).rfind('-') + 1 : names;
  OptionNote note{Completes::kChoice, choices, placeholder, default_text};
  std::transform(note.placeholder.begin(), note.placeholder.end(), note.placeholder.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return Value(names, value, std::move(note), what)->check(OneOf(choices));
}

CLI::Option* VerbOptions::Flag(const char* names, bool* value, const char* what) {
  return Noted(app_.add_flag(names, *value, what), {Completes::kNothing, {}, ""});
}

CLI::Option* VerbOptions::Run(std::string* word) {
  return Value("ID", word, {Completes::kRun, {}, "ID"}, "Id of a run, the start of one, or a name")->required();
}

const OptionNote& VerbOptions::NoteOf(const CLI::Option* option) const {
  static const OptionNote none{Completes::kNothing, {}, ""};
  const auto it = notes_.find(option);
  return it == notes_.end() ? none : it->second;
}

CLI::Option* VerbOptions::Noted(CLI::Option* option, OptionNote note) {
  EVILMOE_CHECK(option != nullptr);
  notes_[option] = std::move(note);
  return option;
}

}  // namespace evilmoe
