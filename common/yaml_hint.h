#pragma once

#include <string>

#include "common/yaml_tree.h"

namespace evilmoe {

// What a person may have meant by a value of the wrong type, as the end of a message, " (write 1000)"; "" where there
// is no guess. Only words: a value is never taken for what it was guessed to mean.
std::string NumberHint(const YamlNode& node);  // of 25%, 1k, 1_000, "0.5", .nan
std::string WholeHint(const YamlNode& node);   // the same, and of 16.0, 1e3
std::string BoolHint(const YamlNode& node);    // of yes, Off, 1, "true"
std::string ListHint(const YamlNode& node);    // of a, b

}  // namespace evilmoe
