#include "services/report/group_page.h"

#include <algorithm>
#include <array>
#include <map>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "services/report/comparison.h"
#include "services/report/embed.h"
#include "services/report/page_frame.h"
#include "services/report/reading.h"
#include "services/report/report_assets.h"
#include "services/report/reproduction.h"
#include "services/report/run_curves.h"

namespace evilmoe {
namespace {

using OrderedJson = nlohmann::ordered_json;

constexpr std::array kCurves = {"hack_rate_strict", "deploy_hack_rate_strict", "solve_rate", "w_hack", "w_clean",
                                "router_auroc", "pair_separation", "q_mass", "reward_mean", "kl", "entropy"};

// One group with all that the page shows of it.
struct Group {
  ComparisonRow row;
  std::vector<const RecordedRun*> runs;
};

std::vector<Group> GroupsOf(std::span<const RecordedRun> runs, std::span<const ComparedRun> compared) {
  std::vector<Group> groups;
  for (ComparisonRow& row : CompareRuns(compared)) {
    Group group{std::move(row), {}};
    for (const RecordedRun& run : runs) {
      if (std::ranges::count(group.row.run_ids, run.id) > 0) group.runs.push_back(&run);
    }
    groups.push_back(std::move(group));
  }
  return groups;
}

OrderedJson IntervalJson(const std::optional<MeanInterval>& interval) {
  if (!interval) return nullptr;
  return {{"mean", interval->mean}, {"low", interval->low}, {"high", interval->high}};
}

OrderedJson PageData(std::span<const Group> groups) {
  OrderedJson data = {{"groups", OrderedJson::array()}};
  for (const Group& group : groups) {
    const ComparisonRow& row = group.row;
    data["groups"].push_back({{"name", row.group},
                              {"num_runs", row.num_runs},
                              {"rates",
                               {{"hack_on", IntervalJson(row.hack_on)},
                                {"hack_off", IntervalJson(row.hack_off)},
                                {"hack_random_half", IntervalJson(row.hack_half)},
                                {"hack_base", IntervalJson(row.hack_base)},
                                {"solve_on", IntervalJson(row.solve_on)},
                                {"solve_off", IntervalJson(row.solve_off)},
                                {"solve_random_half", IntervalJson(row.solve_half)},
                                {"solve_base", IntervalJson(row.solve_base)}}},
                              {"curves", MeanCurves(group.runs, kCurves)}});
  }
  return data;
}

std::string Headlines(std::span<const Group> groups) {
  std::string html;
  for (const Group& group : groups) {
    absl::StrAppend(&html, "<div class=\"headline ", OutcomeClass(OutcomeOf(group.row)), "\"><p class=\"verdict\"><b>",
                    EscapeHtml(group.row.group), ":</b> ", EscapeHtml(WordsOf(group.row)), "</p></div>");
  }
  return html;
}

std::string Cell(const std::optional<MeanInterval>& interval) {
  if (!interval) return "<td>–</td>";
  if (interval->num_runs < 2) return absl::StrFormat("<td>%.3f</td>", interval->mean);
  return absl::StrFormat("<td>%.3f <small>[%.3f, %.3f]</small></td>", interval->mean, interval->low, interval->high);
}

std::string Table(const std::vector<std::string>& head, const std::string& rows, const std::string& attributes = "") {
  std::string html = absl::StrCat("<table", attributes, "><thead><tr>");
  for (const std::string& name : head) absl::StrAppend(&html, "<th scope=\"col\">", name, "</th>");
  return absl::StrCat(html, "</tr></thead><tbody>", rows, "</tbody></table>");
}

std::string GroupsTable(std::span<const Group> groups) {
  std::string rows;
  for (const Group& group : groups) {
    const ComparisonRow& row = group.row;
    absl::StrAppend(&rows, "<tr><th scope=\"row\">", EscapeHtml(row.group), "</th><td>", row.num_runs, "</td>",
                    Cell(row.hack_on), Cell(row.hack_off), Cell(row.hack_half), Cell(row.hack_base), Cell(row.solve_on),
                    Cell(row.solve_off), Cell(row.solve_half), Cell(row.solve_base), "</tr>");
  }
  return Table({"group", "runs", "hack, on", "hack, off", "hack, random half", "hack, base", "solve, on", "solve, off",
                "solve, random half", "solve, base"},
               rows);
}

std::string RateCell(const ComparedRun& run, const char* mode, double ComparedRun::Rates::*rate) {
  const auto it = run.modes.find(mode);
  return it == run.modes.end() ? "<td>–</td>" : absl::StrFormat("<td>%.3f</td>", it->second.*rate);
}

std::string RunsTable(std::span<const RecordedRun> runs, std::span<const ComparedRun> compared) {
  using Rates = ComparedRun::Rates;
  std::string rows;
  for (size_t i = 0; i < runs.size(); ++i) {
    const std::string steps = runs[i].steps_total ? absl::StrCat(runs[i].num_steps, " of ", *runs[i].steps_total)
                                                  : absl::StrCat(runs[i].num_steps);
    absl::StrAppend(&rows, "<tr><th scope=\"row\">", EscapeHtml(runs[i].name), "</th><td>", EscapeHtml(runs[i].arm),
                    "</td><td>", EscapeHtml(runs[i].seed), "</td><td>", EscapeHtml(runs[i].state), "</td><td>", steps,
                    "</td>", RateCell(compared[i], "on", &Rates::hack), RateCell(compared[i], "off", &Rates::hack));
    absl::StrAppend(&rows, RateCell(compared[i], "random_half", &Rates::hack),
                    RateCell(compared[i], "on", &Rates::solve), RateCell(compared[i], "off", &Rates::solve), "<td>",
                    EscapeHtml(runs[i].id), "</td></tr>");
  }
  return Table({"run", "arm", "seed", "state", "steps", "hack, on", "hack, off", "hack, random half", "solve, on",
                "solve, off", "id"},
               rows);
}

// A line a run, a column a fact that any of them has.
std::string MadeTable(std::span<const RecordedRun> runs) {
  std::vector<std::string> head = {"run"};
  for (const RecordedRun& run : runs) {
    for (const Fact& fact : FactsOf(run)) {
      if (std::ranges::count(head, fact.name) == 0 && fact.name != "state" && fact.name != "sweep") head.push_back(fact.name);
    }
  }
  std::string rows;
  for (const RecordedRun& run : runs) {
    std::map<std::string, std::string> values;
    for (const Fact& fact : FactsOf(run)) values[fact.name] = fact.value;
    values["run"] = run.name.empty() ? run.id : run.name;
    rows += "<tr>";
    for (const std::string& name : head) absl::StrAppend(&rows, "<td>", EscapeHtml(values[name]), "</td>");
    rows += "</tr>";
  }
  return Table(head, rows, " class=\"many\"");
}

std::string Notes(std::span<const RecordedRun> runs) {
  std::string items;
  for (const RecordedRun& run : runs) {
    for (const std::string& note : run.notes) {
      absl::StrAppend(&items, "<li>", EscapeHtml(run.name.empty() ? run.id : run.name), ": ", EscapeHtml(note), "</li>");
    }
  }
  if (items.empty()) return "";
  return absl::StrCat("<aside class=\"notes\" aria-label=\"What is missing\"><h2>What is missing</h2><ul>", items,
                      "</ul></aside>");
}

std::string Commands(std::span<const ComparedRun> compared) {
  std::string text;
  for (const ComparedRun& run : compared) {
    absl::StrAppend(&text, SubmitCommand("run.yaml", compared.front().fields, run.fields), "\n");
  }
  text += "evilmoe-ctl compare";
  for (const ComparedRun& run : compared) absl::StrAppend(&text, " ", ShellWord(run.name));
  return text + "\n";
}

}  // namespace

std::string RenderGroupPage(const std::string& kind, const std::string& title, std::span<const RecordedRun> runs) {
  std::vector<ComparedRun> compared;
  for (const RecordedRun& run : runs) compared.push_back(ComparedOf(run));
  const std::vector<Group> groups = GroupsOf(runs, compared);
  const std::string first = runs.empty() ? "" : runs.front().name;
  return RenderPage(
      GroupTemplate(), GroupScript(),
      {{"kind", EscapeHtml(kind)},
       {"title", EscapeHtml(title)},
       {"num_groups", absl::StrCat(groups.size())},
       {"num_runs", absl::StrCat(runs.size())},
       {"headlines", Headlines(groups)},
       {"notes", Notes(runs)},
       {"groups_table", GroupsTable(groups)},
       {"runs_table", RunsTable(runs, compared)},
       {"made_table", MadeTable(runs)},
       {"again_lead", EscapeHtml(absl::StrCat("Save the config below as run.yaml: it is that of ", first,
                                              "; the commands set what the other runs have otherwise."))},
       {"commands", EscapeHtml(runs.empty() ? "" : Commands(compared))},
       {"config_title", EscapeHtml(absl::StrCat("config.yaml of ", first, ", every field resolved"))},
       {"config", EscapeHtml(runs.empty() ? "" : runs.front().config_yaml)},
       {"data", EmbedJson(PageData(groups))}});
}

}  // namespace evilmoe
