#include "services/ctl/sweep_board.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/shown_text.h"
#include "services/ctl/paint.h"
#include "services/ctl/table.h"

namespace evilmoe {
namespace {

constexpr size_t kMaxShown = 10;

bool IsUnderWay(const RunSummary& run) { return run.state == "running" || run.state == "pausing"; }
std::string Steps(const RunSummary& run) { return absl::StrCat(run.steps_done, "/", run.steps_total); }

}  // namespace

std::string SweepCounts(std::span<const RunSummary> runs) {
  const auto count = [&](std::string_view state) {
    return std::count_if(runs.begin(), runs.end(), [&](const RunSummary& run) { return run.state == state; });
  };
  std::string text = absl::StrCat(count("succeeded"), " of ", runs.size(), " done");
  for (const char* state : {"running", "queued", "waiting", "pausing", "paused", "failed", "cancelled", "interrupted"}) {
    if (const auto n = count(state); n > 0) absl::StrAppend(&text, ", ", n, " ", state);
  }
  return text;
}

std::string SweepTable(std::span<const RunSummary> runs, bool color) {
  std::vector<std::vector<std::string>> rows;
  for (const RunSummary& run : runs) {
    rows.push_back({ShownLine(run.name), Painted(ShownLine(run.state), ToneOf(run.state), color), Steps(run),
                    ShownLine(run.run_id)});
  }
  return RenderTable({"name", "state", "steps", "run"}, rows, {false, false, true, false});
}

std::string SweepBoard(std::span<const RunSummary> runs) {
  std::string text = SweepCounts(runs) + "\n";
  size_t shown = 0;
  for (const RunSummary& run : runs) {
    if (!IsUnderWay(run) || shown++ >= kMaxShown) continue;
    absl::StrAppend(&text, "  ", ShownLine(run.name), "  ", run.state, "  ", Steps(run), "\n");
  }
  return text;
}

std::string SweepChanges(std::span<const RunSummary> before, std::span<const RunSummary> now) {
  std::string text;
  for (size_t i = 0; i < now.size(); ++i) {
    if (i < before.size() && before[i].state == now[i].state) continue;
    const std::string id = ShownLine(now[i].run_id);
    absl::StrAppend(&text, ShownLine(now[i].name), ": ", ShownLine(now[i].state),
                    id.empty() ? "" : absl::StrCat(" (run ", id, ")"), "\n");
  }
  return text;
}

}  // namespace evilmoe
