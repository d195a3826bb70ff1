#pragma once

#include <string>
#include <vector>

namespace evilmoe {

// From the one to the other; low <= high.
struct Span {
  double low = 0;
  double high = 0;
};

// What a device does of the work of a run, as rates that one may expect: between a busy and a quiet machine.
struct DeviceSpeed {
  std::string name;
  Span train_flops;         // a second, in the training pass
  Span sample_flops;        // a second, in the sampler
  Span bandwidth;           // bytes a second that decoding reads weights and KV cache with
  double memory_bytes = 0;  // of its own; 0: the machine's
};

// CPU cores with AVX-512, as measured (docs/benchmarks.md): the kernels of both passes in fp32, or over a bf16 base.
DeviceSpeed CpuSpeed(int num_cores, bool bfloat16);

// GPUs by their makers' data sheets (dense bf16, memory) times the share that such work reaches elsewhere; nothing of
// it was measured here.
std::vector<DeviceSpeed> GpuSpeeds();

}  // namespace evilmoe
