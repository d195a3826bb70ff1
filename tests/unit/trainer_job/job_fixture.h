#pragma once

#include <gtest/gtest.h>
#include <prometheus/registry.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "common/logger.h"
#include "tests/unit/trainer_job/fake_coordinator.h"
#include "trainer/training_job_client.h"

namespace evilmoe {

// A coordinator, and a trainer that dials it.
class TrainerJobFixture : public ::testing::Test {
 protected:
  TrainerJobFixture()
      : folder_(std::filesystem::temp_directory_path() / absl::StrCat("evilmoe_job_", ::getpid())),
        config_{.coordinator = Address(), .trainer_id = "trainer"} {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    logger_.emplace(*Logger::Open(folder_ / "log", "test", clock_));
    coordinator_.emplace(Address());
  }
  ~TrainerJobFixture() override {
    coordinator_.reset();
    std::filesystem::remove_all(folder_);
  }

  // As a fresh process would.
  absl::Status TakeJob() {
    CoordinatorClient client({.address = Address(), .retry_budget = absl::Seconds(5), .stop = stop_.get_token()});
    return DoOneJob({.config = config_,
                     .id = absl::StrCat("life-", ++lives_),
                     .coordinator = client,
                     .ranks = alone_,
                     .metrics = metrics_,
                     .clock = clock_,
                     .logger = *logger_,
                     .stop = stop_.get_token()});
  }

  std::string Address() const { return absl::StrCat("unix:", (folder_ / "c.sock").string()); }

  const std::filesystem::path folder_;
  const RealClock clock_;
  TrainerConfig config_;
  prometheus::Registry registry_;
  TrainerMetrics metrics_{registry_, clock_};
  SingleRank alone_;
  std::stop_source stop_;
  int lives_ = 0;
  std::optional<Logger> logger_;
  std::optional<FakeCoordinator> coordinator_;
};

}  // namespace evilmoe
