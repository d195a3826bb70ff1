#pragma once

#include <prometheus/counter.h>
#include <prometheus/registry.h>

#include <array>
#include <string>

namespace evilmoe {

// Why a call was not answered.
enum class CallRefusal { kUnauthenticated, kPermissionDenied, kRate, kConcurrency };

struct CallGuardMetrics {
  // `component`: "coordinator" | "grader". `registry` must outlive it.
  CallGuardMetrics(prometheus::Registry& registry, const std::string& component);

  void OnRefusal(CallRefusal reason) { refused[static_cast<size_t>(reason)]->Increment(); }

  // evilmoe_<component>_calls_refused_total{reason}, by CallRefusal.
  std::array<prometheus::Counter*, 4> refused;
};

}  // namespace evilmoe
