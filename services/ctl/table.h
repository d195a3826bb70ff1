#pragma once

#include <string>
#include <vector>

namespace evilmoe {

// Plain columns, two spaces apart: text to the left, `right_aligned` columns to the right. Widths count characters of
// UTF-8, not bytes, and nothing for the codes of a colour (paint.h). Rows shorter than the header are filled with nothing. Ends with a newline.
std::string RenderTable(const std::vector<std::string>& header, const std::vector<std::vector<std::string>>& rows,
                        const std::vector<bool>& right_aligned = {});

}  // namespace evilmoe
