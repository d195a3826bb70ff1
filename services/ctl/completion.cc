#include "services/ctl/completion.h"

#include <functional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "services/ctl/verb_options.h"

namespace evilmoe {
namespace {

// One option of a verb, or its n-th argument.
struct Slot {
  std::vector<std::string> names;  // "--out"; empty for an argument
  int place = 0;                   // of an argument, from 1
  OptionNote note;
  std::string what;
};

std::vector<Slot> SlotsOf(const VerbOptions& options) {
  std::vector<Slot> slots;
  int place = 0;
  for (const CLI::Option* option : options.app().get_options()) {
    if (option->get_group().empty()) continue;
    Slot slot;
    slot.note = options.NoteOf(option);
    slot.what = option->get_description();
    if (option->get_positional()) slot.place = ++place;
    for (const std::string& name : option->get_snames()) slot.names.push_back("-" + name);
    for (const std::string& name : option->get_lnames()) slot.names.push_back("--" + name);
    slots.push_back(std::move(slot));
  }
  return slots;
}

std::vector<const VerbEntry*> ShownVerbs(const CommandTree& tree) {
  std::vector<const VerbEntry*> shown;
  for (const VerbEntry& entry : tree.entries()) {
    if (*entry.verb->group != '\0') shown.push_back(&entry);
  }
  return shown;
}

// In single quotes of bash and zsh.
std::string Quoted(const std::string& text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "'\\''"}}), "'");
}

// ---- bash: one function that says what may stand where, one that completes by it ----

std::string BashKind(const OptionNote& note) {
  switch (note.completes) {
    case Completes::kNothing: return "";
    case Completes::kText: return "text";
    case Completes::kFile: return "files";
    case Completes::kFolder: return "folders";
    case Completes::kRun: return "runs";
    case Completes::kSweep: return "sweeps";
    case Completes::kChoice:
    case Completes::kSuggestion: return absl::StrCat("words ", absl::StrJoin(note.words, " "));
  }
  return "";
}

// Lines of a `case "$verb:$option"`.
void AddBashKinds(const std::string& verb, const std::vector<Slot>& slots, std::string* out) {
  for (const Slot& slot : slots) {
    const std::string kind = BashKind(slot.note);
    if (kind.empty()) continue;
    std::vector<std::string> patterns;
    for (const std::string& name : slot.names) patterns.push_back(absl::StrCat(verb, ":", name));
    if (slot.place > 0) patterns.push_back(absl::StrCat(verb, ":", slot.note.repeated ? "[0-9]*" : absl::StrCat(slot.place)));
    absl::StrAppend(out, "    ", absl::StrJoin(patterns, "|"), ") echo ", Quoted(kind), " ;;\n");
  }
}

std::string NamesOf(const std::vector<Slot>& slots) {
  std::vector<std::string> names;
  for (const Slot& slot : slots) names.insert(names.end(), slot.names.begin(), slot.names.end());
  return absl::StrJoin(names, " ");
}

constexpr char kBashBody[] = R"bash(
_evilmoe_ctl() {
  local ctl="${COMP_WORDS[0]}" cur verb="" option="" kind i word
  local -i place=1
  local -a words=()
  # Bash cuts words at every "=": they are put together again.
  for ((i = 1; i <= COMP_CWORD; ++i)); do
    word="${COMP_WORDS[i]}"
    if ((i > 1)) && [[ $word == = || ${COMP_WORDS[i - 1]} == = ]]; then
      words[${#words[@]} - 1]+=$word
    else
      words+=("$word")
    fi
  done
  cur="${words[${#words[@]} - 1]}"
  unset "words[${#words[@]} - 1]"
  for word in "${words[@]}"; do
    if [[ -n $option ]]; then option=""; continue; fi
    if [[ $word == -* ]]; then
      if [[ $word != *=* && -n $(_evilmoe_ctl_kind "$verb:$word") ]]; then option=$word; fi
    elif [[ -z $verb ]]; then
      verb=$word
    else
      place+=1
    fi
  done
  if [[ -z $option && $cur == --*=* ]]; then option="${cur%%=*}" cur="${cur#*=}"; fi
  if [[ -n $option ]]; then
    kind=$(_evilmoe_ctl_kind "$verb:$option")
  elif [[ $cur == -* ]]; then
    kind="words $(_evilmoe_ctl_options "$verb")"
  elif [[ -z $verb ]]; then
    kind="words $_evilmoe_ctl_verbs"
  else
    kind=$(_evilmoe_ctl_kind "$verb:$place")
  fi
  COMPREPLY=()
  case "${kind%% *}" in
    words) mapfile -t COMPREPLY < <(compgen -W "${kind#words }" -- "$cur") ;;
    runs|sweeps) mapfile -t COMPREPLY < <(compgen -W "$("$ctl" complete-runs --kind "$kind" 2>/dev/null | cut -f1)" -- "$cur") ;;
    files) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
    folders) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -d -- "$cur") ;;
  esac
  # What stands before the last "=" is a word of its own to bash.
  if [[ $cur == *=* ]]; then COMPREPLY=("${COMPREPLY[@]#"${cur%=*}="}"); fi
}
complete -F _evilmoe_ctl evilmoe-ctl
)bash";

