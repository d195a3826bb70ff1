#pragma once

#include <cstdint>
#include <string_view>

namespace evilmoe {

// Which part of a two-expert adapter acts (algorithm.md §5). Torch-free: the wire and the reports name modes too.
enum class AdapterPart {
  kFull,           // both experts
  kQuarantineOff,  // Q reset to its init: what is deployed
  kDeployedOff,    // D reset to its init
  kRandomHalf,     // B P A − B0 P A0 with P a Haar projector of rank r
  kBase,           // no adapter
};

struct AdapterMode {
  AdapterPart part = AdapterPart::kFull;
  uint64_t projector_seed = 0;       // kRandomHalf
  float strength = 1.0f;             // kRandomHalf: 1, or 2 for doubled
  bool prompt_uses_adapter = false;  // false: the prompt runs with the quarantine off (scope `completion`)
};

}  // namespace evilmoe
