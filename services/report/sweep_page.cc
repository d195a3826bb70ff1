#include "services/report/sweep_page.h"

#include <algorithm>
#include <optional>
#include <span>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "services/report/embed.h"
#include "services/report/report_assets.h"

namespace evilmoe {
namespace {

using Json = nlohmann::ordered_json;

// One of the rates that a figure shows for each arm.
struct Series {
  const char* key;
  const char* title;
  const char* tone;  // class of report.css
  bool hollow;
};
constexpr Series kHack[] = {{"hack_on", "expert on", "hack", false},
                            {"hack_off", "expert off", "hack", true},
                            {"hack_random_half", "a random half off", "third", true}};
constexpr Series kSolve[] = {{"solve_on", "expert on", "solve", false}, {"solve_off", "expert off", "solve", true}};

constexpr int kWidth = 460, kRowHeight = 58, kLineGap = 12, kLeft = 8;

const Json& Member(const Json& object, const char* key) {
  static const Json none;
  const auto it = object.is_object() ? object.find(key) : object.end();
  return object.is_object() && it != object.end() ? *it : none;
}

std::string Text(const Json& object, const char* key) {
  const Json& value = Member(object, key);
  return value.is_string() ? EscapeHtml(value.get<std::string>()) : "";
}

std::optional<double> Number(const Json& object, const char* key) {
  const Json& value = Member(object, key);
  return value.is_number() ? std::optional(std::clamp(value.get<double>(), 0.0, 1.0)) : std::nullopt;
}

const Json& List(const Json& object, const char* key) {
  static const Json none = Json::array();
  const Json& value = Member(object, key);
  return value.is_array() ? value : none;
}

double X(double share) { return kLeft + share * (kWidth - 2 * kLeft); }

std::string Mark(const Json& interval, const Series& series, int y) {
  const std::optional<double> mean = Number(interval, "mean");
  if (!mean) return "";
  const double low = Number(interval, "low").value_or(*mean), high = Number(interval, "high").value_or(*mean);
  return absl::StrFormat(
      "<g class=\"%s\"><line class=\"interval\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/><circle%s cx=\"%.1f\" "
      "cy=\"%d\" r=\"4.5\"><title>%s: %.2f [%.2f, %.2f]</title></circle></g>",
      series.tone, X(low), X(high), y, y, series.hollow ? " class=\"hollow\"" : "", X(*mean), y, series.title, *mean, low,
      high);
}

std::string Figure(const char* title, std::span<const Series> all, const Json& arms) {
  const int height = static_cast<int>(arms.size()) * kRowHeight + 24;
  std::string svg = absl::StrFormat("<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s by arm\">", kWidth, height, title);
  for (const double tick : {0.0, 0.25, 0.5, 0.75, 1.0}) {
    absl::StrAppend(&svg, absl::StrFormat("<line class=\"gridline\" x1=\"%.1f\" x2=\"%.1f\" y1=\"0\" y2=\"%d\"/>"
                                          "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.0f %%</text>",
                                          X(tick), X(tick), height - 18, X(tick), height - 4, 100 * tick));
  }
  int top = 0;
  for (const Json& arm : arms) {
    absl::StrAppend(&svg, "<text class=\"strong\" x=\"", kLeft, "\" y=\"", top + 14, "\">", Text(arm, "arm"), "</text>");
    int y = top + 26;
    for (const Series& series : all) {
      absl::StrAppend(&svg, Mark(Member(arm, series.key), series, y));
      y += kLineGap;
    }
    top += kRowHeight;
  }
  std::string legend;
  for (const Series& series : all) {
    absl::StrAppend(&legend, "<span class=\"", series.tone, "\"><i class=\"swatch", series.hollow ? " dash" : "",
                    "\"></i>", series.title, "</span>");
  }
  return absl::StrCat("<figure><figcaption><h3>", title, "</h3><p>Mean over runs and 95 % interval</p></figcaption>",
                      "<p class=\"legend\">", legend, "</p>", svg, "</svg></figure>");
}

std::string Cell(const Json& interval) {
  const std::optional<double> mean = Number(interval, "mean");
  if (!mean) return "<td>-</td>";
  const std::optional<double> low = Number(interval, "low"), high = Number(interval, "high");
  if (!low || !high) return absl::StrFormat("<td>%.2f</td>", *mean);
  return absl::StrFormat("<td>%.2f <small>[%.2f, %.2f]</small></td>", *mean, *low, *high);
}

std::string ArmsTable(const Json& arms) {
  std::string rows;
  for (const Json& arm : arms) {
    const Json& runs = Member(arm, "runs");
    absl::StrAppend(&rows, "<tr><th scope=\"row\">", Text(arm, "arm"), "</th><td>",
                    runs.is_number_integer() ? absl::StrCat(runs.get<int64_t>()) : "-", "</td>");
    for (const char* key : {"hack_on", "hack_off", "hack_random_half", "solve_on", "solve_off"}) {
      rows += Cell(Member(arm, key));
    }
    rows += "</tr>";
  }
  return absl::StrCat("<div class=\"table\"><table><thead><tr><th>arm</th><th>runs</th><th>hack ON</th><th>hack OFF</th>"
                      "<th>hack, random half off</th><th>solve ON</th><th>solve OFF</th></tr></thead><tbody>",
                      rows, "</tbody></table></div>");
}

std::string Share(const std::optional<double>& value) {
  return value ? absl::StrFormat("<td>%.2f</td>", *value) : "<td>-</td>";
}

std::string RunsTable(const Json& runs) {
  std::string rows;
  for (const Json& run : runs) {
    const Json &on = Member(Member(run, "modes"), "on"), &off = Member(Member(run, "modes"), "off");
    absl::StrAppend(&rows, "<tr><th scope=\"row\">", Text(run, "name"), "</th><td>", Text(run, "state"), "</td>",
                    Share(Number(on, "hack")), Share(Number(off, "hack")), Share(Number(on, "solve")),
                    Share(Number(off, "solve")), "<td>", Text(run, "run_id"), "</td></tr>");
  }
  return absl::StrCat("<div class=\"table\"><table><thead><tr><th>run</th><th>state</th><th>hack ON</th><th>hack OFF</th>"
                      "<th>solve ON</th><th>solve OFF</th><th>id</th></tr></thead><tbody>",
                      rows, "</tbody></table></div>");
}

}  // namespace

std::string RenderSweepPage(const std::string& name, const Json& comparison) {
  const Json &arms = List(comparison, "arms"), &runs = List(comparison, "runs");
  std::string sentences;
  for (const Json& arm : arms) absl::StrAppend(&sentences, "<p class=\"sentence\">", Text(arm, "headline"), "</p>");
  const std::string title = EscapeHtml(name);
  return absl::StrCat(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n",
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
      "<meta name=\"color-scheme\" content=\"light dark\">\n",
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; base-uri 'none'; form-action 'none'; "
      "style-src 'unsafe-inline'\">\n<title>",
      title, " - Evil MoE sweep</title>\n<style>", std::string(ReportStyle()), "</style>\n</head>\n<body>\n<header>\n",
      "<p class=\"kind\">Evil MoE sweep</p>\n<h1>", title, "</h1>\n<p class=\"facts\"><span>arms <b>", arms.size(),
      "</b></span> <span>runs <b>", runs.size(), "</b></span></p>\n</header>\n<main>\n",
      "<section class=\"headline open\" aria-label=\"Result\">", sentences, "</section>\n<h2>By arm</h2>\n",
      "<div class=\"pair\">", Figure("Hack rate", kHack, arms), Figure("Solve rate", kSolve, arms), "</div>\n",
      ArmsTable(arms), "\n<h2>Runs</h2>\n", RunsTable(runs), "\n</main>\n</body>\n</html>\n");
}

}  // namespace evilmoe