std::string BashScript(const CommandTree& tree) {
  const std::vector<Slot> global = SlotsOf(tree.global());
  std::string kinds, options, verbs;
  AddBashKinds("*", global, &kinds);
  for (const VerbEntry* entry : ShownVerbs(tree)) {
    const std::string name = entry->verb->name;
    absl::StrAppend(&verbs, verbs.empty() ? "" : " ", name);
    if (entry->options != nullptr) {
      const std::vector<Slot> slots = SlotsOf(*entry->options);
      AddBashKinds(name, slots, &kinds);
      absl::StrAppend(&options, "    ", name, ") echo ", Quoted(absl::StrCat(NamesOf(slots), " ", NamesOf(global))), " ;;\n");
      continue;
    }
    const std::vector<std::string>& next = entry->verb->next_words;
    if (!next.empty()) absl::StrAppend(&kinds, "    ", name, ":1) echo ", Quoted("words " + absl::StrJoin(next, " ")), " ;;\n");
    absl::StrAppend(&kinds, "    ", name, ":[0-9]*) echo files ;;\n");
  }
  return absl::StrCat("# Completion of evilmoe-ctl in bash: source <(evilmoe-ctl completion bash)\n",
                      "_evilmoe_ctl_verbs=", Quoted(verbs), "\n\n",
                      "# What may stand behind an option, or in the place of an argument.\n",
                      "_evilmoe_ctl_kind() {\n  case \"$1\" in\n", kinds, "  esac\n}\n\n",
                      "_evilmoe_ctl_options() {\n  case \"$1\" in\n", options, "    *) echo ", Quoted(NamesOf(global)),
                      " ;;\n  esac\n}\n", kBashBody);
}

// ---- zsh: _arguments for each verb ----

std::string ZshText(const std::string& text) {
  return absl::StrReplaceAll(text, {{"[", "\\["}, {"]", "\\]"}, {":", "\\:"}, {"'", "'\\''"}});
}

std::string ZshAction(const OptionNote& note) {
  switch (note.completes) {
    case Completes::kFile: return "_files";
    case Completes::kFolder: return "_files -/";
    case Completes::kRun: return "_evilmoe_ctl_runs runs";
    case Completes::kSweep: return "_evilmoe_ctl_runs sweeps";
    case Completes::kChoice:
    case Completes::kSuggestion: return absl::StrCat("(", absl::StrJoin(note.words, " "), ")");
    default: return "";
  }
}

std::string ZshArguments(const std::vector<Slot>& slots) {
  std::string text;
  for (const Slot& slot : slots) {
    const std::string value = absl::StrCat(":", ZshText(slot.note.placeholder), ":", ZshAction(slot.note));
    if (slot.place > 0) {
      absl::StrAppend(&text, " '", slot.note.repeated ? "*" : absl::StrCat(slot.place), value, "'");
    }
    for (const std::string& name : slot.names) {
      absl::StrAppend(&text, " '", slot.note.repeated ? "*" : "", name, "[", ZshText(slot.what), "]",
                      slot.note.completes == Completes::kNothing ? "" : value, "'");
    }
  }
  return text;
}

