#pragma once

#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace evilmoe {

// One line of the arms table: a name for a set of field values that are laid under what a run's file says.
struct ArmPreset {
  std::string_view name;
  std::string_view summary;  // what the arm is, in one line
  // Dotted field of run.yaml and its value as YAML.
  std::vector<std::pair<std::string_view, std::string_view>> fields;
};

// Every arm that a run may name. The parser, `submit --dry-run` and the documentation share this table.
std::span<const ArmPreset> ArmPresets();
// nullptr when no arm has that name.
const ArmPreset* FindArm(std::string_view name);

}  // namespace evilmoe
