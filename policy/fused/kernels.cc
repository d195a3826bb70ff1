#include "policy/fused/kernels.h"

namespace evilmoe {

FusedKernelList UsableFusedKernels() {
  FusedKernelList list{{&BaselineFusedKernels(), nullptr, nullptr}, 1};
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) list.all[list.count++] = &Avx2FusedKernels();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq")) {
    list.all[list.count++] = &Avx512FusedKernels();
  }
#endif
  return list;
}

const FusedKernels& BestFusedKernels() {
  static const FusedKernelList list = UsableFusedKernels();
  return *list.all[list.count - 1];
}

}  // namespace evilmoe
