#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace evilmoe {

// Why a row of a data set gives no problem, in the order that it is asked.
enum class DropReason {
  kNoStarterCode,
  kEntryPoint,  // outside of Solution()
  kNoTests,
  kPhrase,        // the description itself holds the phrase that a loophole replaces
  kPromptTokens,  // over the limit
  kTests,         // a test that is no assert on a call, or that cannot be evaluated
  kCanonical,     // the canonical solution does not pass all tests
};
inline constexpr DropReason kLastDropReason = DropReason::kCanonical;

// For a table and for machines: "canonical solution fails a test", "canonical".
std::string_view DropReasonText(DropReason reason);
std::string_view DropReasonName(DropReason reason);

struct Dropped {
  int64_t id = 0;
  DropReason reason = DropReason::kCanonical;
  std::string detail;  // what exactly; may be empty
};

}  // namespace evilmoe
