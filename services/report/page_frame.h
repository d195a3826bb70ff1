#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace evilmoe {

// A self-contained HTML page: no request leaves it, and its content policy lets no script run but its own (charts and
// `script`). `html` has {{name}} where values[name] goes, which must be HTML already, and {{style}}, {{script}} and
// {{script_hash}}; what is put in is never looked through again. Every name must be known. Pure.
std::string RenderPage(std::string_view html, std::string_view script,
                       std::map<std::string, std::string, std::less<>> values);

}  // namespace evilmoe
