#include "dataset/id_list.h"

#include <algorithm>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "environment/line_complaints.h"
#include "environment/prompt_format.h"

namespace evilmoe {
namespace {

constexpr size_t kMaxFileBytes = size_t{16} << 20;
constexpr size_t kMaxShownBytes = 40;

}  // namespace

absl::StatusOr<std::vector<int64_t>> ParseIds(std::string_view text) {
  std::vector<int64_t> ids;
  std::set<int64_t> seen;
  LineComplaints complaints;
  for (int64_t number = 1; !text.empty(); ++number) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    line = Stripped(line.substr(0, line.find('#')));
    if (line.empty()) continue;
    int64_t id = 0;
    if (!absl::SimpleAtoi(std::string(line), &id)) {
      complaints.Add(number,
                     absl::StrCat("\"", std::string(line.substr(0, kMaxShownBytes)), "\", expected one integer"));
    } else if (!seen.insert(id).second) {
      complaints.Add(number, absl::StrCat(id, " occurs before, expected every id once"));
    } else {
      ids.push_back(id);
    }
  }
  if (!complaints.empty()) return absl::InvalidArgumentError(complaints.Text());
  if (ids.empty()) return absl::InvalidArgumentError("no id in it, expected one a line");
  return ids;
}

absl::StatusOr<std::vector<int64_t>> LoadIds(const std::filesystem::path& path) {
  EVILMOE_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxFileBytes));
  absl::StatusOr<std::vector<int64_t>> ids = ParseIds(text);
  if (!ids.ok()) return Annotate(ids.status(), path.string());
  return ids;
}

std::string JoinIds(const std::vector<int64_t>& ids, size_t max_shown) {
  const size_t shown = std::min(ids.size(), max_shown);
  std::string text = absl::StrJoin(ids.begin(), ids.begin() + static_cast<ptrdiff_t>(shown), ", ");
  if (ids.size() > shown) absl::StrAppend(&text, " and ", ids.size() - shown, " more");
  return text;
}

}  // namespace evilmoe
