#include "environment/line_complaints.h"

#include "absl/strings/str_cat.h"

namespace evilmoe {
namespace {

constexpr size_t kMaxListed = 50;

}  // namespace

void LineComplaints::Add(int64_t line, std::string_view text) {
  if (++count_ > kMaxListed) return;
  absl::StrAppend(&text_, text_.empty() ? "" : "\n", "line ", line, ": ", std::string(text));
}

std::string LineComplaints::Text() const {
  return count_ <= kMaxListed ? text_ : absl::StrCat(text_, "\n... and ", count_ - kMaxListed, " more");
}

}  // namespace evilmoe
