#pragma once

#include <cstdint>

#include "policy/model_config.h"
#include "services/ctl/device_speed.h"
#include "trainer/run_config.h"

namespace evilmoe {

// How much a run computes and holds, by the shapes of its network, batch and adapter. Pure; figures in flops, bytes and
// tokens as doubles.

// Mean tokens of a prompt and of a completion, which nobody knows beforehand.
struct Lengths {
  double prompt = 0;
  double completion = 0;
};

class RunWork {
 public:
  // Both must outlive it.
  RunWork(const RunConfig& config, const Qwen3Config& model);

  // Parameters that train: both blocks, or all experts.
  double adapter_parameters() const { return adapter_parameters_; }
  double weight_bytes() const;  // of the base in the run's dtype
  double kv_bytes() const;      // of one position in the sampler's cache

  // What a trainer's process holds beside its activations: LibTorch, base, adapter, its init, moments, and the
  // gradients of so many threads and of their sum.
  double TrainerBytes(int threads) const;
  // Of a training step's activations, on each thread that works on a part (trainer/step_memory.h).
  double ActivationBytes(const Lengths& lengths) const;
  // What a rollout worker holds beside its KV cache while it keeps so many adapters.
  double WorkerBytes(int num_adapters) const;
  // Samples that a cache of so many bytes holds at a time, each at its longest.
  double SamplesIn(double cache_bytes) const;
  // Of the cache, that so many samples in groups of the run's size fill.
  double CacheBytes(double samples, const Lengths& lengths) const;
  double AdapterFileBytes() const { return 4 * adapter_parameters_; }
  double CheckpointBytes() const { return 12 * adapter_parameters_; }  // with two moments

  // Flops of one training step: every pass over its rollouts and the pairs.
  double TrainFlops(const Lengths& lengths, double pair_tokens) const;
  // Seconds that sampling takes on a device, `running` samples at a time. `fast`: at the higher end of its rates.
  double SampleSeconds(double groups, double samples_a_group, const Lengths& lengths, double running,
                       const DeviceSpeed& device, bool fast) const;

 private:
  double RowFlops(double context, bool with_adapter) const;
  double HeadFlops() const;

  const RunConfig& config_;
  const Qwen3Config& model_;
  double layer_parameters_ = 0;  // of the linear maps of all layers
  double adapter_parameters_ = 0;
  double bytes_a_number_ = 4;  // of the base, and of keys and values
};

}  // namespace evilmoe
