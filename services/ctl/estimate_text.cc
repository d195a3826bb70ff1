#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "services/ctl/estimate.h"

namespace evilmoe {
namespace {

struct Unit {
  double size;
  const char* name;
};

// In the largest unit that leaves at least 1, with two digits where they say something.
template <size_t kCount>
std::string In(const Unit (&units)[kCount], double value) {
  const Unit* unit = &units[0];
  for (const Unit& larger : units) {
    if (value >= larger.size) unit = &larger;
  }
  const double scaled = value / unit->size;
  return absl::StrFormat(scaled < 10 ? "%.1f %s" : "%.0f %s", scaled, unit->name);
}

std::string Bytes(double bytes) {
  static constexpr Unit kUnits[] = {{1e3, "kB"}, {1e6, "MB"}, {1e9, "GB"}, {1e12, "TB"}};
  return In(kUnits, bytes);
}

std::string Duration(double seconds) {
  static constexpr Unit kUnits[] = {{1, "s"}, {60, "min"}, {3600, "h"}, {86400, "days"}};
  return In(kUnits, seconds);
}

std::string Count(double count) {
  static constexpr Unit kUnits[] = {{1, ""}, {1e3, "thousand"}, {1e6, "million"}, {1e9, "billion"}};
  std::string text = In(kUnits, count);
  if (text.back() == ' ') text = absl::StrFormat("%.0f", count);
  return text;
}

template <typename Show>
std::string FromTo(const Span& span, Show show) {
  std::string low = show(span.low);
  const std::string high = show(span.high);
  if (low == high) return low;
  const size_t unit = high.rfind(' ');  // said once where it is the same
  if (unit != std::string::npos && absl::EndsWith(low, high.substr(unit))) low.resize(low.rfind(' '));
  return absl::StrCat(low, " to ", high);
}

std::string TimeLines(const Estimate& e) {
  const bool evaluates = e.evaluation_samples.value_or(0) > 0;
  const auto row = [&](const std::string& device, const std::string& step, const std::string& evaluation,
                       const std::string& run) {
    std::string line = absl::StrFormat("%-18s%-20s", device, step);
    if (evaluates) absl::StrAppendFormat(&line, "%-20s", evaluation);
    return line + run;
  };
  std::string text = row("time:", "a step", "an evaluation", "the run") + "\n";
  for (const TimeEstimate& time : e.times) {
    absl::StrAppend(&text, row("  " + time.device, FromTo(time.step_s, Duration), FromTo(time.evaluation_s, Duration),
                               FromTo(time.run_s, Duration)));
    if (!time.fits) {
      text += "  (too little memory)";
    } else if (!time.fits_all) {
      text += "  (too little memory for the longest groups)";
    }
    text += "\n";
  }
  return text;
}

std::string CacheText(const Estimate& e) {
  if (e.samples_in_cache < 1) return "too little for one sample of the longest kind: raise kv_cache_mib";
  return absl::StrFormat("room for %.0f of the longest samples at a time", e.samples_in_cache);
}

std::string MemoryLines(const Estimate& e) {
  std::string text = absl::StrCat("  trainer         ", FromTo(e.trainer_bytes, Bytes), ", and ",
                                  FromTo(e.activation_bytes, Bytes), " of activations");
  if (e.num_threads > 1) absl::StrAppendFormat(&text, " on each of %d threads", e.num_threads);
  if (e.num_ranks > 1) absl::StrAppendFormat(&text, ", of %d ranks", e.num_ranks);
  absl::StrAppendFormat(&text, "\n  rollout worker  %s, and %s of KV cache (%s)", FromTo(e.worker_bytes, Bytes),
                        FromTo(e.cache_bytes, Bytes), CacheText(e));
  if (e.num_workers > 1) absl::StrAppendFormat(&text, ", of %d workers", e.num_workers);
  return absl::StrCat(text, "\n  together        ", FromTo(e.all_bytes, Bytes), "\n");
}

std::string EvaluationLine(const Estimate& e) {
  if (!e.evaluation_samples) return "evaluation: not counted, its problem file is not there\n";
  if (*e.evaluation_samples == 0) return "";
  return absl::StrFormat("evaluation: %.0f, of %s samples%s\n", e.evaluations, Count(*e.evaluation_samples),
                         e.evaluations == 1 ? "" : " each");
}

constexpr const char* kAssumed =
    "assumed: prompts and completions have between a quarter of their longest and all of it; a group's\n"
    "  activations are kept whole; CPUs between busy and quiet, by docs/benchmarks.md; grading hides\n"
    "  behind sampling\n";
constexpr const char* kAssumedOfGpus =
    "  GPUs: data-sheet rates times what such work reaches elsewhere, all samples of a step at a time;\n"
    "  nothing was measured, and the sampler is for CPUs so far\n";

}  // namespace

std::string EstimateText(const Estimate& e) {
  return absl::StrCat("model: ", Count(e.base_parameters), " parameters in ", e.dtype, " (", e.model_source, "), ",
                      Count(e.adapter_parameters), " of the adapter train\n",  //
                      "work: ", e.steps, " steps of ", e.prompts, " prompts x ", e.group_size, " samples, ",
                      FromTo(e.completion_tokens, Count), " completion tokens a step\n", EvaluationLine(e), "memory:\n",
                      MemoryLines(e), TimeLines(e),  //
                      "disk: ", FromTo(e.adapters_bytes, Bytes), " of adapters, ", FromTo(e.checkpoints_bytes, Bytes),
                      " of checkpoints, ", FromTo(e.rollouts_bytes, Bytes), " of rollouts\n", kAssumed,
                      e.times.size() > 1 ? kAssumedOfGpus : "");
}

namespace {

nlohmann::ordered_json ToJson(const Span& span) { return {{"low", span.low}, {"high", span.high}}; }

}  // namespace

nlohmann::ordered_json EstimateJson(const Estimate& e) {
  nlohmann::ordered_json times = nlohmann::ordered_json::array();
  for (const TimeEstimate& time : e.times) {
    times.push_back({{"device", time.device},
                     {"measured", time.measured},
                     {"fits", time.fits},
                     {"fits_longest", time.fits_all},
                     {"step_s", ToJson(time.step_s)},
                     {"evaluation_s", ToJson(time.evaluation_s)},
                     {"run_s", ToJson(time.run_s)}});
  }
  return {{"model_source", e.model_source},
          {"base_parameters", e.base_parameters},
          {"adapter_parameters", e.adapter_parameters},
          {"completion_tokens_a_step", ToJson(e.completion_tokens)},
          {"evaluation_samples", e.evaluation_samples ? nlohmann::ordered_json(*e.evaluation_samples) : nullptr},
          {"memory_bytes",
           {{"trainer", ToJson(e.trainer_bytes)},
            {"activations_a_thread", ToJson(e.activation_bytes)},
            {"worker", ToJson(e.worker_bytes)},
            {"kv_cache", ToJson(e.cache_bytes)},
            {"together", ToJson(e.all_bytes)}}},
          {"samples_in_cache", e.samples_in_cache},
          {"time", std::move(times)},
          {"disk_bytes",
           {{"adapters", ToJson(e.adapters_bytes)},
            {"checkpoints", ToJson(e.checkpoints_bytes)},
            {"rollouts", ToJson(e.rollouts_bytes)}}}};
}

}  // namespace evilmoe
