#include "trainer/saved_rollouts.h"

#include <limits>
#include <sstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "common/zstd_text.h"

namespace evilmoe {
namespace {

constexpr size_t kMaxBytes = size_t{1} << 32;

// JSON has no NaN: it was written as null.
std::vector<float> LogProbs(const nlohmann::json& values) {
  std::vector<float> out;
  for (const nlohmann::json& value : values) {
    out.push_back(value.is_null() ? std::numeric_limits<float>::quiet_NaN() : value.get<float>());
  }
  return out;
}

MonitorVerdict VerdictOf(const nlohmann::json& line) {
  MonitorVerdict verdict;
  if (!line.contains("monitor")) return verdict;
  const nlohmann::json& said = line["monitor"];
  using Kind = MonitorVerdict::Kind;
  for (const Kind kind : {Kind::kClear, Kind::kFlagged, Kind::kNone}) {
    if (said.at("verdict").get<std::string>() == VerdictName(kind)) verdict.kind = kind;
  }
  return verdict;
}

Sample SampleOf(const nlohmann::json& line) {
  Sample sample;
  if (line.contains("failure")) {
    sample.failure = line["failure"].get<std::string>();
    return sample;
  }
  sample.ids = line.at("ids").get<std::vector<int32_t>>();
  sample.logprobs = LogProbs(line.at("logprobs"));
  sample.stopped = line.at("stopped").get<bool>();
  sample.text = line.at("text").get<std::string>();
  for (const FactField& field : kFactFields) sample.facts.*field.value = line.at("facts").at(field.name).get<bool>();
  return sample;
}

// Throws what nlohmann throws.
SavedBatch Parse(const std::vector<nlohmann::json>& lines) {
  SavedBatch batch;
  bool watched = false;
  for (const nlohmann::json& line : lines) {
    const auto index = line.at("group").get<int64_t>();
    if (batch.samples.empty() || batch.samples.back().index != index) {
      GroupRequest group{.index = index, .loophole = line.at("loophole").get<std::string>()};
      group.prompt_ids = line.at("prompt_ids").get<std::vector<int32_t>>();
      if (line.at("mode") == "deploy") group.mode.part = AdapterPart::kQuarantineOff;
      batch.request.step = line.at("version").get<int64_t>();
      batch.request.groups.push_back(std::move(group));
      batch.samples.push_back({.index = index});
      if (line.contains("policy_step")) batch.samples.back().policy_step = line["policy_step"].get<int64_t>();
    }
    ++batch.request.groups.back().num_samples;
    batch.samples.back().samples.push_back(SampleOf(line));
    batch.verdicts.push_back(VerdictOf(line));
    watched = watched || line.contains("monitor");
  }
  if (!watched) batch.verdicts.clear();
  return batch;
}

}  // namespace

absl::StatusOr<std::vector<nlohmann::json>> ReadRolloutLines(const std::filesystem::path& file) {
  EVILMOE_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(file));
  absl::StatusOr<std::string> text = UnpackZstd(bytes, kMaxBytes);
  EVILMOE_RETURN_IF_ERROR(Annotate(text.status(), file.string()));
  std::vector<nlohmann::json> lines;
  std::istringstream in(*text);
  for (std::string line; std::getline(in, line);) {
    lines.push_back(nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false));
    if (lines.back().is_object()) continue;
    return absl::DataLossError(absl::StrCat(file.string(), ": line ", lines.size(), ": expected a JSON object"));
  }
  return lines;
}

absl::StatusOr<SavedBatch> ParseRolloutLines(const std::vector<nlohmann::json>& lines) {
  for (const nlohmann::json& line : lines) {
    if (line.contains("prompt_ids") && (line.contains("logprobs") || line.contains("failure"))) continue;
    return absl::FailedPreconditionError(
        "a line without logprobs or prompt_ids, expected both: an earlier version wrote it, and what the step was "
        "trained with is not all there");
  }
  try {
    return Parse(lines);
  } catch (const nlohmann::json::exception& e) {
    return absl::DataLossError(e.what());
  }
}

}  // namespace evilmoe
