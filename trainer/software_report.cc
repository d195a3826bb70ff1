#include "trainer/software_report.h"

#include "common/build_info.h"
#include "trainer/device_report.h"

namespace evilmoe {

nlohmann::ordered_json SoftwareReport(const TrainerConfig& config) {
  const nlohmann::ordered_json devices = DeviceReport();
  const bool on_gpu = config.device != "cpu" && !devices["gpus"].empty();
  return {{"evilmoe", BuildVersion()},
          {"commit", BuildCommit()},
          {"torch", devices["torch"]},
          {"device", on_gpu ? devices["gpus"][0]["name"] : nlohmann::ordered_json("cpu")},
          {"threads", config.threads},
          {"ranks", config.ranks}};
}

}  // namespace evilmoe
