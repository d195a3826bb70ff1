#include "trainer/make_adapter.h"

#include "common/status_macros.h"
#include "trainer/token_expert_adapter.h"
#include "trainer/two_expert_adapter.h"

namespace evilmoe {

absl::StatusOr<std::unique_ptr<TrainedAdapter>> MakeAdapter(const RunConfig& config, const Qwen3Config& network,
                                                            c10::Device device) {
  const AdapterConfig& adapter = config.adapter;
  const double scale = adapter.alpha ? *adapter.alpha / adapter.rank : 1.0;
  if (config.routing.mode == "per_token") {
    EVILMOE_ASSIGN_OR_RETURN(MixLora mixlora, MixLora::Init(network, {.rank = adapter.rank,
                                                                      .experts = config.routing.experts,
                                                                      .top_k = config.routing.top_k,
                                                                      .scale = scale,
                                                                      .seed = config.seed,
                                                                      .targets = adapter.targets}));
    mixlora.MoveTo(device);
    return std::make_unique<TokenExpertAdapter>(mixlora, config.routing.balance_weight);
  }
  EVILMOE_ASSIGN_OR_RETURN(Lora2r lora, Lora2r::Init(network, {.rank = adapter.rank,
                                                               .random_ab = adapter.init == "random_ab",
                                                               .scale = scale,
                                                               .scope_completion = adapter.scope == "completion",
                                                               .seed = config.seed,
                                                               .targets = adapter.targets}));
  lora.MoveTo(device);
  return std::make_unique<TwoExpertAdapter>(lora);
}

}  // namespace evilmoe
