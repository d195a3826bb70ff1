#include "services/report/page_frame.h"

#include <openssl/evp.h>

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "services/report/report_assets.h"
#include "services/web/web_assets.h"

namespace evilmoe {
namespace {

std::string Joined(std::initializer_list<std::string_view> paths, std::string_view last) {
  std::string text;
  for (const std::string_view path : paths) absl::StrAppend(&text, std::string(FindWebAsset(path).value()), "\n");
  return text += last;
}

// "sha256-..." of the page's script, so that the content policy admits it and nothing else.
std::string ScriptHash(std::string_view script) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  EVILMOE_CHECK(EVP_Digest(script.data(), script.size(), digest, &size, EVP_sha256(), nullptr) == 1);
  return absl::StrCat("sha256-", absl::Base64Escape(std::string(reinterpret_cast<const char*>(digest), size)));
}

}  // namespace

std::string RenderPage(std::string_view html, std::string_view script,
                       std::map<std::string, std::string, std::less<>> values) {
  std::string whole = Joined({"vendor/uplot/uPlot.iife.min.js", "dom.js", "charts.js", "panels.js"}, script);
  values["script_hash"] = ScriptHash(whole);
  values["script"] = std::move(whole);
  values["style"] = Joined({"vendor/uplot/uPlot.min.css", "base.css"}, ReportStyle());
  std::string out;
  while (true) {
    const size_t open = html.find("{{");
    out.append(html.substr(0, open));
    if (open == std::string_view::npos) return out;
    const size_t close = html.find("}}", open);
    EVILMOE_CHECK(close != std::string_view::npos);
    const auto value = values.find(html.substr(open + 2, close - open - 2));
    EVILMOE_CHECK(value != values.end());
    out += value->second;
    html.remove_prefix(close + 2);
  }
}

}  // namespace evilmoe
