#include "common/yaml_reference.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

namespace evilmoe {
namespace {

using Json = nlohmann::ordered_json;

bool IsRequired(const YamlDescription& member) {
  if (!member.is_section) return member.required;
  for (const YamlDescription& inner : member.members) {
    if (IsRequired(inner)) return true;
  }
  return false;
}

Json SchemaOf(const YamlDescription& described) {
  if (!described.is_section) {
    Json schema = {{"description", described.doc}};
    schema.update(described.schema);
    if (!described.required) schema["default"] = described.default_value;
    return schema;
  }
  Json schema = {{"description", described.doc}, {"type", "object"}, {"additionalProperties", false}};
  Json required = Json::array();
  Json properties = Json::object();
  for (const YamlDescription& member : described.members) {
    properties[member.name] = SchemaOf(member);
    if (IsRequired(member)) required.push_back(member.name);
  }
  schema["properties"] = std::move(properties);
  if (!required.empty()) schema["required"] = std::move(required);
  return schema;
}

std::string Cell(const std::string& text) { return absl::StrReplaceAll(text, {{"|", "\\|"}}); }

std::string DefaultCell(const YamlDescription& field) {
  if (field.required) return "required";
  return field.default_text.empty() ? "none" : absl::StrCat("`", field.default_text, "`");
}

void AddSection(const std::string& path, const YamlDescription& section, std::string& out) {
  absl::StrAppend(&out, "## ", path.empty() ? "At the top" : absl::StrCat("`", path, "`"), "\n", section.doc, "\n\n",
                  "| field | type | default | allowed | what |\n|---|---|---|---|---|\n");
  for (const YamlDescription& member : section.members) {
    if (member.is_section) continue;
    absl::StrAppend(&out, "| `", path, path.empty() ? "" : ".", member.name, "` | ", Cell(member.type), " | ",
                    Cell(DefaultCell(member)), " | ", Cell(absl::StrJoin(member.allowed, "; ")), " | ",
                    Cell(member.doc), " |\n");
  }
  for (const YamlDescription& member : section.members) {
    if (!member.is_section) continue;
    out += "\n";
    AddSection(absl::StrCat(path, path.empty() ? "" : ".", member.name), member, out);
  }
}

}  // namespace

Json JsonSchemaOf(const YamlDescription& root, const std::string& title) {
  Json schema = {{"$schema", "https://json-schema.org/draft/2020-12/schema"}, {"title", title}};
  schema.update(SchemaOf(root));
  return schema;
}

std::string MarkdownOf(const YamlDescription& root) {
  std::string out;
  AddSection("", root, out);
  return out;
}

}  // namespace evilmoe
