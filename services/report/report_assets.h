#pragma once

#include <string_view>

namespace evilmoe {

// The pages' parts, compiled in; they live as long as the process.
std::string_view ReportTemplate();
std::string_view ReportScript();
std::string_view GroupTemplate();
std::string_view GroupScript();
std::string_view ReportStyle();  // of both

}  // namespace evilmoe
