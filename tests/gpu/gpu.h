#pragma once

#include <c10/core/Device.h>
#include <gtest/gtest.h>

#include "trainer/trainer_device.h"

namespace evilmoe {

// Skips a test where this build or this machine has no GPU.
class GpuTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const absl::StatusOr<c10::Device> device = TrainerDevice("cuda", 0);
    if (!device.ok()) GTEST_SKIP() << device.status().message();
    device_ = *device;
  }
  c10::Device device_ = c10::kCPU;
};

}  // namespace evilmoe
