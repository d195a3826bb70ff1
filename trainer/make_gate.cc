#include "trainer/make_gate.h"

#include "common/status_macros.h"
#include "trainer/fixed_gate.h"
#include "trainer/learned_gate.h"

namespace evilmoe {

absl::StatusOr<std::unique_ptr<RolloutGate>> MakeGate(const RunConfig& config, int64_t num_features,
                                                      const PairFeatures& pairs) {
  const std::string& mode = config.routing.mode;
  if (mode == "learned") return LearnedGate::Seed(config, pairs);
  if (mode == "oracle_mask") return std::make_unique<OracleGate>(MaskedGradient::kActivations);
  if (mode == "oracle_parameter") return std::make_unique<OracleGate>(MaskedGradient::kParameters);
  if (mode == "none" || mode == "per_token") return std::make_unique<OpenGate>();
  EVILMOE_ASSIGN_OR_RETURN(at::Tensor direction, FixedDirection(config, num_features, pairs));
  return std::make_unique<FixedGate>(config, std::move(direction));
}

}  // namespace evilmoe
