#include "trainer/run_schema.h"

#include <map>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/yaml_describer.h"
#include "common/yaml_reference.h"
#include "trainer/arm_presets.h"
#include "trainer/run_fields.h"

namespace evilmoe {
namespace {

YamlDescription& Find(YamlDescription& root, const std::string& path) {
  YamlDescription* found = &root;
  for (const std::string& name : std::vector<std::string>(absl::StrSplit(path, '.'))) {
    for (YamlDescription& member : found->members) {
      if (member.name != name) continue;
      found = &member;
      break;
    }
  }
  return *found;
}

// Says of each field that presets set what they set it to: "Arms: evil_moe_no_pin 0."
void AddArms(YamlDescription& root) {
  std::map<std::string, std::map<std::string, std::vector<std::string>>> arms;  // by field and value
  const RunConfig defaults;
  for (const ArmPreset& arm : ArmPresets()) {
    for (const auto& [field, value] : arm.fields) {
      arms[std::string(field)][std::string(value)].emplace_back(arm.name);
    }
  }
  for (const auto& [field, values] : arms) {
    YamlDescription& described = Find(root, field);
    std::vector<std::string> words;
    for (const auto& [value, names] : values) {
      if (value == described.default_text) continue;
      words.push_back(absl::StrCat("`", value, "` in ", absl::StrJoin(names, ", ")));
    }
    if (!words.empty()) absl::StrAppend(&described.doc, " By its arm: ", absl::StrJoin(words, "; "), ".");
  }
}

YamlDescription Describe() {
  YamlDescription root;
  RunConfig defaults;
  run_fields::RunFields(YamlDescriber(root), &defaults, {});
  AddArms(root);
  return root;
}

}  // namespace

std::string RunJsonSchema() { return JsonSchemaOf(Describe(), "run.yaml of Evil MoE").dump(2) + "\n"; }

std::string RunReference() { return MarkdownOf(Describe()); }

}  // namespace evilmoe
