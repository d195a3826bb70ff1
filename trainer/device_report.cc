#include "trainer/device_report.h"

#include <torch/headeronly/version.h>

#ifdef EVILMOE_CUDA
#include <ATen/cuda/CUDAContextLight.h>
#include <c10/cuda/CUDAFunctions.h>
#endif
#ifdef USE_C10D_NCCL
#include <torch/csrc/distributed/c10d/NCCLUtils.hpp>
#endif

namespace evilmoe {
namespace {

nlohmann::ordered_json Gpus() {
  nlohmann::ordered_json gpus = nlohmann::ordered_json::array();
#ifdef EVILMOE_CUDA
  for (c10::DeviceIndex i = 0; i < c10::cuda::device_count(); ++i) {
    const cudaDeviceProp* properties = at::cuda::getDeviceProperties(i);
    gpus.push_back({{"index", static_cast<int>(i)},
                    {"name", std::string(properties->name)},
                    {"memory_bytes", static_cast<int64_t>(properties->totalGlobalMem)}});
  }
#endif
  return gpus;
}

nlohmann::ordered_json NcclVersion() {
#ifdef USE_C10D_NCCL
  return c10d::getNcclVersion();
#else
  return nullptr;
#endif
}

bool IsCudaBuild() {
#ifdef EVILMOE_CUDA
  return true;
#else
  return false;
#endif
}

}  // namespace

nlohmann::ordered_json DeviceReport() {
  return {{"torch", TORCH_VERSION}, {"cuda_build", IsCudaBuild()}, {"gpus", Gpus()}, {"nccl", NcclVersion()}};
}

}  // namespace evilmoe
