#include "services/ctl/comparison_table.h"

#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/shown_text.h"
#include "services/ctl/table.h"

namespace evilmoe {
namespace {

std::string Cell(const std::optional<MeanInterval>& interval) {
  if (!interval) return "-";
  if (interval->num_runs < 2) return absl::StrFormat("%.2f", interval->mean);
  return absl::StrFormat("%.2f [%.2f, %.2f]", interval->mean, interval->low, interval->high);
}

}  // namespace

std::string ComparisonTable(std::span<const ComparisonRow> rows) {
  std::vector<std::vector<std::string>> lines;
  for (const ComparisonRow& row : rows) {
    lines.push_back({ShownLine(row.group), absl::StrCat(row.num_runs), Cell(row.hack_on), Cell(row.hack_off), Cell(row.hack_half),
                     Cell(row.solve_on), Cell(row.solve_off)});
  }
  return RenderTable({"arm", "runs", "hack ON", "hack OFF", "hack random half", "solve ON", "solve OFF"}, lines,
                     {false, true});
}

}  // namespace evilmoe
