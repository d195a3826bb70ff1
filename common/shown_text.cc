#include "common/shown_text.h"

#include "nlohmann/json.hpp"

namespace evilmoe {

std::string ShownText(std::string_view text, size_t max_bytes) {
  const nlohmann::json head = std::string(text.substr(0, max_bytes));
  return head.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + (text.size() > max_bytes ? "..." : "");
}

}  // namespace evilmoe
