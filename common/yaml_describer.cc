#include "common/yaml_describer.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace evilmoe {

YamlDescription& YamlDescriber::AddMember(std::string_view name, const char* words, nlohmann::ordered_json type,
                                          nlohmann::ordered_json default_value, std::string default_text) {
  YamlDescription& member = out_->members.emplace_back();
  member.name = name;
  member.type = words;
  member.schema["type"] = std::move(type);
  member.default_value = std::move(default_value);
  member.default_text = std::move(default_text);
  return member;
}

YamlDescriber::Described<double> YamlDescriber::Field(std::string_view name, const std::optional<double>* value) {
  const nlohmann::ordered_json shown = *value ? nlohmann::ordered_json(**value) : nlohmann::ordered_json();
  return Described<double>(AddMember(name, "number or null", nlohmann::ordered_json::array({"number", "null"}), shown,
                                     *value ? ShowYamlValue(**value) : "null"));
}

YamlDescriber::Described<std::vector<std::string>> YamlDescriber::Field(std::string_view name,
                                                                        const std::vector<std::string>* value) {
  YamlDescription& member =
      AddMember(name, "list of text", "array", *value, absl::StrCat("[", absl::StrJoin(*value, ", "), "]"));
  member.schema["items"]["type"] = "string";
  return Described<std::vector<std::string>>(member);
}

YamlDescriber::Described<std::vector<double>> YamlDescriber::Field(std::string_view name,
                                                                   const std::vector<double>* value) {
  YamlDescription& member = AddMember(name, "list of numbers", "array", *value, ShowYamlValue(*value));
  member.schema["items"]["type"] = "number";
  return Described<std::vector<double>>(member);
}

YamlDescriber::Described<std::vector<std::pair<std::string, double>>> YamlDescriber::Field(
    std::string_view name, const std::vector<std::pair<std::string, double>>* value) {
  nlohmann::ordered_json shown = nlohmann::ordered_json::object();
  for (const auto& [key, number] : *value) shown[key] = number;
  YamlDescription& member = AddMember(name, "name: number", "object", std::move(shown), ShowYamlValue(*value));
  member.schema["additionalProperties"]["type"] = "number";
  return Described<std::vector<std::pair<std::string, double>>>(member);
}

YamlDescriber YamlDescriber::Section(std::string_view name) {
  for (YamlDescription& member : out_->members) {
    if (member.name == name) return YamlDescriber(member);
  }
  YamlDescription& member = out_->members.emplace_back();
  member.name = name;
  return YamlDescriber(member);
}

}  // namespace evilmoe