std::string ZshScript(const CommandTree& tree) {
  const std::string global = ZshArguments(SlotsOf(tree.global()));
  std::string verbs, cases;
  for (const VerbEntry* entry : ShownVerbs(tree)) {
    const Verb& verb = *entry->verb;
    absl::StrAppend(&verbs, " '", verb.name, ":", ZshText(verb.summary), "'");
    if (entry->options != nullptr) {
      absl::StrAppend(&cases, "        ", verb.name, ") _arguments", ZshArguments(SlotsOf(*entry->options)), global, " ;;\n");
    } else if (!verb.next_words.empty()) {
      absl::StrAppend(&cases, "        ", verb.name, ") _arguments '1:verb:(", absl::StrJoin(verb.next_words, " "),
                      ")' '*:file:_files' ;;\n");
    }
  }
  return absl::StrCat(
      "#compdef evilmoe-ctl\n# Completion of evilmoe-ctl in zsh: source <(evilmoe-ctl completion zsh)\n",
      "_evilmoe_ctl_runs() {\n  local -a found\n"
      "  found=(${${(f)\"$(evilmoe-ctl complete-runs --kind $1 2>/dev/null)\"}/$'\\t'/:})\n"
      "  _describe -t runs run found\n}\n",
      "_evilmoe_ctl() {\n  local context state state_descr line\n  local -a verbs\n  typeset -A opt_args\n  verbs=(", verbs,
      ")\n  _arguments -C", global, " '1:verb:->verb' '*::word:->words'\n",
      "  case $state in\n    verb) _describe -t verbs verb verbs ;;\n    words)\n      case $words[1] in\n", cases,
      "        *) _files ;;\n      esac ;;\n  esac\n}\n", "compdef _evilmoe_ctl evilmoe-ctl\n");
}

// ---- fish: a line each ----

std::string FishText(const std::string& text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"'", "\\'"}}), "'");
}

std::string FishValues(const OptionNote& note) {
  switch (note.completes) {
    case Completes::kNothing: return "";
    case Completes::kText: return " -x";
    case Completes::kFile: return " -r -F";
    case Completes::kFolder: return " -x -a '(__fish_complete_directories)'";
    case Completes::kRun: return " -x -a '(evilmoe-ctl complete-runs --kind runs 2>/dev/null)'";
    case Completes::kSweep: return " -x -a '(evilmoe-ctl complete-runs --kind sweeps 2>/dev/null)'";
    case Completes::kChoice:
    case Completes::kSuggestion: return absl::StrCat(" -x -a ", FishText(absl::StrJoin(note.words, " ")));
  }
  return "";
}

void AddFishLines(const std::string& condition, const std::vector<Slot>& slots, std::string* out) {
  for (const Slot& slot : slots) {
    std::string names;
    for (const std::string& name : slot.names) {
      absl::StrAppend(&names, name[1] == '-' ? " -l " + name.substr(2) : " -s " + name.substr(1));
    }
    if (slot.place > 0 && slot.note.completes == Completes::kText) continue;
    absl::StrAppend(out, "complete -c evilmoe-ctl", condition, names,
                    slot.place > 0 && slot.note.completes == Completes::kFile ? " -F" : FishValues(slot.note),
                    slot.names.empty() ? "" : absl::StrCat(" -d ", FishText(slot.what)), "\n");
  }
}

std::string FishScript(const CommandTree& tree) {
  std::string script =
      "# Completion of evilmoe-ctl in fish: evilmoe-ctl completion fish | source\n"
      "complete -c evilmoe-ctl -f\n";
  AddFishLines("", SlotsOf(tree.global()), &script);
  for (const VerbEntry* entry : ShownVerbs(tree)) {
    const std::string name = entry->verb->name;
    absl::StrAppend(&script, "complete -c evilmoe-ctl -n __fish_use_subcommand -a ", name, " -d ",
                    FishText(entry->verb->summary), "\n");
    const std::string condition = absl::StrCat(" -n '__fish_seen_subcommand_from ", name, "'");
    if (entry->options != nullptr) {
      AddFishLines(condition, SlotsOf(*entry->options), &script);
    } else {
      absl::StrAppend(&script, "complete -c evilmoe-ctl", condition, " -F",
                      entry->verb->next_words.empty()
                          ? ""
                          : absl::StrCat(" -a ", FishText(absl::StrJoin(entry->verb->next_words, " "))),
                      "\n");
    }
  }
  return script;
}

}  // namespace

std::string CompletionScript(const CommandTree& tree, const std::string& shell) {
  if (shell == "bash") return BashScript(tree);
  return shell == "zsh" ? ZshScript(tree) : FishScript(tree);
}

}  // namespace evilmoe
