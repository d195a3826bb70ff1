#include "trainer/run_trace.h"

#include <algorithm>
#include <limits>
#include <sstream>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "nlohmann/json.hpp"

namespace evilmoe {
namespace {

using nlohmann::ordered_json;

constexpr int kTrainer = 1, kGroups = 2;  // "processes" of the trace
constexpr char kBeginning[] = "[\n";

std::string Line(const ordered_json& event) {
  return event.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + ",\n";
}

// What all spans of one step have.
struct Context {
  const std::string& run;
  int64_t step = 0;
};

struct Track {
  int process = 0;
  int64_t thread = 0;
};

struct Span {
  std::string name;
  std::string id, parent;
  absl::Time begin, end;
};

std::string SpanLine(const Span& span, const Context& context, const Track& track, const ordered_json& more = {}) {
  const int64_t begin = absl::ToUnixMicros(span.begin), end = absl::ToUnixMicros(span.end);
  ordered_json args = {{"run", context.run}, {"step", context.step}, {"span", span.id}};
  if (!span.parent.empty()) args["parent"] = span.parent;
  for (const auto& [key, value] : more.items()) args[key] = value;
  return Line({{"name", span.name},
               {"ph", "X"},
               {"ts", begin},
               {"dur", end - begin},
               {"pid", track.process},
               {"tid", track.thread},
               {"args", std::move(args)}});
}

std::string NameLine(const char* what, const std::string& name, const Context& context, const Track& track) {
  return Line({{"name", what},
               {"ph", "M"},
               {"pid", track.process},
               {"tid", track.thread},
               {"args", {{"name", name}, {"step", context.step}}}});
}

bool Known(const GroupTimes& times) {
  for (const absl::Time time : {times.leased, times.sampled, times.handed_in}) {
    if (time == absl::InfinitePast()) return false;
  }
  return true;
}

// The worker's times as the trainer's clock would have shown them: shifted as little as puts them between `opened` and
// `fetched`, and in order whatever the worker says.
GroupTimes OnOurClock(const GroupTimes& times) {
  absl::Duration shift = absl::ZeroDuration();
  if (times.handed_in > times.fetched) shift = times.fetched - times.handed_in;
  if (times.leased + shift < times.opened) shift = times.opened - times.leased;
  GroupTimes ours = times;
  ours.leased = std::clamp(times.leased + shift, times.opened, times.fetched);
  ours.handed_in = std::clamp(times.handed_in + shift, ours.leased, times.fetched);
  ours.sampled = std::clamp(times.sampled + shift, ours.leased, ours.handed_in);
  ours.grading = times.grading == absl::InfinitePast() ? ours.sampled
                                                       : std::clamp(times.grading + shift, ours.leased, ours.handed_in);
  return ours;
}

std::string GroupLines(const StepTimes& step, const GroupSamples& group, const Context& context, const Track& track) {
  const std::string root = absl::StrCat("step/", step.step, "/group/", group.index), lease = root + "/lease";
  const ordered_json more = {{"group", group.index}};
  // A group that was drawn ahead was opened before the step began.
  GroupTimes times = group.times;
  if (times.opened == absl::InfinitePast()) times.opened = step.begun;
  times.fetched = std::clamp(times.fetched, times.opened, std::max(times.opened, step.sampled));
  const absl::Time end = std::max(step.trained, times.fetched);
  std::string lines = NameLine("thread_name", absl::StrCat("group ", group.index), context, track);
  lines += SpanLine({absl::StrCat("group ", group.index), root, "", times.opened, end}, context, track, more);
  if (Known(group.times)) {
    const GroupTimes ours = OnOurClock(times);
    const ordered_json who = {{"group", group.index}, {"worker", ours.worker}};
    const Track grades = {track.process, track.thread + 1};
    lines += NameLine("thread_name", absl::StrCat("group ", group.index, ", grades"), context, grades);
    lines += SpanLine({"queue", root + "/queue", root, times.opened, ours.leased}, context, track, more);
    lines += SpanLine({"lease", lease, root, ours.leased, ours.handed_in}, context, track, who);
    lines += SpanLine({"sample", lease + "/sample", lease, ours.leased, ours.sampled}, context, track, more);
    lines += SpanLine({"grade", lease + "/grade", lease, ours.grading, ours.handed_in}, context, grades, more);
  }
  const absl::Time trained_from = std::clamp(step.sampled, times.fetched, end);
  return lines + SpanLine({"train", root + "/train", root, trained_from, end}, context, track, more);
}

// Of an event of trace.json; of the mark that the trace ends, which is made again, and of what is no event, one behind all.
int64_t StepOf(const nlohmann::json& event) {
  constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
  if (!event.is_object() || !event.contains("args") || !event["args"].is_object()) return kNever;
  const auto step = event["args"].find("step");
  if (event.value("ph", nlohmann::json()) == "i" || step == event["args"].end() || !step->is_number_integer()) return kNever;
  return step->get<int64_t>();
}

}  // namespace

std::string TraceLines(const StepTimes& times, int max_policy_lag, const std::vector<GroupSamples>& groups,
                       const std::string& run_id) {
  const Context context = {run_id, times.step};
  const Track steps = {kTrainer, 0};
  const std::string root = absl::StrCat("step/", times.step);
  std::string lines = NameLine("process_name", "trainer", context, steps);
  lines += NameLine("process_name", "groups", context, {kGroups, 0});
  lines += SpanLine({absl::StrCat("step ", times.step), root, "", times.begun, times.published}, context, steps);
  lines += SpanLine({"sample", root + "/sample", root, times.begun, times.sampled}, context, steps);
  lines += SpanLine({"train", root + "/train", root, times.sampled, times.trained}, context, steps);
  lines += SpanLine({"publish", root + "/publish", root, times.trained, times.published}, context, steps);
  const auto num_groups = static_cast<int64_t>(groups.size());
  const int64_t first = times.step % (max_policy_lag + 1) * num_groups;
  for (const GroupSamples& group : groups) {
    lines += GroupLines(times, group, context, {kGroups, 2 * (first + group.index) + 1});
  }
  return lines;
}

void RunTrace::RewindTo(int64_t step) {
  num_bytes_ = 0;
  const absl::StatusOr<std::string> old = ReadFile(file_);
  ended_ = !old.ok() && !absl::IsNotFound(old.status());
  if (!old.ok()) return;
  std::string kept = kBeginning;
  std::istringstream lines(*old);
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line.back() != ',') continue;  // the beginning, or half a line of a killed trainer
    line.pop_back();
    const nlohmann::json event = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (StepOf(event) <= step) absl::StrAppend(&kept, line, ",\n");
  }
  num_bytes_ = static_cast<int64_t>(kept.size());
  if (kept != *old && !WriteFileAtomic(file_, kept).ok()) ended_ = true;
}

void RunTrace::Step(const StepTimes& times, int max_policy_lag, const std::vector<GroupSamples>& groups) {
  if (ended_ || config_.every == 0 || times.step % config_.every != 0) return;
  std::string lines = num_bytes_ == 0 ? kBeginning : "";
  lines += TraceLines(times, max_policy_lag, groups, run_id_);
  if (num_bytes_ + static_cast<int64_t>(lines.size()) > int64_t{config_.max_mib} << 20) {
    ended_ = true;
    lines = num_bytes_ == 0 ? kBeginning : "";
    lines += Line({{"name", "trace.max_mib is reached: no later step is traced"},
                   {"ph", "i"},
                   {"s", "g"},
                   {"ts", absl::ToUnixMicros(times.published)},
                   {"pid", kTrainer},
                   {"tid", 0},
                   {"args", {{"step", times.step}}}});
  }
  if (!AppendFile(file_, lines).ok()) ended_ = true;
  num_bytes_ += static_cast<int64_t>(lines.size());
}

}  // namespace evilmoe
