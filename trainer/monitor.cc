#include "trainer/monitor.h"

namespace evilmoe {

std::string_view VerdictName(MonitorVerdict::Kind kind) {
  switch (kind) {
    case MonitorVerdict::Kind::kNotAsked: return "";
    case MonitorVerdict::Kind::kClear: return "clear";
    case MonitorVerdict::Kind::kFlagged: return "flagged";
    case MonitorVerdict::Kind::kNone: return "none";
  }
  return "";
}

}  // namespace evilmoe
