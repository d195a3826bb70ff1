#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace evilmoe {

// What a policy wrote in one step (rollouts/step-N.jsonl.zst), chosen and shown. Pure.

struct RolloutChoice {
  std::string label;  // of environment/labels.h; empty = all
  std::string sort = "order";  // order (of the file) | w | reward: highest first
  std::optional<size_t> limit;
};

// Every label, as rollouts carry it.
std::vector<std::string> RolloutLabels();

// The JSON objects among the lines that `choice` takes, in its order. Samples without the value to sort by come last.
std::vector<nlohmann::ordered_json> ChooseRollouts(std::string_view jsonl, const RolloutChoice& choice);

// A head of one line, the facts that hold, and the text. What a terminal would act on is written out: the text is the
// policy's.
std::string RolloutText(const nlohmann::ordered_json& sample);

}  // namespace evilmoe
