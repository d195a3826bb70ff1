#pragma once

#include <cstdint>
#include <filesystem>

#include "absl/status/status.h"
#include "common/clock.h"
#include "nlohmann/json.hpp"

namespace evilmoe {

// The steps of a run for TensorBoard: FOLDER/events.out.tfevents.NNNNNN, one file for each process that wrote some,
// read in order of name. A reader sees each step once, whether it reads afterwards or has watched all the time: events
// of steps that are done again are taken out of the files, and the next file begins by voiding them. Not thread-safe.
class EventFiles {
 public:
  // `clock` must outlive it.
  EventFiles(std::filesystem::path folder, const Clock& clock) : folder_(std::move(folder)), clock_(clock) {}

  // Takes out the events of steps after `step`, and what a killed writer left of one. The next goes into a new file.
  absl::Status RewindTo(int64_t step);
  // Appends StepEvent() of `metrics`.
  absl::Status Step(const nlohmann::ordered_json& metrics);

 private:
  const std::filesystem::path folder_;
  const Clock& clock_;
  std::filesystem::path file_;  // empty: not begun yet
};

}  // namespace evilmoe
