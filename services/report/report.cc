#include "services/report/report.h"

#include <openssl/evp.h>

#include <map>
#include <string_view>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "services/report/embed.h"
#include "services/report/reading.h"
#include "services/report/report_assets.h"

namespace evilmoe {
namespace {

using OrderedJson = nlohmann::ordered_json;

constexpr size_t kSamplesPerKind = 6;

// "sha256-..." of the page's script, so that the content policy admits it and nothing else.
std::string ScriptHash(std::string_view script) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  EVILMOE_CHECK(EVP_Digest(script.data(), script.size(), digest, &size, EVP_sha256(), nullptr) == 1);
  return absl::StrCat("sha256-", absl::Base64Escape(std::string(reinterpret_cast<const char*>(digest), size)));
}

// Puts `values` in place of {{name}}. One pass: what is put in is never looked through again.
std::string Fill(std::string_view text, const std::map<std::string, std::string, std::less<>>& values) {
  std::string out;
  while (true) {
    const size_t open = text.find("{{");
    out.append(text.substr(0, open));
    if (open == std::string_view::npos) return out;
    const size_t close = text.find("}}", open);
    EVILMOE_CHECK(close != std::string_view::npos);
    const auto value = values.find(text.substr(open + 2, close - open - 2));
    EVILMOE_CHECK(value != values.end());
    out += value->second;
    text.remove_prefix(close + 2);
  }
}

std::string OutcomeClass(Outcome outcome) {
  switch (outcome) {
    case Outcome::kLocalised: return "good";
    case Outcome::kSolvingLost:
    case Outcome::kNotLocalised: return "bad";
    case Outcome::kNoHacking:
    case Outcome::kNoAblation: return "open";
  }
  return "open";
}

std::string Subtitle(const RunRecord& run) {
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

std::string Notes(const RunRecord& run) {
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

OrderedJson PageData(const RunRecord& run) {
  OrderedJson samples = OrderedJson::array();
  for (const PickedSample& picked : PickSamples(run.samples, kSamplesPerKind)) samples.push_back(SampleJson(picked));
  return {{"metrics", run.metrics}, {"ablation", run.ablation}, {"samples", std::move(samples)}};
}

std::string FinalLine(const RunRecord& run) {
  const std::string line = run.ablation.is_object() ? run.ablation["final_line"].get<std::string>() : "";
  return line.empty() ? "" : absl::StrCat("<p class=\"final\"><code>", EscapeHtml(line), "</code></p>");
}

}  // namespace

std::string RenderReport(const RunRecord& run) {
  const Reading reading = ReadOutcome(run);
  const std::string title = run.name.empty() ? run.id : run.name;
  return Fill(ReportTemplate(),
              {{"title", EscapeHtml(title)},
               {"script_hash", ScriptHash(ReportScript())},
               {"style", std::string(ReportStyle())},
               {"subtitle", Subtitle(run)},
               {"outcome_class", OutcomeClass(reading.outcome)},
               {"verdict", EscapeHtml(reading.verdict)},
               {"final_line", FinalLine(run)},
               {"sentence", EscapeHtml(reading.sentence)},
               {"notes", Notes(run)},
               {"config", run.config_yaml.empty() ? "There is no config.yaml." : EscapeHtml(run.config_yaml)},
               {"data", EmbedJson(PageData(run))},
               {"script", std::string(ReportScript())}});
}

absl::Status WriteReport(const std::filesystem::path& run_directory, const std::filesystem::path& out) {
  EVILMOE_ASSIGN_OR_RETURN(const RunRecord run, ReadRun(run_directory));
  return WriteFileAtomic(out, RenderReport(run));
}

}  // namespace evilmoe
