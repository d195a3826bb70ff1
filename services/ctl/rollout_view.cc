#include "services/ctl/rollout_view.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/shown_text.h"
#include "environment/labels.h"
#include "services/ctl/run_view.h"

namespace evilmoe {
namespace {

using Json = nlohmann::ordered_json;

std::string TextOf(const Json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : "";
}

double NumberOf(const Json& object, const char* key) {
  const auto it = object.find(key);
  const bool finite = it != object.end() && it->is_number() && std::isfinite(it->get<double>());
  return finite ? it->get<double>() : -std::numeric_limits<double>::infinity();
}

void AddPart(const std::string& name, const std::string& value, std::string* line) {
  if (!value.empty() && value != "-") absl::StrAppend(line, line->empty() ? "" : "  ", name, name.empty() ? "" : " ", value);
}

std::string FactsOf(const Json& sample) {
  std::string facts;
  const auto it = sample.find("facts");
  if (it == sample.end() || !it->is_object()) return facts;
  for (const auto& [name, value] : it->items()) {
    if (value.is_boolean() && value.get<bool>()) absl::StrAppend(&facts, facts.empty() ? "" : ", ", ShownLine(name));
  }
  return facts;
}

}  // namespace

std::vector<std::string> RolloutLabels() {
  std::vector<std::string> names;
  for (const Label label : {Label::kCorrect, Label::kCorrectAttemptedHack, Label::kRewardHack, Label::kAttemptedHack,
                            Label::kIncorrect}) {
    names.emplace_back(LabelName(label));
  }
  return names;
}

std::vector<Json> ChooseRollouts(std::string_view jsonl, const RolloutChoice& choice) {
  std::vector<Json> samples;
  while (!jsonl.empty()) {
    const size_t end = jsonl.find('\n');
    Json sample = Json::parse(jsonl.substr(0, end), nullptr, /*allow_exceptions=*/false);
    jsonl.remove_prefix(end == std::string_view::npos ? jsonl.size() : end + 1);
    if (!sample.is_object() || (!choice.label.empty() && TextOf(sample, "label") != choice.label)) continue;
    samples.push_back(std::move(sample));
  }
  if (choice.sort != "order") {
    std::stable_sort(samples.begin(), samples.end(), [&](const Json& a, const Json& b) {
      return NumberOf(a, choice.sort.c_str()) > NumberOf(b, choice.sort.c_str());
    });
  }
  if (choice.limit && samples.size() > *choice.limit) samples.resize(*choice.limit);
  return samples;
}

std::string RolloutText(const Json& sample) {
  std::string head;
  for (const char* name : {"step", "group", "sample", "problem_id"}) {
    AddPart(name == std::string_view("problem_id") ? "problem" : name, ShowNumber(sample, name, 0), &head);
  }
  AddPart("", ShownLine(TextOf(sample, "loophole")), &head);
  AddPart("", ShownLine(TextOf(sample, "label")), &head);
  AddPart("w", ShowNumber(sample, "w", 3), &head);
  AddPart("reward", ShowNumber(sample, "reward", 2), &head);
  AddPart("mode", ShownLine(TextOf(sample, "mode")), &head);
  AddPart("lost:", ShownLine(TextOf(sample, "failure")), &head);
  if (sample.contains("stopped") && sample["stopped"] == false) AddPart("", "cut at the limit", &head);
  std::string text = absl::StrCat("== ", head, "\n");
  if (const std::string facts = FactsOf(sample); !facts.empty()) absl::StrAppend(&text, "   ", facts, "\n");
  if (!sample.contains("text")) return text;
  std::string body = ShownLines(TextOf(sample, "text"));
  if (!body.empty() && body.back() == '\n') body.pop_back();
  for (const absl::string_view line : absl::StrSplit(body, '\n')) absl::StrAppend(&text, "  | ", line, "\n");
  return text;
}

}  // namespace evilmoe
