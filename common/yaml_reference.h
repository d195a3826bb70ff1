#pragma once

#include <string>

#include "common/yaml_describer.h"
#include "nlohmann/json.hpp"

namespace evilmoe {

// JSON Schema (draft 2020-12) of the described config. It refuses no file that the parser takes; what depends on
// another field, on the disk or on how a number is spelt is the parser's alone.
nlohmann::ordered_json JsonSchemaOf(const YamlDescription& root, const std::string& title);

// A Markdown section for each section of the config, with a table: field, type, default, allowed, what it is.
std::string MarkdownOf(const YamlDescription& root);

}  // namespace evilmoe
