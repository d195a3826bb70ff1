#include "services/report/report.h"

#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "services/report/comparison.h"
#include "services/report/embed.h"
#include "services/report/page_frame.h"
#include "services/report/reading.h"
#include "services/report/report_assets.h"
#include "services/report/reproduction.h"

namespace evilmoe {
namespace {

using OrderedJson = nlohmann::ordered_json;

constexpr size_t kSamplesPerKind = 6;

std::string Subtitle(const RecordedRun& run) {
  std::string text;
  const auto add = [&](std::string_view name, const std::string& value) {
    if (value.empty()) return;
    absl::StrAppend(&text, "<span>", std::string(name), " <b>", EscapeHtml(value), "</b></span> ");
  };
  add("arm", run.arm);
  add("seed", run.seed);
  add("steps", run.steps_total ? absl::StrCat(run.num_steps, " of ", *run.steps_total) : absl::StrCat(run.num_steps));
  add("run", run.id);
  return text;
}

std::string Notes(const RecordedRun& run) {
  std::vector<std::string> notes = run.notes;
  if (run.steps_total && run.num_steps < *run.steps_total && run.num_steps > 0) {
    notes.insert(notes.begin(), absl::StrCat("The run recorded ", run.num_steps, " of its ", *run.steps_total,
                                             " steps: it failed, was stopped, or is not finished."));
  }
  if (notes.empty()) return "";
  std::string html = "<aside class=\"notes\" aria-label=\"What is missing\"><h2>What is missing</h2><ul>";
  for (const std::string& note : notes) absl::StrAppend(&html, "<li>", EscapeHtml(note), "</li>");
  return html + "</ul></aside>";
}

OrderedJson SampleJson(const PickedSample& picked) {
  const RolloutSample& s = *picked.sample;
  OrderedJson facts = OrderedJson::array();
  for (const auto& [name, value] : s.facts) facts.push_back({name, value});
  return {{"step", s.step}, {"group", s.group}, {"sample", s.sample}, {"problem", s.problem_id},
          {"loophole", s.loophole}, {"evaluator", s.evaluator}, {"mode", s.mode}, {"label", s.label},
          {"w", s.w ? OrderedJson(*s.w) : OrderedJson()}, {"reward", s.reward ? OrderedJson(*s.reward) : OrderedJson()},
          {"hack", s.loose_hack}, {"solved", s.solved}, {"facts", std::move(facts)}, {"text", s.text},
          {"picks", picked.picks}};
}

OrderedJson PageData(const RecordedRun& run) {
  OrderedJson samples = OrderedJson::array();
  for (const PickedSample& picked : PickSamples(run.samples, kSamplesPerKind)) samples.push_back(SampleJson(picked));
  return {{"metrics", run.metrics}, {"ablation", run.ablation}, {"samples", std::move(samples)}};
}

std::string FinalLine(const RecordedRun& run) {
  const std::string line = run.ablation.is_object() ? run.ablation["final_line"].get<std::string>() : "";
  return line.empty() ? "" : absl::StrCat("<p class=\"final\"><code>", EscapeHtml(line), "</code></p>");
}

std::string Made(const RecordedRun& run) {
  std::string rows;
  for (const Fact& fact : FactsOf(run)) {
    absl::StrAppend(&rows, "<tr><th scope=\"row\">", EscapeHtml(fact.name), "</th><td>", EscapeHtml(fact.value),
                    "</td></tr>");
  }
  return absl::StrCat("<table class=\"made\"><tbody>", rows, "</tbody></table>");
}

std::string Commands(const RecordedRun& run) {
  std::string text = "evilmoe-ctl submit run.yaml\n";
  const std::string id = ShellWord(run.id);
  if (run.ablation.is_object()) absl::StrAppend(&text, "evilmoe-ctl ablate --run ", id, "\n");
  if (run.num_steps > 0) absl::StrAppend(&text, "evilmoe-ctl replay ", id, " --step ", run.num_steps, "\n");
  return text;
}

}  // namespace

std::string RenderReport(const RecordedRun& run) {
  const Reading reading = ReadOutcome(run);
  const std::string title = run.name.empty() ? run.id : run.name;
  return RenderPage(
      ReportTemplate(), ReportScript(),
      {{"title", EscapeHtml(title)},
       {"subtitle", Subtitle(run)},
       {"outcome_class", OutcomeClass(reading.outcome)},
       {"headline", EscapeHtml(reading.headline)},
       {"final_line", FinalLine(run)},
       {"sentence", EscapeHtml(reading.sentence)},
       {"notes", Notes(run)},
       {"again_lead", "Save the config below as run.yaml; then the run again, its ablation again, its last step again "
                      "compared bit for bit:"},
       {"commands", EscapeHtml(Commands(run))},
       {"facts", Made(run)},
       {"config", run.config_yaml.empty() ? "There is no config.yaml." : EscapeHtml(run.config_yaml)},
       {"data", EmbedJson(PageData(run))}});
}

absl::Status WriteReport(const std::filesystem::path& run_directory, const std::filesystem::path& out) {
  EVILMOE_ASSIGN_OR_RETURN(const RecordedRun run, ReadRun(run_directory));
  return WriteFileAtomic(out, RenderReport(run));
}

}  // namespace evilmoe
