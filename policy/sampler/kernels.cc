#include "policy/sampler/kernels.h"

namespace evilmoe {

KernelList UsableKernels() {
  KernelList list{{&BaselineKernels(), nullptr, nullptr}, 1};
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) list.all[list.count++] = &Avx2Kernels();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bf16")) {
    list.all[list.count++] = &Avx512Bf16Kernels();
  }
#endif
  return list;
}

const Kernels& BestKernels() {
  static const KernelList list = UsableKernels();
  return *list.all[list.count - 1];
}

}  // namespace evilmoe
