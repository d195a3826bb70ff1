#pragma once

#include <cctype>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"

namespace evilmoe {

// "" when every element of `html` is closed in order, else what is wrong. Knows what the report needs: void elements,
// and that the inside of <script> and <style> is text up to its end tag.
inline std::string WhatIsUnbalanced(std::string_view html) {
  static const std::set<std::string> kVoid = {"meta", "input", "br"};
  std::vector<std::string> open;
  size_t at = 0;
  while ((at = html.find('<', at)) != std::string_view::npos) {
    const size_t end = html.find('>', at);
    if (end == std::string_view::npos) return "a tag without end";
    std::string_view inside = html.substr(at + 1, end - at - 1);
    at = end + 1;
    if (inside.starts_with('!')) continue;
    const bool closes = inside.starts_with('/');
    if (closes) inside.remove_prefix(1);
    std::string name;
    for (const char c : inside) {
      if (std::isalnum(static_cast<unsigned char>(c)) == 0) break;
      name += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
    if (name.empty()) return absl::StrCat("no tag: <", std::string(inside), ">");
    if (kVoid.contains(name)) continue;
    if (closes) {
      if (open.empty() || open.back() != name) return absl::StrCat("</", name, "> closes nothing");
      open.pop_back();
      continue;
    }
    open.push_back(name);
    if (name == "script" || name == "style") {
      at = html.find(absl::StrCat("</", name), at);
      if (at == std::string_view::npos) return absl::StrCat(name, " without end");
    }
  }
  return open.empty() ? "" : absl::StrCat("left open: ", open.back());
}

inline size_t Count(std::string_view text, std::string_view part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string_view::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

// The JSON text inside <script type="application/json" id="data">.
inline std::string_view DataOf(std::string_view html) {
  constexpr std::string_view kOpen = "id=\"data\">";
  const size_t begin = html.find(kOpen);
  if (begin == std::string_view::npos) return "";
  const std::string_view rest = html.substr(begin + kOpen.size());
  return rest.substr(0, rest.find("</script>"));
}

}  // namespace evilmoe
