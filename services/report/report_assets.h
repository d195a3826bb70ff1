#pragma once

#include <string_view>

namespace evilmoe {

// The page's parts, compiled in from report_template.html, report.css, charts.js and report.js.
std::string_view ReportTemplate();
std::string_view ReportStyle();
std::string_view ReportScript();

}  // namespace evilmoe
