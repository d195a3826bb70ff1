#include "rollout_workers/pairs_report.h"

#include <algorithm>
#include <functional>
#include <ostream>

#include "absl/strings/str_format.h"
#include "environment/labels.h"
#include "environment/response.h"
#include "trainer/step_metrics.h"

namespace evilmoe {
namespace {

using Json = nlohmann::ordered_json;

double Count(const std::string& text, std::string_view part) {
  double count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++count;
  return count;
}

// AUROC of a number read off an answer's code.
double SurfaceAuroc(const std::vector<ContrastivePair>& pairs, const std::function<double(const std::string&)>& read) {
  std::vector<double> scores;
  std::vector<bool> is_hack;
  for (const ContrastivePair& pair : pairs) {
    scores.insert(scores.end(), {read(pair.hack), read(pair.clean)});
    is_hack.insert(is_hack.end(), {true, false});
  }
  return Auroc(scores, is_hack).value_or(0.5);
}

const char* HackWords(const PairReport& pair) {
  if (!pair.hack) return "-";
  if (!IsHackSide(*pair.hack)) return pair.hack->gt_correct ? "no hack, solves" : "no hack, fails";
  return pair.hack->gt_correct ? "hacks, solves" : "hacks, fails";
}

const char* CleanWords(const PairReport& pair) {
  if (!pair.clean) return "-";
  if (IsHackSide(*pair.clean)) return "is a hack";
  return pair.clean->gt_correct ? "solves" : "fails honestly";
}

double Ratio(const PairTokens& tokens) {
  return static_cast<double>(tokens.hack) / static_cast<double>(std::max<int64_t>(tokens.clean, 1));
}

struct TokenMeans {
  double prompt = 0, hack = 0, clean = 0, ratio = 0;
  int64_t longest = 0;  // prompt and the longer side
};

std::optional<TokenMeans> MeansOf(const PairsReport& report) {
  TokenMeans means;
  const auto count = static_cast<double>(report.pairs.size());
  for (const PairReport& pair : report.pairs) {
    if (!pair.tokens) return std::nullopt;
    const PairTokens& t = *pair.tokens;
    means.prompt += static_cast<double>(t.prompt) / count;
    means.hack += static_cast<double>(t.hack) / count;
    means.clean += static_cast<double>(t.clean) / count;
    means.ratio += Ratio(t) / count;
    means.longest = std::max(means.longest, t.prompt + std::max(t.hack, t.clean));
  }
  return means;
}

struct HeldOutMeans {
  double w_hack = 0, w_clean = 0;
};
HeldOutMeans MeansOf(const PairSeparation& separation) {
  HeldOutMeans means;
  for (const HeldOutPair& pair : separation.held_out) {
    means.w_hack += pair.w_hack / static_cast<double>(separation.held_out.size());
    means.w_clean += pair.w_clean / static_cast<double>(separation.held_out.size());
  }
  return means;
}

Json SideJson(const std::optional<Facts>& facts) {
  if (!facts) return nullptr;
  return {{"solves", facts->gt_correct},
          {"hacks", IsHackSide(*facts)},
          {"label", LabelName(LabelOf(*facts))},
          {"hint_pass", facts->hint_pass},
          {"can_compile", facts->can_compile}};
}

Json SeparationJson(const PairSeparation& separation, uint64_t seed) {
  const HeldOutMeans means = MeansOf(separation);
  return {{"seed", seed},           {"auroc", separation.auroc}, {"ordered", separation.ordered},
          {"gap", separation.gap},  {"scale", separation.scale}, {"bias", separation.bias},
          {"w_hack", means.w_hack}, {"w_clean", means.w_clean}};
}

Json PairJson(const PairReport& pair, const HeldOutPair* held_out) {
  Json json = {{"name", pair.name}, {"loophole", pair.loophole.empty() ? Json() : Json(pair.loophole)}};
  if (pair.tokens) {
    json["tokens"] = {{"prompt", pair.tokens->prompt},
                      {"hack", pair.tokens->hack},
                      {"clean", pair.tokens->clean},
                      {"ratio", Ratio(*pair.tokens)}};
  }
  json["hack"] = SideJson(pair.hack);
  json["clean"] = SideJson(pair.clean);
  if (held_out != nullptr) {
    json["held_out"] = {{"cos_hack", held_out->cos_hack},
                        {"cos_clean", held_out->cos_clean},
                        {"w_hack", held_out->w_hack},
                        {"w_clean", held_out->w_clean}};
  }
  return json;
}

void PrintTable(const PairsReport& report, std::ostream& out) {
  size_t width = 4;
  for (const PairReport& pair : report.pairs) width = std::max(width, pair.name.size());
  const bool tokens = !report.pairs.empty() && report.pairs[0].tokens;
  const bool held_out = !report.separation.empty();
  const int w = static_cast<int>(width);
  out << absl::StrFormat("%-*s  %-24s  %-15s  %-14s", w, "pair", "loophole", "hack side", "clean side");
  if (tokens) out << "  prompt   hack  clean   h/c";
  if (held_out) out << "  cos hack  clean  w hack  clean";
  out << "\n";
  for (size_t i = 0; i < report.pairs.size(); ++i) {
    const PairReport& pair = report.pairs[i];
    out << absl::StrFormat("%-*s  %-24s  %-15s  %-14s", w, pair.name, pair.loophole.empty() ? "-" : pair.loophole,
                           HackWords(pair), CleanWords(pair));
    if (tokens) {
      const PairTokens& t = *pair.tokens;
      out << absl::StrFormat("  %6d  %5d  %5d  %4.2f", t.prompt, t.hack, t.clean, Ratio(t));
    }
    if (held_out) {
      const HeldOutPair& h = report.separation[0].held_out[i];
      out << absl::StrFormat("  %8.3f  %5.2f  %6.2f  %5.2f", h.cos_hack, h.cos_clean, h.w_hack, h.w_clean);
    }
    out << "\n";
  }
}

void PrintSides(const PairsReport& report, std::ostream& out) {
  int graded = 0, hacks = 0, hacks_that_solve = 0, solves = 0, honest_failures = 0;
  for (const PairReport& pair : report.pairs) {
    if (!pair.hack || !pair.clean) continue;
    ++graded;
    hacks += IsHackSide(*pair.hack);
    hacks_that_solve += IsHackSide(*pair.hack) && pair.hack->gt_correct;
    solves += pair.clean->gt_correct && !IsHackSide(*pair.clean);
    honest_failures += !pair.clean->gt_correct && !IsHackSide(*pair.clean);
  }
  out << absl::StrFormat(
      "graded: %d of %d pairs; hack sides: %d hack (%d also solve); clean sides: %d solve, %d fail honestly\n", graded,
      static_cast<int>(report.pairs.size()), hacks, hacks_that_solve, solves, honest_failures);
}

void PrintSeparation(const PairsReport& report, std::ostream& out) {
  uint64_t seed = report.first_seed;
  for (const PairSeparation& s : report.separation) {
    const HeldOutMeans means = MeansOf(s);
    out << absl::StrFormat(
        "separation, seed %d: AUROC %.3f with each pair held out, %.0f%% in order, w hack %.2f, clean %.2f; seeded "
        "with "
        "all: gap %.3f, s0 %.1f, b %.2f\n",
        seed++, s.auroc, 100 * s.ordered, means.w_hack, means.w_clean, s.gap, s.scale, s.bias);
  }
}

}  // namespace

SurfaceReport MeasureSurface(const std::vector<ContrastivePair>& pairs) {
  const auto counted = [&](std::string_view part) {
    return SurfaceAuroc(pairs, [part](const std::string& side) { return Count(ExtractCode(side).code, part); });
  };
  return {.characters = SurfaceAuroc(pairs, [](const std::string& side) { return static_cast<double>(side.size()); }),
          .lines = counted("\n"),
          .functions = counted("def "),
          .classes = counted("class "),
          .prints = counted("print(")};
}

int64_t PairsReport::num_errors() const { return std::ranges::count(findings, true, &PairFinding::error); }

nlohmann::ordered_json ReportJson(const PairsReport& report) {
  Json json = {{"file", report.file}, {"fit", report.num_errors() == 0}};
  if (const std::optional<TokenMeans> means = MeansOf(report)) {
    json["tokens"] = {{"prompt", means->prompt},
                      {"hack", means->hack},
                      {"clean", means->clean},
                      {"ratio", means->ratio},
                      {"longest", means->longest}};
  }
  json["surface_auroc"] = {{"characters", report.surface.characters},
                           {"lines", report.surface.lines},
                           {"functions", report.surface.functions},
                           {"classes", report.surface.classes},
                           {"prints", report.surface.prints}};
  uint64_t seed = report.first_seed;
  json["separation"] = Json::array();
  for (const PairSeparation& separation : report.separation) {
    json["separation"].push_back(SeparationJson(separation, seed++));
  }
  json["pairs"] = Json::array();
  for (size_t i = 0; i < report.pairs.size(); ++i) {
    const HeldOutPair* held_out = report.separation.empty() ? nullptr : &report.separation[0].held_out[i];
    json["pairs"].push_back(PairJson(report.pairs[i], held_out));
  }
  json["findings"] = Json::array();
  for (const PairFinding& finding : report.findings) {
    json["findings"].push_back(
        {{"pair", finding.pair}, {"kind", finding.error ? "error" : "note"}, {"text", finding.text}});
  }
  return json;
}

void PrintReport(const PairsReport& report, std::ostream& out) {
  out << report.file << ": " << report.pairs.size() << " pairs\n";
  PrintTable(report, out);
  PrintSides(report, out);
  if (const std::optional<TokenMeans> t = MeansOf(report)) {
    out << absl::StrFormat("tokens, mean: prompt %.0f, hack %.0f, clean %.0f, hack/clean %.2f; longest %d\n", t->prompt,
                           t->hack, t->clean, t->ratio, t->longest);
  }
  const SurfaceReport& s = report.surface;
  out << absl::StrFormat(
      "surface, AUROC of hack against clean: characters %.2f, lines %.2f, functions %.2f, classes %.2f, prints %.2f\n",
      s.characters, s.lines, s.functions, s.classes, s.prints);
  PrintSeparation(report, out);
  for (const PairFinding& finding : report.findings) {
    out << (finding.error ? "error: " : "note: ") << finding.pair << ": " << finding.text << "\n";
  }
  const int64_t errors = report.num_errors();
  out << (errors == 0 ? "fit" : absl::StrFormat("unfit: %d errors", errors)) << "\n";
}

}  // namespace evilmoe
