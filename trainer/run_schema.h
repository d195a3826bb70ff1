#pragma once

#include <string>

namespace evilmoe {

// run.yaml for people and editors, out of the fields that the parser has (trainer/run_fields.h). No torch.

// JSON Schema (draft 2020-12), indented, with a newline at the end: docs/run.schema.json.
std::string RunJsonSchema();
// A table of every field, a section of Markdown each: the second half of docs/run_file.md.
std::string RunReference();

}  // namespace evilmoe
