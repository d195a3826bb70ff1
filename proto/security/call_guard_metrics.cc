#include "proto/security/call_guard_metrics.h"

namespace evilmoe {

CallGuardMetrics::CallGuardMetrics(prometheus::Registry& registry, const std::string& component) {
  prometheus::Family<prometheus::Counter>& family =
      prometheus::BuildCounter()
          .Name("evilmoe_" + component + "_calls_refused_total")
          .Help("Calls that were refused before they were looked at.")
          .Register(registry);
  refused = {&family.Add({{"reason", "unauthenticated"}}), &family.Add({{"reason", "permission_denied"}}),
             &family.Add({{"reason", "rate"}}), &family.Add({{"reason", "concurrency"}})};
}

}  // namespace evilmoe
