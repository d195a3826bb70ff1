#include "trainer/trainer_device.h"

#ifdef EVILMOE_CUDA
#include <c10/cuda/CUDAFunctions.h>
#endif

namespace evilmoe {
namespace {

int NumGpus() {
#ifdef EVILMOE_CUDA
  return static_cast<int>(c10::cuda::device_count());
#else
  return 0;
#endif
}

}  // namespace

absl::StatusOr<c10::Device> TrainerDevice(const std::string& name, int rank) {
  const int num_gpus = name == "cpu" ? 0 : NumGpus();
  if (num_gpus > 0) return c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(rank % num_gpus));
  if (name != "cuda") return c10::Device(c10::kCPU);
  return absl::FailedPreconditionError(
      "device: cuda, but this build or this machine has none; expected cpu or auto, or a build with -DEVILMOE_CUDA=ON");
}

}  // namespace evilmoe
