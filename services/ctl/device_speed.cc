#include "services/ctl/device_speed.h"

#include "absl/strings/str_cat.h"

namespace evilmoe {
namespace {

constexpr double kGiga = 1e9, kTera = 1e12;

// Of what a data sheet says.
constexpr Span kTrainShare = {0.15, 0.45};
constexpr Span kSampleShare = {0.10, 0.40};
constexpr Span kBandwidthShare = {0.30, 0.75};

Span Times(const Span& span, double factor) { return {span.low * factor, span.high * factor}; }

struct DataSheet {
  const char* name;
  double bf16_flops;
  double bandwidth;
  double memory;
};

}  // namespace

DeviceSpeed CpuSpeed(int num_cores, bool bfloat16) {
  const auto cores = static_cast<double>(num_cores);
  DeviceSpeed speed;
  speed.name = absl::StrCat(num_cores, num_cores == 1 ? " CPU core" : " CPU cores");
  speed.train_flops = Times(bfloat16 ? Span{20 * kGiga, 120 * kGiga} : Span{40 * kGiga, 110 * kGiga}, cores);
  speed.sample_flops = Times(bfloat16 ? Span{30 * kGiga, 110 * kGiga} : Span{15 * kGiga, 50 * kGiga}, cores);
  speed.bandwidth = {8 * kGiga * (cores < 2 ? 1 : 1.2), 26 * kGiga * (cores < 2 ? 1 : 1.2)};
  return speed;
}

std::vector<DeviceSpeed> GpuSpeeds() {
  static constexpr DataSheet kSheets[] = {{"H200", 989 * kTera, 4.8 * kTera, 141 * kGiga},
                                          {"H100 SXM", 989 * kTera, 3.35 * kTera, 80 * kGiga},
                                          {"A100 SXM", 312 * kTera, 2.04 * kTera, 80 * kGiga},
                                          {"RTX 4090", 165 * kTera, 1.01 * kTera, 24 * kGiga}};
  std::vector<DeviceSpeed> speeds;
  for (const DataSheet& sheet : kSheets) {
    speeds.push_back({sheet.name, Times(kTrainShare, sheet.bf16_flops), Times(kSampleShare, sheet.bf16_flops),
                      Times(kBandwidthShare, sheet.bandwidth), sheet.memory});
  }
  return speeds;
}

}  // namespace evilmoe
